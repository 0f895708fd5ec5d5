"""The text of --help: all flags, and all settings by section."""

import dataclasses
import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from datadiet.config.sections import Config
from datadiet.models import MODELS, model_options
from datadiet.selection.policies import POLICIES
from datadiet.settings import Setting, settings_of
from datadiet.training.optimizer import SCHEDULES, schedule_options

_WIDTH = 80
_USAGE = """\
Finds out which training examples matter: train, score, select, retrain.

  python -m datadiet.main --config=EXPERIMENT --workdir=DIR \\
    [--config.SECTION.FIELD=VALUE ...]

Other commands: `datadiet import` makes a workdir of what another training left,
`datadiet export` writes a selection in a format that other tools read,
`datadiet review` serves the report and keeps what is decided there,
`datadiet apply` makes labels and examples of these decisions; each has a --help
of its own.

Tuples are given as 1,2 or (1,2); what is given twice counts the last time.
"""


def help_text(
  flags: Iterable[tuple[str, object, str]],
  experiments: Iterable[str],
  of: type = Config,
) -> str:
  """All flags and settings, with what they do and what they may be.

  Args:
    flags: (name, default, help) of each flag that is no setting.
    experiments: what --config takes by name.
    of: the sections.
  """
  lines = [_USAGE]
  for name, default, help in flags:
    if isinstance(default, list):
      default = ','.join(default)
    lines.append(f'  --{name}' + ('' if default is None else f'={default}'))
    lines += _indented(help, 6)
  lines += _indented(f'Experiments by name: {", ".join(experiments)}.', 2)
  for field in dataclasses.fields(of):
    lines += _section(field.name, of)
  return '\n'.join(lines)


def _section(name: str, of: type) -> Iterator[str]:
  """A section, or a setting that stands in none."""
  found = {
    full: setting
    for full, setting in settings_of(of).items()
    if full.partition('.')[0] == name
  }
  yield ''
  if name not in found:
    holder = next(f for f in dataclasses.fields(of) if f.name == name)
    summary = (holder.default_factory.__doc__ or '').splitlines()[0]
    yield f'{name}: {summary}'
  for full, setting in found.items():
    yield from _setting(full, setting)
    yield from _own_options(full)


def _setting(name: str, setting: Setting) -> Iterator[str]:
  default = '' if setting.is_group else f'={_shown(setting.default)}'
  yield f'  --config.{name}{default}'
  yield from _indented(f'{setting.help} Allowed: {setting.allowed}.', 6)


def _shown(value: object) -> str:
  """A value as it can be typed on a command line."""
  if isinstance(value, tuple):
    return ','.join(map(str, value)) or '()'
  return str(value) if value != '' else "''"


def _own_options(name: str) -> Iterator[str]:
  """The options of each model or policy, below the setting that holds them."""
  if name == 'model.options':
    for model in MODELS:
      yield from _with_defaults(model, model_options(model))
  if name == 'optimizer.options':
    for schedule in SCHEDULES:
      yield from _with_defaults(schedule, schedule_options(schedule))
  if name == 'select.options':
    for policy, spec in POLICIES.items():
      for option, setting in spec.options.items():
        text = (
          f'{policy}: {option}={setting.default}, {setting.help}; '
          f'{setting.allowed}'
        )
        yield from _indented(text, 6)


def _with_defaults(owner: str, options: Mapping[str, Any]) -> list[str]:
  """A line with all options of something; none where it has none."""
  shown = [
    name if value is inspect.Parameter.empty else f'{name}={_shown(value)}'
    for name, value in options.items()
  ]
  return _indented(f'{owner}: {", ".join(shown)}', 6) if shown else []


def _indented(text: str, indent: int) -> list[str]:
  return textwrap.wrap(
    text,
    _WIDTH,
    initial_indent=' ' * indent,
    subsequent_indent=' ' * indent,
    break_on_hyphens=False,
  )
