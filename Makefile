# Two commands do all the set-up: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
BENCHMARKS ?= runs/benchmarks

.PHONY: demo test lint benchmarks docs clean

demo: $(VENV)/ready
	$(RUN) -m bertinchamps.demo

test: $(VENV)/ready lint
	$(RUN) -m pytest -n 2 --dist worksteal

lint: $(VENV)/ready
	$(VENV)/bin/ruff check --no-cache .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# The site of docs/ in site/, which opens without a network; a warning is an error.
docs: $(VENV)/ready
	$(VENV)/bin/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build

# On a machine that does nothing else: hours. `make benchmarks BENCHMARKS=folder` says where results go.
benchmarks: $(VENV)/ready
	$(RUN) -m benchmarks all --folder $(BENCHMARKS)

# The constraints pin what was tested; torch comes first, so that nothing else chooses its build.
$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.11 …")'
	@echo 'Setting up $(VENV): about 140 packages; with a slow network some ten minutes, the first time only.'
	$(PYTHON) -m venv $(VENV)
	@echo 'PyTorch …'
	$(VENV)/bin/pip install --quiet --progress-bar on --constraint constraints.txt "$$(grep '^torch==' constraints.txt)"
	@echo 'All else …'
	$(VENV)/bin/pip install --progress-bar off --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache
