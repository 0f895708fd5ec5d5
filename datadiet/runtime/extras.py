"""Libraries that come with an extra of the package, and what to say without."""

import importlib.util
import os

from datadiet.errors import DataDietError

# Module -> the extra in pyproject.toml that installs it.
EXTRA_OF = {
  'altair': 'report',
  'clu': 'tfds',
  'datasets': 'export',
  'gcsfs': 'gcs',
  'jinja2': 'report',
  'markupsafe': 'report',
  'pandas': 'report',
  'pyarrow': 'export',
  's3fs': 's3',
  'sklearn': 'report',
  'tensorflow': 'tfds',
  'tensorflow_datasets': 'tfds',
  'threadpoolctl': 'report',
  'vl_convert': 'report',
}


class MissingLibraryError(DataDietError, ImportError):
  """A library that is needed is not installed; says how to install it."""


def missing_library(needed_by: str, *modules: str) -> MissingLibraryError:
  """The error that says which command installs what is missing.

  Args:
    needed_by: the setting or function that cannot do without, for the user.
    *modules: keys of `EXTRA_OF` that are not installed.
  """
  extra = ','.join(sorted({EXTRA_OF[module] for module in modules}))
  return MissingLibraryError(
    f'{needed_by} needs {", ".join(modules)}, not installed here; install with '
    f"`pip install 'datadiet[{extra}]'`, or in a clone of the repository "
    f"`pip install -c constraints.txt -e '.[{extra}]'`"
  )


def require(needed_by: str, *modules: str) -> None:
  """Checks that libraries are installed, without importing them.

  Args:
    needed_by: the setting or function that cannot do without, for the user.
    *modules: keys of `EXTRA_OF`.

  Raises:
    MissingLibraryError: naming all that are not.
  """
  missing = [name for name in modules if not importlib.util.find_spec(name)]
  if missing:
    raise missing_library(needed_by, *missing)


def quiet_tensorflow() -> None:
  """Keeps off the terminal what TensorFlow says of itself when it starts.

  To be called before its import. A variable of the user's wins.
  """
  # The line on oneDNN heeds no log level, and none of its kernels are used.
  os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')
  if os.environ.get('TF_CPP_MIN_LOG_LEVEL') in (None, '1'):  # JAX sets 1.
    os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
