"""The panel that trains a network while you watch it and change its method."""
