"""Reads a workdir back: scores, histories, selections, accuracies."""

from datadiet.results.reference import load_reference_scores
from datadiet.results.results import Results, load_results
from datadiet.results.selection import Selection

__all__ = ['Results', 'Selection', 'load_reference_scores', 'load_results']
