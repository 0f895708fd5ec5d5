"""Scores of training examples, and the engine that computes them."""
