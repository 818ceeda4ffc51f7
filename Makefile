# Every verb makes the virtual environment and installs what it needs, once; a second run installs nothing.
# Paths are relative throughout, so that the clone may lie in a folder with spaces in its name.

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input
# put in last by `python -m venv`: where it is, the environment is whole
MADE := $(VENV)/bin/pip
RUN_STAMP := $(VENV)/.installed-run
DEV_STAMP := $(VENV)/.installed-dev
PINS := pyproject.toml requirements.lock

# the Python to use (make demo PYTHON=/path/to/python3.12); without a name the first one that fits
PYTHON ?=
ARGS ?=
# what draws the demo: preview, or sonic with tiny made-up weights (that one installs torch)
RENDERER ?= preview
DEMO_STAMP := $(if $(filter sonic,$(RENDERER)),$(VENV)/.installed-sonic,$(RUN_STAMP))

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench up down lock clean

help: ## say what there is to do
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(DEMO_STAMP) ## make a talking-head video of the shipped lesson, on a farm that starts and ends with it
	@$(VENV)/bin/farm demo --renderer $(RENDERER) $(ARGS)

test: $(DEV_STAMP) ## run every test, real servers included (ARGS="-k words" for some of them)
	@$(PY) -m pytest -n 2 --dist loadfile $(ARGS)

lint: $(DEV_STAMP) ## check style, formatting, types and the import rule
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(DEV_STAMP) ## put the code in its format
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: $(DEV_STAMP) ## measure what the farm must reach, and print it
	@$(PY) bench/run.py $(ARGS)

up: $(RUN_STAMP) ## start the farm on this machine, in the background
	@$(VENV)/bin/farm up --detach $(ARGS)

down: $(RUN_STAMP) ## stop the farm on this machine; what it made is kept
	@$(VENV)/bin/farm down $(ARGS)

lock: $(MADE) ## pin every package anew, for every Python that the project runs on
	@$(PIP) install --quiet uv
	@$(PY) -m uv --quiet pip compile pyproject.toml --all-extras --universal --fork-strategy fewest \
		--python-version 3.11 --upgrade --no-annotate --no-header --no-emit-index-url --output-file requirements.lock > /dev/null
	@echo "requirements.lock: $$(wc -l < requirements.lock) packages"

clean: ## remove the virtual environment and what tools cached; the farm's folder stays
	rm -rf $(VENV) *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(MADE):
	@python=$$(sh deploy/find-python $(if $(PYTHON),"$(PYTHON)")) && "$$python" -m venv $(VENV)

$(RUN_STAMP): $(PINS) | $(MADE)
	@echo "Installing the farm into $(VENV), once: about a minute"
	@$(PIP) install --quiet --constraint requirements.lock --editable ".[workers,local]"
	@touch $@

$(VENV)/.installed-sonic: $(PINS) $(RUN_STAMP)
	@echo "Installing torch and what Sonic needs on top, once"
	@$(PIP) install --quiet --constraint requirements.lock --editable ".[workers,local,sonic]"
	@touch $@

$(DEV_STAMP): $(PINS) $(RUN_STAMP)
	@echo "Installing what the tests need on top, once"
	@$(PIP) install --quiet --constraint requirements.lock --editable ".[workers,local,dev]"
	@touch $@
