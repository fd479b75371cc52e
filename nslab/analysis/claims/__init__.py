"""Claims of the papers, decided by finished runs."""
