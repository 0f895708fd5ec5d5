"""datadiet: which training examples matter?

The names below are loaded on first use, so that `import datadiet` stays cheap
and a user of one function does not pay for the others.
"""

import importlib

__version__ = '0.1.0'

# Public name -> the module that defines it.
_EXPORTS = {
  'grad_norm': 'datadiet.gradient_norms',
  'score_examples': 'datadiet.scoring.api',
  'export_selection': 'datadiet.exporting',
  'load_reference_scores': 'datadiet.results',
  'load_results': 'datadiet.results',
}

__all__ = ['__version__', *_EXPORTS]


def __getattr__(name: str):
  if name in _EXPORTS:
    try:
      return getattr(importlib.import_module(_EXPORTS[name]), name)
    except ModuleNotFoundError as error:
      from datadiet.runtime import extras

      if error.name not in extras.EXTRA_OF:
        raise
      needed_by = f'datadiet.{name}'
      raise extras.missing_library(needed_by, error.name) from error
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
