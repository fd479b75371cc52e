"""The panel that compares finished runs."""
