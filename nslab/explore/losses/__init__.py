"""The panel that draws losses, also evolved ones."""
