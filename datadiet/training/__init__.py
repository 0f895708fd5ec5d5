"""Training: state, steps, loop, and what examples do meanwhile."""
