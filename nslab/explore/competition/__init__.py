"""The panel on the competition in NS: which image wins in a composite, and why."""
