"""The description of a score: its kind, its definition, what it needs."""

import dataclasses
from collections.abc import Callable, Mapping

from datadiet.errors import DataDietError
from datadiet.settings import HIGHER_IS
from datadiet.training.recorders import Recorder

# What a score is computed from.
FORWARD = 'forward'  # One forward pass.
GRADIENT = 'gradient'  # One gradient pass.
DYNAMICS = 'dynamics'  # The training visits.
DATA = 'data'  # The images alone.
TRAJECTORY = 'trajectory'  # Other scores of a run at all its scored steps.
HELD_OUT = 'held_out'  # Runs that trained on subsets of the data.
# A score of these kinds is a function; the others have a module of their own.
OF_A_FUNCTION = (FORWARD, DYNAMICS, DATA)
_KINDS = (*OF_A_FUNCTION, GRADIENT, TRAJECTORY, HELD_OUT)

# The settings that scores of a kind depend on, by their key in manifests.
_DTYPE = {'dtype': 'score.dtype'}
_SETTINGS_OF_KIND = {
  FORWARD: _DTYPE,
  GRADIENT: {**_DTYPE, 'trainable': 'train.trainable'},
}

# What some scores need.
FEATURES = 'features'
WINDOWS = 'windows'


# Where several scores were defined.
PAUL = 'Paul, Ganguli, Dziugaite 2021, arXiv 2107.07075'
UNSEEN = 'Xu et al. 2025 (UNSEEN), arXiv 2511.12988'
PREDECESSOR = 'code of Paul et al. 2021'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
  """One score and what it is.

  Attributes:
    kind: one of the kinds above.
    definition: in a formula.
    higher_is: 'harder', 'easier' or 'neither': which end is hard.
    based_on: 'probabilities', 'logits', 'gradients', 'pixels', 'steps'.
    source: where it was defined.
    function: forward: Outputs -> float32[batch]; dynamics: {name: array} ->
      [N]; data: normalised images -> float32[batch]; None for the kinds that
      have a module of their own.
    needs: FEATURES if the network has to sow its features; WINDOWS if it is
      defined from train.dynamics_window visits on, and its recorders are told
      that number.
    recorders: dynamics: what training records for it beside the basics. The
      arrays [N] of recorder 'r' are handed to `function` as 'r.<array>'.
    settings: settings that it alone depends on, by their key in manifests.
    made_of: trajectory: the score of the single steps; held_out: that of the
      single runs, '' if it has none.
  """

  kind: str
  definition: str
  higher_is: str
  based_on: str
  source: str
  function: Callable | None = None
  needs: frozenset[str] = frozenset()
  recorders: tuple[Recorder, ...] = ()
  settings: Mapping[str, str] = dataclasses.field(default_factory=dict)
  made_of: str = ''

  def __post_init__(self):
    """Raises DataDietError if it cannot be a score."""
    for name, allowed in (
      ('kind', _KINDS),
      ('higher_is', HIGHER_IS),
    ):
      value = getattr(self, name)
      if value not in allowed:
        raise DataDietError(
          f'a score cannot have {name} {value!r}; allowed: {", ".join(allowed)}'
        )
    if unknown := sorted(self.needs - {FEATURES, WINDOWS}):
      raise DataDietError(
        f'a score cannot need {unknown[0]!r}; allowed: {FEATURES}, {WINDOWS}'
      )
    if (self.kind in OF_A_FUNCTION) != (self.function is not None):
      has = 'no' if self.function is None else 'a'
      raise DataDietError(
        f'a score of kind {self.kind!r} has {has} function; those of kind '
        f'{", ".join(OF_A_FUNCTION)} have one, the others have a module'
      )

  @property
  def depends_on(self) -> dict[str, str]:
    """The settings it depends on beside training's: manifest key -> setting."""
    found = {**_SETTINGS_OF_KIND.get(self.kind, {}), **self.settings}
    if WINDOWS in self.needs:
      found['window'] = 'train.dynamics_window'
    return found

  def out_of_sample(self, name: str) -> 'Score':
    """This score, of one network, by networks that did not see the example.

    Xu et al. 2025 (UNSEEN), arXiv 2511.12988.

    Args:
      name: its own.
    """
    return Score(
      kind=HELD_OUT,
      definition=f'{self.definition}; by runs that left the example out',
      higher_is=self.higher_is,
      based_on=self.based_on,
      source=f'{self.source}; out of sample: {UNSEEN}',
      settings=self.depends_on,
      made_of=name,
    )

  def statement(self) -> dict:
    """The entries about this score in a manifest."""
    trained = self.kind == DYNAMICS
    return {
      'definition': self.definition,
      'higher_is': self.higher_is,
      'based_on': self.based_on,
      'mode': 'train' if trained else 'eval',
      'augmentation': trained,
      'kind': self.kind,
      'source': self.source,
    }
