# make tune   installs what is needed and runs the digits study (CPU, minutes)
# make test   installs what is needed and runs the tests, but for drills
# make drills the same for drills: tests that do harm to whole studies, ten minutes
# make lint   ruff, mypy and the import rules
PYTHON ?= python3
BIN := .venv/bin
PYTEST = $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: tune test drills lint docs clean

tune: .venv/installed
	@$(BIN)/tune-diffreg run search_spaces/digits.yaml

test: .venv/installed-dev
	@$(PYTEST) -m 'not drill'

drills: .venv/installed-dev
	@$(PYTEST) -m drill

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
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tune-diffreg needs Python 3.11 or later; this is " + sys.version.split()[0] + " (make PYTHON=...)")'
	@echo "Installing into .venv$(2), once: about 6.5 GB in all, most of it PyTorch; some minutes ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --constraint constraints.txt --editable '$(1)'
endef

.venv/installed: pyproject.toml constraints.txt
	$(call install,.)
	@touch $@

.venv/installed-dev: pyproject.toml constraints.txt
	$(call install,.[dev], with what the tests need)
	@touch .venv/installed $@
