"""Gradient training: `loop.fit` and what it rests on (setup, epochs, metrics, checkpoints)."""
