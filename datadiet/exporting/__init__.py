"""Exports of a workdir for other tools: subsets, files, tables and images."""

from datadiet.exporting.formats import EXPORTS, Format, export_selection
from datadiet.exporting.kept import Kept, open_kept

__all__ = ['EXPORTS', 'Format', 'Kept', 'export_selection', 'open_kept']
