"""The stages, and the tables of a workdir: names and columns, stated once."""

# In the order they run; timing.json has an entry for each.
STAGES = ('train', 'score', 'audit', 'select', 'retrain', 'report')

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

# The ids of the test split, one a line.
TEST_IDS = 'test_ids.txt'

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
  'rank',
  'is_issue',
)
