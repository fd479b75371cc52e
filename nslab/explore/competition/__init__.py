"""The panel on the competition of NS: who wins in a composite, and why."""
