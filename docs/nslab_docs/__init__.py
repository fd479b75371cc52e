"""Generators of the site: notebooks, API pages, commands, tables, and the check of its links."""
