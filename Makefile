# Every target sets up what it needs in .venv, from a clean clone, with Python 3.10 or newer.
#
#   make demo      photograph and mask in, alpha, cut-out, composite and comparison out (demo_output/)
#   make test      the fast tests              make test-all   the slow ones too
#   make check     ruff, strict types, import contracts
#   make bench     times on this machine       make setup      all of it installed, nothing run
#   make clean     removes .venv and what was made
#
# PYTHON=python3.12 chooses the interpreter. PyTorch comes from wherever pip's own settings say; with none, pip on Linux takes the
# large CUDA build. PYTEST_ARGS="-k sparse" is handed to pytest.

SUITABLE := import sys; sys.exit(sys.version_info < (3, 10))
PYTHON ?= $(shell for candidate in python3.11 python3.12 python3.13 python3.10 python3; do \
	"$$candidate" -c '$(SUITABLE)' 2>/dev/null && { echo "$$candidate"; break; }; done)
VENV := .venv
RUN := $(VENV)/bin/python
RUNTIME := $(VENV)/.installed-runtime
DEV := $(VENV)/.installed-dev
WORKERS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(WORKERS)
PYTEST_ARGS ?=

.PHONY: help setup demo test test-all check format bench clean
.DEFAULT_GOAL := help

help:
	@sed -n '3,7s/^# *//p' Makefile

setup: $(DEV)

demo: $(RUNTIME)
	$(RUN) examples/demo.py --output demo_output

test: $(DEV)
	$(PYTEST) -m "not slow and not gpu and not network" $(PYTEST_ARGS)

test-all: $(DEV)
	$(PYTEST) -m "not network" $(PYTEST_ARGS)

check: $(DEV)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(DEV)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: $(RUNTIME)
	$(RUN) benchmarks/bench.py

clean:
	rm -rf $(VENV) demo_output build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.10 or newer is needed; none was found. Say which: make PYTHON=/path/to/python3"; exit 1; }
	@"$(PYTHON)" -c '$(SUITABLE)' || { echo "Python 3.10 or newer is needed; $(PYTHON) is older."; exit 1; }
	"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); echo "Python's venv module is missing (Debian: python3-venv)."; exit 1; }

$(RUNTIME): pyproject.toml | $(VENV)/bin/python
	$(RUN) -m pip install --quiet -e .
	@touch $@

$(DEV): pyproject.toml | $(VENV)/bin/python
	$(RUN) -m pip install --quiet -e ".[dev]"
	@touch $@ $(RUNTIME)
