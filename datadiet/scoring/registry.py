"""All scores by name, each with the statement that goes into its manifest."""

import dataclasses
import difflib
from collections.abc import Callable, Iterable

import jax.numpy as jnp

from datadiet.errors import DataDietError
from datadiet.scoring import dynamics, forward

# What a score is computed from.
FORWARD = 'forward'  # One forward pass.
GRADIENT = 'gradient'  # One gradient pass.
DYNAMICS = 'dynamics'  # The training visits.
DATA = 'data'  # The images alone.
TRAJECTORY = 'trajectory'  # Other scores of a run at all its scored steps.
HELD_OUT = 'held_out'  # Runs that trained on subsets of the data.

# What checkpoint scores may compute in -> the type of activations.
# Products are of this precision too: left alone, GPUs round those of float32 to
# TF32 and TPUs to bfloat16.
PRECISIONS = {
  'float32': 'float32',
  'tensorfloat32': 'float32',
  'bfloat16': 'bfloat16',
}

# What some scores need beside.
FEATURES = 'features'
WINDOWS = 'windows'
CHANGES = 'prediction_changes'


@dataclasses.dataclass(frozen=True)
class Score:
  """One score and what it is.

  Attributes:
    kind: one of the kinds above.
    function: forward: Outputs -> float32[batch]; dynamics: {name: array} ->
      [N]; data: normalised images -> float32[batch]; None for the kinds that
      have a module of their own.
    definition: in a formula.
    higher_is: 'harder', 'easier' or 'neither': which end is hard.
    based_on: 'probabilities', 'logits', 'gradients', 'pixels', 'steps'.
    source: where it was defined.
    needs: what has to be recorded or kept for it.
  """

  kind: str
  function: Callable | None
  definition: str
  higher_is: str
  based_on: str
  source: str
  needs: frozenset[str] = frozenset()

  def statement(self) -> dict:
    """What a manifest says of this score."""
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


def _input_norm(images):
  axes = tuple(range(1, images.ndim))
  return jnp.sqrt(jnp.sum(jnp.square(images), axes))


_PAUL = 'Paul, Ganguli, Dziugaite 2021, arXiv 2107.07075'
_PREDECESSOR = 'code of Paul et al. 2021'
_TONEVA = 'Toneva et al. 2019, arXiv 1812.05159'
_SWAYAMDIPTA = 'Swayamdipta et al. 2020, arXiv 2009.10795'

SCORES: dict[str, Score] = {
  'el2n': Score(
    FORWARD,
    forward.el2n,
    '|| p - onehot(y) ||_2',
    'harder',
    'probabilities',
    _PAUL,
  ),
  'el1n': Score(
    FORWARD,
    forward.el1n,
    '|| p - onehot(y) ||_1',
    'harder',
    'probabilities',
    _PREDECESSOR,
  ),
  'max_margin': Score(
    FORWARD,
    forward.max_margin,
    'max over k != y of p_k - p_y',
    'harder',
    'probabilities',
    _PREDECESSOR,
  ),
  'sum_margin': Score(
    FORWARD,
    forward.sum_margin,
    'sum over k != y of (p_k - p_y)',
    'harder',
    'probabilities',
    _PREDECESSOR,
  ),
  'loss': Score(
    FORWARD, forward.loss, '-log p_y', 'harder', 'logits', 'cross-entropy'
  ),
  'entropy': Score(
    FORWARD,
    forward.entropy,
    '-sum over k of p_k log p_k',
    'harder',
    'probabilities',
    'Shannon entropy',
  ),
  'confidence': Score(
    FORWARD,
    forward.confidence,
    'p_y',
    'easier',
    'probabilities',
    'probability of the label',
  ),
  'grand': Score(
    GRADIENT,
    None,
    'norm of the gradient of -log p_y in all trainable parameters',
    'harder',
    'gradients',
    _PAUL,
  ),
  'input_norm': Score(
    DATA,
    _input_norm,
    'norm of the normalised input',
    'neither',
    'pixels',
    'control of Kirsch 2023, arXiv 2303.14753',
  ),
  'forgetting': Score(
    DYNAMICS,
    dynamics.forgetting,
    'times right at one visit and wrong at the next; never right: visits + 1',
    'harder',
    'probabilities',
    _TONEVA,
  ),
  'never_learned': Score(
    DYNAMICS,
    dynamics.never_learned,
    '1 if wrong at every visit',
    'harder',
    'probabilities',
    _TONEVA,
  ),
  'aum': Score(
    DYNAMICS,
    dynamics.aum,
    'mean over visits of z_y - max over k != y of z_k',
    'easier',
    'logits',
    'Pleiss et al. 2020, arXiv 2001.10528',
  ),
  'correctness': Score(
    DYNAMICS,
    dynamics.correctness,
    'share of visits at which it was right',
    'easier',
    'probabilities',
    _SWAYAMDIPTA,
  ),
  'mean_confidence': Score(
    DYNAMICS,
    dynamics.mean_confidence,
    'mean over visits of p_y',
    'easier',
    'probabilities',
    _SWAYAMDIPTA,
  ),
  'variability': Score(
    DYNAMICS,
    dynamics.variability,
    'standard deviation over visits of p_y',
    'neither',
    'probabilities',
    _SWAYAMDIPTA,
  ),
  'first_learned': Score(
    DYNAMICS,
    dynamics.first_learned,
    'step of the first visit at which it was right; never: the number of steps',
    'harder',
    'steps',
    _TONEVA,
  ),
  'dual': Score(
    DYNAMICS,
    dynamics.dual,
    'mean over windows of J visits of std(p_y) (1 - mean(p_y))',
    'harder',
    'probabilities',
    'Cho et al. 2025, arXiv 2502.06905',
    frozenset({WINDOWS}),
  ),
  'dyn_unc': Score(
    DYNAMICS,
    dynamics.dyn_unc,
    'mean over windows of J visits of std(p_y)',
    'harder',
    'probabilities',
    'He et al. 2024, arXiv 2306.05175',
    frozenset({WINDOWS}),
  ),
  'tdds': Score(
    DYNAMICS,
    dynamics.tdds,
    'exponential mean (0.9 on the newest) over windows of J visits of the norm '
    'of KL(p_t+1 || p_t) minus its mean',
    'harder',
    'probabilities',
    'Zhang et al. 2024, arXiv 2311.13613',
    frozenset({WINDOWS, CHANGES}),
  ),
  'grand_last': Score(
    FORWARD,
    forward.grand_last,
    'norm of the gradient of -log p_y in the last dense layer',
    'harder',
    'gradients',
    'last-layer GraNd, as in DeepCore',
    frozenset({FEATURES}),
  ),
  'grand_subset': Score(
    GRADIENT,
    None,
    'norm of the gradient of -log p_y in the params whose path matches '
    'score.grand_subset',
    'harder',
    'gradients',
    _PAUL,
  ),
  'unclog': Score(
    GRADIENT,
    None,
    'norm of sum over k of (grad z_k - its mean over a class-balanced sample)',
    'neither',
    'gradients',
    _PREDECESSOR,
  ),
  'tracin_self': Score(
    TRAJECTORY,
    None,
    'sum over scored steps t of learning_rate_t grand_t^2',
    'harder',
    'gradients',
    'Pruthi et al. 2020, arXiv 2002.08484',
  ),
  'memorization': Score(
    HELD_OUT,
    None,
    'P(right | run trained on it) - P(right | run did not)',
    'harder',
    'probabilities',
    'Feldman and Zhang 2020, arXiv 2008.03703',
  ),
}

# The predecessor's names.
ALIASES = {
  'l2_error': 'el2n',
  'l1_error': 'el1n',
  'grad_norm': 'grand',
  'forget': 'forgetting',
}


def resolve(names: Iterable[str]) -> tuple[str, ...]:
  """Known score names, with aliases replaced and repetitions dropped.

  Raises:
    DataDietError: for an unknown name; lists the known ones.
  """
  resolved = []
  for name in names:
    name = ALIASES.get(name, name)
    if name not in SCORES:
      close = difflib.get_close_matches(name, [*SCORES, *ALIASES], 1)
      hint = f'; did you mean {close[0]!r}?' if close else ''
      raise DataDietError(
        f'unknown score {name!r}; known are {", ".join(SCORES)}{hint}'
      )
    if name not in resolved:
      resolved.append(name)
  return tuple(resolved)


def split_step(selected: str) -> tuple[str, int | None]:
  """'el2n@7800' as ('el2n', 7800); no step for a name alone."""
  name, _, step = selected.partition('@')
  return name, int(step) if step else None


def resolve_selected(scores: Iterable[str]) -> tuple[str, ...]:
  """As `resolve`, for names that may have a step, such as 'el2n@7800'."""
  resolved = []
  for score in scores:
    name, at, step = score.partition('@')
    resolved.append(f'{resolve([name])[0]}{at}{step}')
  return tuple(dict.fromkeys(resolved))


def of_kind(names: Iterable[str], *kinds: str) -> tuple[str, ...]:
  """The names whose scores are of one of the kinds, in order."""
  return tuple(name for name in names if SCORES[name].kind in kinds)


def needing(names: Iterable[str], need: str) -> tuple[str, ...]:
  """The names whose scores have a need, in order."""
  return tuple(name for name in names if need in SCORES[name].needs)
