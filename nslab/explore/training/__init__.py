"""The panel that trains a network while you watch and change its method."""
