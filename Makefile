# make tune   installs what is needed and runs the digits study (CPU, minutes)
# make test   installs what is needed and runs all tests
# make lint   ruff, mypy and the import rules
PYTHON ?= python3
BIN := .venv/bin

.PHONY: tune test lint docs clean

tune: .venv/installed
	@$(BIN)/tune-diffreg run search_spaces/digits.yaml

test: .venv/installed-dev
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: .venv/installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

docs: .venv/installed-dev
	@$(BIN)/python tools/study_reference.py
	@$(BIN)/python tools/result_tables.py

clean:
	rm -rf .venv

# Installing prints little: what it says that matters is an error.
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tune-diffreg needs Python 3.11 or later; this is " + sys.version.split()[0] + " (make PYTHON=...)")'
	@echo "Installing into .venv, once: about 6.5 GB, most of it PyTorch; some minutes ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

.venv/installed-dev: .venv/installed
	@echo "Installing what the tests need ..."
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@
