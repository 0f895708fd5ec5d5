"""The stages, and the tables of a workdir: names and columns, stated once."""

# In the order they run; timing.json has an entry for each.
STAGES = (
  'train',
  'score',
  'inspect',
  'audit',
  'select',
  'retrain',
  'report',
)

# The training curves of a run.
HISTORY = 'history.csv'
HISTORY_COLUMNS = (
  'step',
  'epoch',
  'learning_rate',
  'train_loss',
  'train_accuracy',
  'test_loss',
  'test_accuracy',
)

# Of a manifest of a run: its accuracies on further test splits, by name.
EXTRA_TEST_ACCURACY = 'extra_test_accuracy'

# The ids of the test split, one a line.
TEST_IDS = 'test_ids.txt'

# Of runs, as results give them. Runs of one `network`, a number, begin with the
# same one and meet the same random numbers.
TRAIN_RUN_COLUMNS = (
  'run',
  'network',
  'num_examples',
  'num_steps',
  'test_accuracy',
)
RETRAIN_COLUMNS = (
  'selection',
  'run',
  'network',
  'num_kept',
  'fraction',
  'num_steps',
  'test_accuracy',
)

# What manifests say of a selection, whatever data it is made of.
SELECTION_FACTS = (
  'policy',
  'options',
  'score',
  'step',
  'num_kept',
  'class_balanced',
  'budget',
)

# The inspection, below inspection/. Embeddings are float32[N, d] of the train
# split and float32[M, d] of the test split; neighbours int32 and float32[N, k],
# by cosine distance, the nearest first.
EMBEDDINGS = 'embeddings.npy'
TEST_EMBEDDINGS = 'test_embeddings.npy'
NEIGHBOUR_INDEX = 'neighbour_index.npy'
NEIGHBOUR_DISTANCE = 'neighbour_distance.npy'
# float32[N, 2]: places of the train split in the plane.
MAP = 'map.npy'
# int32[runs, M]: classes that the scoring runs predict at their last step.
TEST_PREDICTIONS = 'test_predictions.npy'
# Pairs of images that are the same or nearly so, the nearest first; a is in
# train. Their groups: `keep` is 1 for the best copy, and for test images.
NEAR_DUPLICATES = 'near_duplicates.csv'
NEAR_DUPLICATES_COLUMNS = (
  'split_a',
  'index_a',
  'id_a',
  'label_a',
  'split_b',
  'index_b',
  'id_b',
  'label_b',
  'distance',
  'exact',
  'found_by',
  'group',
)
DUPLICATE_GROUPS = 'duplicate_groups.csv'
DUPLICATE_GROUPS_COLUMNS = ('example_index', 'id', 'split', 'group', 'keep')
# A measure a column between the id and the flags, 0 to 1, 1 the worst; flags
# are the names of those over their threshold, with ; between.
INSPECTED_EXAMPLES = 'examples.csv'
# Groups that networks are bad at, the worst first; examples with ; between.
BAD_GROUPS = 'groups.csv'
BAD_GROUPS_COLUMNS = (
  'group',
  'num_examples',
  'accuracy',
  'class_name',
  'class_share',
  'examples',
)
# How well a property tells the label, 0 as by chance, 1 always.
SHORTCUTS = 'shortcuts.csv'
SHORTCUTS_COLUMNS = ('property', 'predicts')

# The label audit, below audit/.
LABEL_ISSUES = 'label_issues.csv'
LABEL_ISSUES_COLUMNS = (
  'example_index',
  'id',
  'given_label',
  'given_label_name',
  'suggested_label',
  'suggested_label_name',
  'suspicion',
  'probability',
  'rank',
  'is_issue',
)

# What people decided about examples; the last column may be left out.
FINGERPRINT = 'fingerprint'
DECISIONS_COLUMNS = ('example_index', 'id', 'decision', 'label', FINGERPRINT)
# What is made of decisions: labels, examples to train on and left-out ones.
REVIEWED_LABELS, REVIEWED_KEPT = 'labels.csv', 'kept.npy'
REVIEWED_DROPPED, REVIEW_SUMMARY = 'dropped.csv', 'summary.json'
# The kind that the summary says it is.
REVIEW_KIND = 'applied decisions'


def extra_test_column(name: str) -> str:
  """The column of training curves that is of a further test split."""
  return f'test_accuracy_{name}'


def is_history_column(name: str) -> bool:
  """Whether a column is of training curves."""
  return name in HISTORY_COLUMNS or name.startswith(extra_test_column(''))
