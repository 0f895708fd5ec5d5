"""The inputs and the description of a selection policy."""

import dataclasses
from collections.abc import Callable

import numpy as np

from datadiet.errors import DataDietError
from datadiet.feeding.epochs import Epochs
from datadiet.settings import Setting

# What policies of coverage can look at: the input of the last layer, or the
# gradient of the loss in that layer, as its two factors.
FEATURES, GRADIENTS = 'features', 'gradients'
EMBEDDINGS = (FEATURES, GRADIENTS)
# The arrays of `SelectionInputs` and their dimensions.
ARRAYS = {'scores': 1, 'mean_confidence': 1, 'features': 2, 'pred_probs': 2}


@dataclasses.dataclass(frozen=True)
class SelectionInputs:
  """What is known of the N examples a policy chooses from.

  Attributes:
    labels: int32[N], the classes the examples are trained with.
    num_classes: number of classes, also those that no example has.
    scores: float32[N], one score for each example, or None.
    higher_is: what a high score means: 'harder', 'easier', or 'neither'.
    features: float32[N, num_features], penultimate activations or the user's
      own embeddings, or None.
    mean_confidence: float32[N] in [0, 1], the mean over training of the
      probability given to the label, or None; only `beta` needs it.
    pred_probs: float32[N, num_classes], predictions of the network that the
      features are of, or None.
    embeddings: 'features' or 'gradients', for policies that can look at
      either; '' for the one that its paper does.
  """

  labels: np.ndarray
  num_classes: int
  scores: np.ndarray | None = None
  higher_is: str = 'neither'
  features: np.ndarray | None = None
  mean_confidence: np.ndarray | None = None
  pred_probs: np.ndarray | None = None
  embeddings: str = ''

  @property
  def num_examples(self) -> int:
    """N."""
    return len(self.labels)

  def array(self, name: str) -> np.ndarray:
    """One of the arrays that may be None, for a policy that `needs` it.

    Args:
      name: one of `ARRAYS`.

    Raises:
      DataDietError: if it is not given.
    """
    values = getattr(self, name)
    if values is None:
      raise DataDietError(f'the selection needs {name}, but there are none')
    return values

  def take(self, positions: np.ndarray) -> 'SelectionInputs':
    """The inputs restricted to the examples at `positions` (int64[M])."""

    arrays = {name: getattr(self, name) for name in ('labels', *ARRAYS)}
    return dataclasses.replace(
      self,
      **{
        name: array[positions]
        for name, array in arrays.items()
        if array is not None
      },
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Policy:
  """A rule that keeps `num_keep` of N examples.

  Attributes:
    function: `(inputs, num_keep, *, rng, **options) -> int64[num_keep]`, the
      positions kept, ascending and unique. Its inputs have been checked.
      None if the subset changes while training: then `epochs` draws it.
    nested: whether a smaller selection is always part of a larger one made
      with the same inputs, options and seed.
    summary: one line for the user.
    source: the paper.
    needs: what it reads: any of 'scores', 'higher_is', 'features',
      'mean_confidence', 'pred_probs' and 'seed', of select.seed; nothing if
      the subset changes while training, which draws by train.data_seed.
    options: the options it takes, by name.
    epochs: for a subset that changes while training, the class of its epochs,
      which is given the options by name.
    embeddings: what it looks at if the user does not say, 'features' or
      'gradients', where it can look at either.
    by_class: whether it works within each class, of which the same share is
      kept, if the user does not ask for a balance.
    libraries: third-party modules it needs that not every installation has.
    check: `(num_examples, num_keep, **options)`, which raises DataDietError
      where no inputs would let it keep so many; it is asked before anything is
      trained, and before the function is called. None if it can keep any
      number.
  """

  nested: bool
  summary: str
  source: str
  needs: frozenset[str] = frozenset()
  function: Callable[..., np.ndarray] | None = None
  options: dict[str, Setting] = dataclasses.field(default_factory=dict)
  epochs: type[Epochs] | None = None
  embeddings: str = ''
  by_class: bool = False
  libraries: tuple[str, ...] = ()
  check: Callable[..., None] | None = None

  def __post_init__(self):
    """Raises DataDietError if it cannot be a policy."""
    has = 'neither' if self.epochs is None else 'both'
    if (self.function is None) == (self.epochs is None):
      raise DataDietError(
        'a policy has either a function, or epochs if it changes while '
        f'training; this one has {has}: {self.summary}'
      )
    known = {*ARRAYS, 'higher_is', 'seed'}
    if unknown := sorted(self.needs - known):
      raise DataDietError(
        f'a policy cannot need {unknown[0]!r}; allowed: '
        f'{", ".join(sorted(known))}'
      )
    if self.epochs is not None and self.needs:
      raise DataDietError(
        'a policy that changes while training is given no arrays, and draws by '
        'train.data_seed; its needs have to be empty, not '
        f'{", ".join(sorted(self.needs))}'
      )

  def arrays(self, embeddings: str = '') -> frozenset[str]:
    """The arrays of `SelectionInputs` that it reads.

    Args:
      embeddings: what it is to look at; '' for its own.
    """
    names = self.needs & ARRAYS.keys()
    if not self.embeddings:
      return names
    factors = {FEATURES}
    if (embeddings or self.embeddings) == GRADIENTS:
      factors.add('pred_probs')
    return names | factors
