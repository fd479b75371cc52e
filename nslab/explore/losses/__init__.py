"""The panel that draws losses, evolved ones included."""
