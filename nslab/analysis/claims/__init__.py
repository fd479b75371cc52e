"""Claims of the papers, and the verdicts that finished runs give on them."""
