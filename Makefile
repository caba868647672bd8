# `make demo` and `make test` do everything on a fresh Debian or Ubuntu machine with Python 3.11 or later.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test test-wide test-slow chaos check lint types bench pictures clean

setup: $(VENV)/.ready

# The test extras are part of the setup, so that `make test` needs no second download. `make setup EXTRA=dev` installs what
# linting needs as well, at once; ALSO names further requirements.
EXTRA ?= test
ALSO ?=
# One more than the usual two cores, since tests of processes mostly wait. Not two more: each worker collects every test.
WORKERS ?= 3
# Threads of numpy and torch spin while they wait for each other: on cores that all workers share, for long.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
# What tests start is compiled once, also where the environment (an image for containers, say) asks Python to keep nothing.
unexport PYTHONDONTWRITEBYTECODE

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make setup: needs Python 3.11 or later, $(PYTHON) is $$($(PYTHON) -V 2>&1); set PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "make setup: cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[$(EXTRA)]' $(ALSO)
	@touch $@ $(if $(filter dev,$(EXTRA)),$(VENV)/.ready-dev)

demo: setup
	$(BIN)/python launch.py lm --tokens 1400

# A worker runs a file as a whole, the longest first (tests/conftest.py). WORKERS=0 runs all in one process. EXTENT=gate is what a
# change must pass: these tests, and what they leave out, more parameters, more processes, and the trainer with torch.
EXTENT ?= quick
PYTEST := $(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test: setup
	$(PYTEST) $(if $(filter gate,$(EXTENT)),-m 'not slow',--ignore tests/training)

test-wide: setup
	$(PYTEST) -m 'wide and not slow'

# What takes long, and every search of hypothesis with all of its examples.
test-slow: setup
	$(ONE_THREAD) GENNAKER_WHOLE_TESTS=1 $(BIN)/python -m pytest -m 'slow or search'

# N signals, each to a drawn process at a drawn moment; docs/reliability.md says what came of them. A trial that failed is repeated
# by its number: python -m tests.tools.nemesis --seed SEED --only NUMBER.
N ?= 50
SEED ?= 1

chaos: setup
	$(BIN)/python -m tests.tools.nemesis --trials $(N) --seed $(SEED)

$(VENV)/.ready-dev: $(VENV)/.ready
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready-dev
	$(BIN)/mypy

check: lint types
	$(MAKE) test EXTENT=gate

# Needs torch for peers: make setup EXTRA=test,train
bench: setup
	@$(BIN)/python -c 'import torch' 2>/dev/null || { echo "make bench: needs torch: make clean, make setup EXTRA=test,train" >&2; exit 1; }
	$(BIN)/python -m bench.noc
	$(BIN)/python -m bench

# The pictures of README.md and docs/, from the shipped trained models; needs Chromium.
pictures: setup
	$(BIN)/python -m bench.pictures

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
