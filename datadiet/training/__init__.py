"""Training: state, steps, loop, and statistics of each example meanwhile."""
