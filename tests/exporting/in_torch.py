"""Runs code that opens an export in PyTorch, in a process of its own."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from tests import running

# Looked for and not imported: PyTorch after TensorFlow in one process crashes.
needs_torch = pytest.mark.skipif(
  importlib.util.find_spec('torch') is None, reason='needs torch'
)
needs_torchvision = pytest.mark.skipif(
  importlib.util.find_spec('torchvision') is None, reason='needs torchvision'
)
_BEFORE = """
import sys, types
import numpy as np
try:
  import torchvision
except ImportError:
  pass
except RuntimeError:
  # Beside a PyTorch of another build its binary part is not loaded, of which
  # this module describes operators. No data set needs one.
  name = 'torchvision._meta_registrations'
  sys.modules[name] = types.ModuleType(name)
  import torchvision
"""
_AFTER = """
images, labels = zip(*[subset[i] for i in range(len(subset))])
samples = getattr(getattr(subset, 'dataset', subset), 'samples', [])
np.savez(
  sys.argv[1],
  images=np.stack([np.asarray(image) for image in images]),
  labels=np.array([int(label) for label in labels]),
  paths=np.array([path for path, _ in samples]),
)
"""


def run(code, folder, before=''):
  """Runs the code in a process of its own, and returns what it gives.

  Args:
    code: to run, which defines `subset`.
    folder: where it runs.
    before: code to run first.
  """
  script = '\n'.join((_BEFORE, before, code, _AFTER))
  path = folder / 'given.npz'
  path_of_modules = [str(running.REPOSITORY), *filter(None, sys.path)]
  subprocess.run(
    [sys.executable, '-c', script, str(path)],
    cwd=folder,
    env={**os.environ, 'PYTHONPATH': os.pathsep.join(path_of_modules)},
    check=True,
  )
  return np.load(path)
