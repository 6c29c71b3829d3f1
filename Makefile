# Everything a person types. `make setup` is implied by every other target; nothing else has to be installed by hand.
SHELL := /bin/bash -o pipefail
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS ?= all
STAMP := $(VENV)/.setup-$(EXTRAS)
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup demo test lint format docs clean

help:
	@echo "make setup   create $(VENV) with pinned versions (EXTRAS=train for a bare GPU node)"
	@echo "make demo    reads to velocities on simulated data, with a report (about ten minutes on two cores)"
	@echo "make test    all tests that this machine can run"
	@echo "make lint    formatter, linter, types, snakefmt, snakemake --lint"
	@echo "make format  rewrite the sources in the house format"
	@echo "make docs    build the documentation into site/"

setup: $(STAMP)

# velocyto's source distribution imports numpy and Cython while it builds, so those go first and it builds without isolation.
$(STAMP): pyproject.toml requirements/constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "velocorpus needs Python 3.11 or later")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c requirements/constraints.txt numpy Cython setuptools wheel
	if [ $(EXTRAS) = all ]; then $(BIN)/python -m pip install -q --no-build-isolation -c requirements/constraints.txt velocyto; fi
	$(BIN)/python -m pip install -q -c requirements/constraints.txt -e '.[$(EXTRAS)]'
	touch $@

demo: setup
	scripts/demo

# A worker a core: libraries that start threads of their own would only be in each other's way.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/snakefmt Snakefile workflow

docs: setup
	$(BIN)/mkdocs build --strict

clean:
	rm -rf results logs site .snakemake
