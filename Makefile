# Every target sets up what it needs in .venv, from a clean clone, with Python 3.11 or newer.
#
#   make demo      photograph and mask in, alpha, cut-out, composite and comparison out (demo_output/)
#   make test      the fast tests              make test-all   the slow ones too
#   make check     ruff, strict types, import contracts
#   make bench     times on this machine       make setup      all of it installed, nothing run
#   make fuzz      a minute of damaged files   make clean      removes .venv and what was made
#   make docs      the site, in build/site     make notebooks  runs the notebooks, keeps their output
#   make figures   every table and picture of the documentation, from the weights (VALIDATION=folder)
#   make page      the page without a service, in build/page
#   make dist      wheel and sdist in dist/    make sbom       what an installation consists of, in dist/
#   make compat    the wheel in every Python   make constraints  pins anew    make api  the pinned interface anew
#
# PYTHON=python3.12 chooses the interpreter. PyTorch comes from wherever pip's own settings say: its CPU build where they
# offer one and there is no NVIDIA driver, else the newest. TORCH="torch==2.9.1" overrides that. PYTEST_ARGS="-k sparse" is
# handed to pytest.

SUITABLE := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for candidate in python3.11 python3.12 python3.13 python3.14 python3; do \
	"$$candidate" -c '$(SUITABLE)' 2>/dev/null && { echo "$$candidate"; break; }; done)
VENV := .venv
RUN := $(VENV)/bin/python
RUNTIME := $(VENV)/.installed-runtime
DEV := $(VENV)/.installed-dev
DOCS := $(VENV)/.installed-docs
RELEASE := .cache/release
WORKERS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(WORKERS)
PYTEST_ARGS ?=
VALIDATION ?=
PARTS ?=
START := $(shell date +%s)
TORCH ?=
COMPAT ?=

.PHONY: help setup demo test test-all fuzz check format bench bench-quick docs notebooks figures page dist sbom compat constraints api clean
.DEFAULT_GOAL := help

help:
	@sed -n '3,12s/^# *//p' Makefile

setup: $(DEV)

demo: $(RUNTIME)
	$(RUN) examples/demo.py
	@echo "make demo took $$(( $$(date +%s) - $(START) )) s in all"

test: $(DEV)
	$(PYTEST) -m "not slow and not gpu and not network" $(PYTEST_ARGS)

test-all: $(DEV) $(DOCS)
	$(PYTEST) -m "not network" $(PYTEST_ARGS)

fuzz: $(DEV)
	OMP_NUM_THREADS=1 $(RUN) -m tests.fuzz --seconds 60
	OMP_NUM_THREADS=1 $(RUN) -m tests.fuzz --masks --seconds 20
	OMP_NUM_THREADS=1 $(RUN) -m tests.fuzz --photos --seconds 20

check: $(DEV)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(DEV)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: $(DEV)
	$(RUN) benchmarks/bench.py

bench-quick: $(DEV)
	$(RUN) benchmarks/bench.py --quick

docs: $(DOCS)
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

notebooks: $(DOCS)
	$(RUN) tools/run_notebooks.py

figures: $(DEV)
	OMP_NUM_THREADS=1 $(RUN) tools/make_figures.py $(if $(VALIDATION),--validation "$(VALIDATION)") $(PARTS)

page: $(RUNTIME)
	$(RUN) -m pip install --quiet -e ".[export]"
	$(RUN) -m mask2alpha page -o build/page

dist: $(RELEASE)/.installed
	$(RELEASE)/bin/python tools/make_distributions.py

sbom: dist $(RUNTIME)
	$(RELEASE)/bin/python tools/make_sbom.py --torch \
		"torch==$$($(RUN) -c 'from importlib.metadata import version; print(version("torch"))')"

compat: dist
	OMP_NUM_THREADS=1 $(RELEASE)/bin/python tools/check_compatibility.py --torch "$(TORCH)" $(COMPAT)

constraints: $(RELEASE)/.installed
	$(RELEASE)/bin/python tools/pin_constraints.py

api: $(DEV)
	$(RUN) tools/write_public_api.py

clean:
	rm -rf $(VENV) $(RELEASE) demo_output build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; none was found. Say which: make PYTHON=/path/to/python3"; exit 1; }
	@"$(PYTHON)" -c '$(SUITABLE)' || { echo "Python 3.11 or newer is needed; $(PYTHON) is older."; exit 1; }
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); echo "Python's venv module is missing (Debian: python3-venv)."; exit 1; }

# Dependency groups need pip 25.1, and known holes pip 26.1
$(VENV)/.pip: | $(VENV)/bin/python
	$(RUN) -m pip install --quiet "pip>=26.1"
	@touch $@

# pip alone would prefer a newer CUDA build, several gigabytes of it, to the CPU build beside it
$(VENV)/.installed-torch: | $(VENV)/bin/python
	@torch="$(TORCH)"; \
	if [ -z "$$torch" ]; then \
		command -v nvidia-smi >/dev/null || cpu=$$($(RUN) -m pip index versions torch 2>/dev/null \
			| grep -oE '[0-9][0-9.]*\+cpu' | head -n 1); \
		torch="torch$${cpu:+==$$cpu}"; \
	fi; \
	echo "pip install $$torch"; $(RUN) -m pip install --quiet "$$torch"
	@touch $@

$(RUNTIME): pyproject.toml $(VENV)/.installed-torch
	$(RUN) -m pip install --quiet -e .
	@touch $@

$(DEV): pyproject.toml $(VENV)/.installed-torch $(VENV)/.pip
	$(RUN) -m pip install --quiet -e ".[train,report,peers,prompts,formats,serve,video]" --group dev
	@touch $@ $(RUNTIME)

$(DOCS): pyproject.toml $(VENV)/.installed-torch $(VENV)/.pip
	$(RUN) -m pip install --quiet -e ".[prompts,report,peers]" --group docs
	@touch $@ $(RUNTIME)

# needs Python 3.11 or newer; apart from .venv, because nobody but a release needs these tools
$(RELEASE)/.installed: constraints/release.txt
	"$(PYTHON)" -m venv --clear $(RELEASE)
	$(RELEASE)/bin/python -m pip install --quiet --require-hashes -r constraints/release.txt
	@touch $@
