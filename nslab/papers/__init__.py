"""The papers: every table they print, as CSV files, and where each equation is computed."""
