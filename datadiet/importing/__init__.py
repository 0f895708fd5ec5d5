"""Scores from what a training of any other program left behind."""

from datadiet.importing.files import Given
from datadiet.importing.run import import_training

__all__ = ['Given', 'import_training']
