"""Exports of a workdir for other tools: subsets, files, tables and images."""

from datadiet.exporting.formats import EXPORTS, Format, export_selection
from datadiet.exporting.subset import Subset, open_subset

__all__ = ['EXPORTS', 'Format', 'Subset', 'export_selection', 'open_subset']
