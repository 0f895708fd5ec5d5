"""What the trained networks predict for the test split."""

import numpy as np

from datadiet.runtime import processes
from datadiet.runtime.mesh import flat_mesh
from datadiet.runtime.progress import progress
from datadiet.scoring.engine import Partial
from datadiet.scoring.passes import PRED_PROBS, PREDICTION
from datadiet.stages import train
from datadiet.stages.context import Context
from datadiet.stages.network_scores import make_engine
from datadiet.workdir import checkpoints


def predict_test(context: Context) -> np.ndarray | None:
  """The classes that the scoring runs predict at their last step.

  Args:
    context: of the experiment.

  Returns:
    int32[runs, M]; None where a network is missing, as after an import.

  Raises:
    Preempted: if the process was asked to stop.
  """
  config, split = context.config.train, context.dataset.test
  folders = [
    context.workdir.run(train.GROUP, run) for run in range(config.num_runs)
  ]
  if not processes.broadcast_from_lead(
    lambda: all(
      config.num_steps in checkpoints.variable_steps(folder)
      for folder in folders
    )
  ):
    return None
  # Asked for no score, it would pass nothing through the network.
  engine = make_engine(context, (), flat_mesh(), split, (PRED_PROBS,))
  found = np.zeros((config.num_runs, split.num_examples), np.int32)
  title = f'predictions for {split.num_examples} test images'
  with progress(title, found.size, 'images') as shown:
    for run, folder in enumerate(folders):
      start = run * split.num_examples

      def on_chunk(partial: Partial, start: int = start) -> None:
        shown.advance(start + partial.num_done - shown.done)
        processes.stop_if_any_is_asked_to()

      variables = checkpoints.load_variables(folder, config.num_steps)
      scores = engine.score(variables, on_chunk=on_chunk)
      if processes.is_lead():
        found[run] = scores[PREDICTION]
  return found
