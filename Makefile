# `make serve` and `make test` first set up what they need, once: a virtual environment in .venv, the pinned
# packages of constraints.txt, and Chromium for the tests.
#
#   make serve ARGS="--port 5007"      make test ARGS="tests/cli/test_cli.py"      make JOBS=4 test

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
ARGS ?=
BIN := $(VENV)/bin
export PYTHON VENV
SHELL := /bin/bash

.PHONY: help setup serve test test-quick lint format pins bench notebooks clean
.DEFAULT_GOAL := help

help:
	@echo "make serve      open everything in a browser         (ARGS='--model … --samples …')"
	@echo "make test       run all tests, browser included      (ARGS='tests/cli/test_cli.py -k list')"
	@echo "make test-quick run the tests without browser, JupyterLab, training and slow ones"
	@echo "make lint       check source and types;  make format  formats it"
	@echo "make pins       rewrite constraints.txt              (ARGS=--upgrade)"
	@echo "make bench      run every benchmark of the README"
	@echo "make notebooks  run the notebooks top to bottom"

setup:
	@bash scripts/setup.sh python

serve: setup
	@$(BIN)/xai-views serve $(ARGS)

# One thread per process: two test processes that both use all cores slow each other down.
test: setup
	@bash scripts/setup.sh browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --durations=10 $(ARGS)

# At most four minutes on two cores; the slowest tests are listed at the end and stored in test-output/durations.txt.
test-quick: setup
	@mkdir -p test-output
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --durations=25 \
	    -m "not (browser or lab or training or slow)" $(ARGS) | tee test-output/durations.txt; exit $${PIPESTATUS[0]}

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Run after a change of pyproject.toml; pinned versions stay unless ARGS=--upgrade, or
# ARGS='--upgrade-package torch'. On Linux torch may include CUDA, so its packages are pinned too; a CPU
# build installs none of them. Debian 12 has Python 3.11.2 and a pip that cannot resolve extras against constraints.
pins: setup
	echo pip | UV_CUSTOM_COMPILE_COMMAND="make pins" $(BIN)/uv pip compile pyproject.toml - --extra all --extra test \
	    --python-version 3.11.2 --no-annotate --quiet --output-file constraints.txt $(ARGS)

bench: setup
	@set -e; for file in benchmarks/[a-z]*.py; do echo "== $$file"; $(BIN)/python "$$file" $(ARGS); done

notebooks: setup
	$(BIN)/python -m pytest --nbmake --nbmake-timeout=120 notebooks $(ARGS)

clean:
	rm -rf build dist test-output .mypy_cache .pytest_cache .ruff_cache
