"""User interface that all panels share: canvas, controls, background tasks, small runs."""
