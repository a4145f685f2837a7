# Suture's house-keeping. `make` alone lists the targets. Everything runs in .venv, which is created on first use
# from exact pins (locks/) and needs nothing but Python 3.11-3.13 with venv and pip.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

# The first Python that the pins are known to install on; `make PYTHON=/path/to/python demo` chooses another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  "$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo "$$p" && break; done)

VENV := .venv
BIN := $(VENV)/bin
# Errors only: pip's log of a hundred packages hides the line that matters.
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq

DEMO := $(VENV)/.stamp-demo
DEV := $(VENV)/.stamp-dev
HOUSE := $(VENV)/.stamp-house

# One thread per process unless told otherwise: contended torch threads run many times slower.
export OMP_NUM_THREADS ?= 1

.PHONY: help
help: ## list the targets
	@echo "usage: make TARGET"
	@grep -hE '^[a-z][a-z-]*:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 16

##### what a newcomer runs

.PHONY: demo
demo: $(DEMO) $(HOUSE) ## the main job on this machine, with a report (ARGS="--out DIR" to say where)
	@$(BIN)/suture demo $(ARGS)

.PHONY: test
test: $(DEV) $(HOUSE) ## the tests, but for the slow ones (ARGS="-k link" to pick)
	@$(BIN)/python -m pytest $(ARGS)

.PHONY: test-all
test-all: $(DEV) $(HOUSE) ## all tests
	@$(BIN)/python -m pytest -m "" $(ARGS)

##### what a developer runs

.PHONY: check
check: lint types contract ## lint, types and the import contract

.PHONY: lint
lint: $(DEV) $(HOUSE) ## ruff: lint and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

.PHONY: types
types: $(DEV) $(HOUSE) ## mypy --strict over the seven packages
	@$(BIN)/mypy

.PHONY: contract
contract: $(DEV) $(HOUSE) ## who may import whom
	@$(BIN)/lint-imports

.PHONY: bench
bench: $(DEV) $(HOUSE) ## measure this machine: every docs/benchmarks/bench_*.py writes its page there
	@shopt -s nullglob; for script in docs/benchmarks/bench_*.py; do \
	  echo "$$script"; $(BIN)/python "$$script"; done

.PHONY: wheel
wheel: $(DEV) $(HOUSE) ## build dist/suture-*.whl
	@$(BIN)/python -m hatchling build -t wheel

.PHONY: lock
lock: ## resolve locks/*.txt afresh
	@$(call need_python) "$(PYTHON)" locks/lock.py

.PHONY: env
env: $(DEV) $(HOUSE) ## create .venv with everything

.PHONY: clean
clean: ## remove what was built, and the environment
	rm -rf $(VENV) dist out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

##### the environment

need_python = if [ -z "$(PYTHON)" ]; then \
  echo "Suture needs Python 3.11, 3.12 or 3.13; none is on PATH. Install one, or: make PYTHON=/path/to/python ..." >&2; \
  exit 1; fi;

$(BIN)/python:
	@$(call need_python) echo "Creating $(VENV) with $$("$(PYTHON)" --version)"; \
	"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(DEMO): locks/demo.txt | $(BIN)/python
	@echo "Installing what the demo needs (some minutes the first time)"
	@$(PIP) install -r locks/demo.txt
	@touch $@

$(DEV): locks/dev.txt locks/demo.txt | $(BIN)/python
	@echo "Installing what the tests need (some minutes the first time)"
	@$(PIP) install -r locks/dev.txt
	@touch $(DEMO) $@

# The pins hold all that Suture needs and what builds it, hence neither dependencies nor an isolated build here.
$(HOUSE): pyproject.toml | $(BIN)/python
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@
