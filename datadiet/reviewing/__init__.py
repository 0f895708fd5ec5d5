"""What people decided about examples: files of decisions, and their use."""

from datadiet.reviewing.apply import apply_decisions

__all__ = ['apply_decisions']
