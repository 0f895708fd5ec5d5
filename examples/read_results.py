"""Reads the results of a workdir, cell by cell, as in a notebook.

python examples/read_results.py workdirs/digits

Editors that know `# %%` run it by cells; in a notebook, paste them.
"""

# %% Open a workdir, finished or not; everything is read when asked for.
import sys

import datadiet

workdir = sys.argv[1] if sys.argv[1:] else 'workdirs/digits'
results = datadiet.load_results(workdir)
print(results)

# %% Mean scores: one row an example, indexed by example_index.
scores = results.scores
names = [name for name in scores.columns if name not in ('id', 'label')]
# The score that the cells below look at; None while nothing was scored.
score = names[0] if names else None
if score:
  print(scores[names].describe().T[['mean', 'std', 'min', 'max']])
  print(scores[names].corr('spearman').round(2))

# %% What a score is, and which end of it is hard.
for name, statement in results.score_info().items():
  print(
    f'{name}: {statement["definition"]}, higher is {statement["higher_is"]}'
  )

# %% How well the runs agree on one score.
if score:
  print(results.run_scores(score).corr('spearman').round(3))

# %% The hardest examples of each class.
if score:
  is_low_hard = results.score_info()[score]['higher_is'] == 'easier'
  hardest = scores.sort_values(score, ascending=is_low_hard)
  hardest = hardest.groupby('label').head(3)
  print(hardest.sort_values('label')[['id', 'label', score]])

# %% Training curves: the last test accuracy of every run.
tested = results.history.dropna(subset='test_accuracy')
print(tested.groupby(['group', 'run'])['test_accuracy'].last())

# %% Selections, and how many of each class they keep.
for name, selection in results.selections.items():
  labels = scores.loc[selection.kept(), 'label']
  print(f'{name}: {labels.value_counts().sort_index().to_dict()}')

# %% Accuracy after retraining, over runs.
accuracy = results.retrain.groupby('selection')['test_accuracy']
print(accuracy.agg(['mean', 'std', 'count']).sort_values('mean'))
