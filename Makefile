# One environment, made on first use and again when the dependencies change.
PYTHON ?= python3
VENV ?= .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif

.DEFAULT_GOAL := help
.PHONY: help demo test test-data test-oracles check bench faults soak docs clean

help:  ## This list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

demo: $(VENV)/.package  ## Track a landslide whose truth is known, into sensetrack-demo/.
	$(BIN)/sensetrack demo -o sensetrack-demo --overwrite

test: $(VENV)/.test  ## Unit and functional tests; no data, no network.
	$(BIN)/python -m pytest

test-data: $(VENV)/.test  ## Tests on real scenes; needs SENSETRACK_TEST_DATA, a skip is a failure.
	@test -n "$(SENSETRACK_TEST_DATA)" || { echo "set SENSETRACK_TEST_DATA to the folder of the test data"; exit 1; }
	$(BIN)/python -m pytest -m data --fail-on-skip

test-oracles: $(VENV)/.oracle  ## Compare with published readers, which are installed for that.
	$(BIN)/python -m pytest -m oracle

check: $(VENV)/.check  ## Lint, formatting, types, import contracts, docs without warnings.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

docs: $(VENV)/.check  ## Build the documentation into docs/_build/html.
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

bench: $(VENV)/.bench  ## Measure, and write the tables in docs/benchmarks*.md and docs/accuracy.md.
	@missed=0; for script in run accuracy subpixel engine complex_chips sar slc stack jobs batch; do $(BIN)/python benchmarks/$$script.py || missed=1; done; \
	$(BIN)/python examples/shirase/offline.py --size whole || missed=1; exit $$missed

faults: $(VENV)/.test  ## Kill and interrupt studies again and again, and write docs/benchmarks-faults.md.
	$(BIN)/python benchmarks/faults.py

soak: $(VENV)/.bench  ## Scenes of full size, and an hour of killed workers; writes docs/benchmarks-scaling.md, -sar.md, -soak.md.
	@missed=0; $(BIN)/python benchmarks/scaling.py || missed=1; $(BIN)/python benchmarks/sar.py --full || missed=1; \
	$(BIN)/python benchmarks/batch.py --soak 60 || missed=1; exit $$missed

clean:  ## Remove everything that was made, the environment included.
	rm -rf $(VENV) build dist docs/_build docs/gallery docs/reference/generated sensetrack-demo
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.venv:
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.package: $(VENV)/.venv pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.test: $(VENV)/.venv pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test]"
	@touch $@ $(VENV)/.package

$(VENV)/.check: $(VENV)/.venv pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[check,docs,test]"
	@touch $@ $(VENV)/.test $(VENV)/.package

$(VENV)/.oracle: $(VENV)/.venv pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[oracle,test]"
	@touch $@ $(VENV)/.test $(VENV)/.package

$(VENV)/.bench: $(VENV)/.venv pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[bench,test]"
	@touch $@ $(VENV)/.test $(VENV)/.package
