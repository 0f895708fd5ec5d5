"""What people decided about examples: files of decisions, and their use."""

from datadiet.reviewing.apply import apply_decisions
from datadiet.reviewing.serve import review_server, serve_review

__all__ = ['apply_decisions', 'review_server', 'serve_review']
