"""Prints what a measurement was made with: versions and devices.

python -m benchmarks.versions
"""

import platform
import shutil
import subprocess
from importlib import metadata

PACKAGES = (
  'jax',
  'jaxlib',
  'jax-cuda12-plugin',
  'jax-cuda13-plugin',
  'nvidia-cudnn-cu12',
  'nvidia-cudnn-cu13',
  'flax',
  'optax',
  'safetensors',
  'numpy',
  'torch',
)


def main() -> None:
  """Prints a line for each."""
  if shutil.which('nvidia-smi'):
    subprocess.run(['nvidia-smi'], check=False)
  print('python', platform.python_version(), platform.machine())
  for package in PACKAGES:
    try:
      print(package, metadata.version(package))
    except metadata.PackageNotFoundError:
      print(package, 'is not installed')
  import jax

  for device in jax.devices():
    print(device.platform, device.device_kind)


if __name__ == '__main__':
  main()
