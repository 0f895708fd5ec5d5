"""Libraries that an extra installs, and the error where one is missing."""

import importlib.util
import os

from datadiet.errors import DataDietError

# Module -> the extra in pyproject.toml that installs it.
EXTRA_OF = {
  'altair': 'report',
  'array_record': 'stream',
  'clu': 'tfds',
  'cv2': 'photographs',
  'datasets': 'export',
  'dm_pix': 'augment',
  'faiss': 'report',
  'gcsfs': 'gcs',
  'jinja2': 'report',
  'markupsafe': 'report',
  'pandas': 'report',
  'pyarrow': 'export',
  's3fs': 's3',
  'simplejpeg': 'photographs',
  'sklearn': 'report',
  'tensorflow': 'tfds',
  'tensorflow_datasets': 'tfds',
  'threadpoolctl': 'report',
  'torch': 'torch',
  'umap': 'map',
  'vl_convert': 'report',
}


class MissingLibraryError(DataDietError, ImportError):
  """A required library is not installed; the message has the command for it."""


def missing_library(needed_by: str, *modules: str) -> MissingLibraryError:
  """The error with the command that installs the missing libraries.

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
  """Silences the messages that TensorFlow prints when it is imported.

  Call it before the import. The user's own variables take precedence.
  """
  # The message on oneDNN ignores log levels; none of its kernels are used.
  os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')
  if os.environ.get('TF_CPP_MIN_LOG_LEVEL') in (None, '1'):  # JAX sets it to 1.
    os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
