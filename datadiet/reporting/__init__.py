"""The report on a workdir: a page, figures and a summary, from artifacts."""

from datadiet.reporting.noise import format_noise
from datadiet.reporting.report import write_report
from datadiet.reporting.summary import build_summary, format_table

__all__ = ['build_summary', 'format_noise', 'format_table', 'write_report']
