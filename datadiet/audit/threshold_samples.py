"""AUM's threshold samples: examples mislabelled on purpose, to compare with.

Some examples are given the label of an extra class that has no images of its
own. Their areas under the margin are those of wrong labels, and whatever lies
below nearly all of them is taken for one. Pleiss, Zhang, Elenberg and
Weinberger 2020, arXiv 2001.10528, section 4.
"""

import numpy as np

# Each judges the examples that are not its own threshold samples, so that two
# disjoint draws judge them all.
NUM_DRAWS = 2
# Of the threshold samples' margins, as in the paper.
PERCENTILE = 99.0


def draw_threshold_samples(
  num_examples: int, num_classes: int, rng: np.random.Generator
) -> np.ndarray:
  """Disjoint random draws, each of the average size of a class.

  Args:
    num_examples: N.
    num_classes: without the extra one.
    rng: of the draw.

  Returns:
    bool[NUM_DRAWS, N]; N / (num_classes + 1) are true in each.
  """
  size = max(1, num_examples // (num_classes + 1))
  order = rng.permutation(num_examples)
  drawn = np.zeros((NUM_DRAWS, num_examples), bool)
  for draw in range(NUM_DRAWS):
    drawn[draw, order[draw * size : (draw + 1) * size]] = True
  return drawn


def margins_over_threshold(
  aum: np.ndarray, drawn: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """How far each example's area under the margin is above the threshold.

  Args:
    aum: float[NUM_DRAWS, N], of the training with each draw; NaN for examples
      that it never saw.
    drawn: bool[NUM_DRAWS, N], that training's threshold samples.

  Returns:
    float64[N], the mean over the trainings in which the example kept its
    label; at most 0 for a label that looks wrong, infinite where no training
    says anything. And the thresholds, float64[NUM_DRAWS].
  """
  aum = np.asarray(aum, np.float64)
  thresholds = np.array(
    [
      np.nanpercentile(margins[samples], PERCENTILE)
      for margins, samples in zip(aum, drawn, strict=True)
    ]
  )
  judges = ~drawn & ~np.isnan(aum)
  over = np.where(judges, aum - thresholds[:, None], 0.0)
  counts = judges.sum(0)
  mean = over.sum(0) / np.maximum(counts, 1)
  return np.where(counts > 0, mean, np.inf), thresholds
