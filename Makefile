PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: check test

$(VENV)/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

check: $(VENV)/installed
	$(BIN)/ruff check mta tests bench twisted
	$(BIN)/ruff format --check mta tests bench twisted
	$(BIN)/mypy

test: $(VENV)/installed
	$(BIN)/pytest
