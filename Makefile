# Two commands do all the set-up: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
BENCHMARKS ?= runs/benchmarks
# requirements.lock has the files of one platform; elsewhere constraints.txt says the versions, and nothing the files.
HAS_LOCK := import platform, sys; sys.exit((*sys.version_info[:2], platform.system(), platform.machine()) != (3, 11, "Linux", "x86_64"))
TORCH := --constraint constraints.txt "$$(grep '^torch==' constraints.txt)"

.PHONY: demo test lint benchmarks docs lock clean

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

# PyTorch has many builds of one version, for processors and for cards: its version is pinned, its file is not. It comes
# after the lock, whose packages it shares; without the lock it comes first, so that nothing else chooses its build.
$(VENV)/ready: pyproject.toml constraints.txt requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.11 …")'
	@echo 'Setting up $(VENV): about 140 packages; with a slow network some ten minutes, the first time only.'
	$(PYTHON) -m venv $(VENV)
	@if $(RUN) -c '$(HAS_LOCK)'; then set -ex; \
		$(VENV)/bin/pip install --progress-bar off --no-deps --require-hashes --requirement requirements.lock; \
		$(VENV)/bin/pip install --quiet --progress-bar on $(TORCH); \
		$(VENV)/bin/pip install --no-deps --no-build-isolation --editable .; \
		$(VENV)/bin/pip check; \
	else echo 'requirements.lock is for Python 3.11 on Linux x86-64: versions of constraints.txt, files unchecked.'; set -ex; \
		$(VENV)/bin/pip install --quiet --progress-bar on $(TORCH); \
		$(VENV)/bin/pip install --progress-bar off --constraint constraints.txt --editable '.[dev]'; \
	fi
	touch $@

# requirements.lock anew, once constraints.txt or dependencies have changed. uv asks PyPI, or the index of UV_DEFAULT_INDEX.
lock:
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet --constraint constraints.txt uv
	echo torch > build/lock/excluded.txt
	build/lock/bin/uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 --extra dev \
		--constraint constraints.txt --excludes build/lock/excluded.txt --generate-hashes --no-annotate --upgrade \
		--custom-compile-command 'make lock' --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache
