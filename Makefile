PYTHON ?= python3
VENV ?= .venv
# Where PyPI would give a CUDA build that you do not want:
#   make TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"
TORCH ?= torch==2.13.0

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help demo test lint bench wheel clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED)  ## fit a growing network and draw what happened
	$(BIN)/python examples/demo.py

test: $(INSTALLED)  ## run the tests and the docstrings' examples
	$(BIN)/pytest

lint: $(INSTALLED)  ## check style, imports between rooms and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/mypy

bench: $(INSTALLED)  ## compare with other methods on real data
	$(BIN)/python -m benchmarks.gradient
	$(BIN)/python -m benchmarks.tabular --quick
	$(BIN)/python -m benchmarks.ridge --quick

wheel: $(INSTALLED)  ## build the wheel and check what is in it
	rm -rf dist
	$(BIN)/python -m build --wheel
	$(BIN)/python .ci/check_wheel.py dist/*.whl

clean:  ## remove what the other targets made, except the environment
	rm -rf build dist htmlcov .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -path './$(VENV)' -prune -o -name __pycache__ -prune -exec rm -rf {} +

# PyTorch first and pinned, so that no other package chooses its build.
$(INSTALLED): pyproject.toml tests/oracles.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps -r tests/oracles.txt
	touch $@
