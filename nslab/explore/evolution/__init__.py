"""The panel that evolves networks generation by generation."""
