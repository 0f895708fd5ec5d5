# Everything runs in .venv, which the first target that needs it makes.

PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
CONFIG ?= configs/cnn_digits.py
WORKDIR ?= workdirs/digits

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' \
	  $(MAKEFILE_LIST)

.PHONY: demo
demo: $(STAMP) ## Put the digits data set on a diet (WORKDIR=workdirs/digits).
	@$(VENV)/bin/python -m datadiet.main --config=$(CONFIG) --workdir=$(WORKDIR)

.PHONY: test
test: lint ## Check the style, then run the tests.
	@$(VENV)/bin/python -m pytest -q -n $(TEST_PROCESSES)

.PHONY: lint
lint: $(STAMP) ## Check the style only.
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/ruff format --quiet --check .

.PHONY: format
format: $(STAMP) ## Put the style right where ruff can.
	@$(VENV)/bin/ruff check --quiet --fix .
	@$(VENV)/bin/ruff format --quiet .

.PHONY: install
install: $(STAMP) ## Make .venv and install the package, no more.

.PHONY: clean
clean: ## Remove .venv and the tools' caches; workdirs stay.
	@rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache
