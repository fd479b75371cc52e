"""What all panels share: canvas, controls, tasks in the background, small runs."""
