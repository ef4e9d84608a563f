# `make retrain` and `make test` are all a newcomer needs; both make the environment first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# A file of tests to each process, in the order of collection: the file that takes longest is among the first. Three for two cores, as tests wait a quarter
# of their time for processes of their own; slow tests keep these busy themselves.
IN_ORDER := --dist loadfile --no-loadscope-reorder

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Empty: Python keeps what it compiled. Every process that runs tests, and the hundreds that these start, would compile the project's modules anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: install retrain test test-slow test-all platform chat lint sbom clean

install: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[cpu,dev]'
	touch $@

retrain: install
	$(BIN)/migaki retrain --profile quick

test: install
	$(BIN)/python -m pytest --numprocesses 3 $(IN_ORDER) -m 'not alone and not slow and not e2e'
	$(BIN)/python -m pytest -m 'alone and not slow and not e2e'

test-slow: install
	$(BIN)/python -m pytest --timeout 1500 --numprocesses 2 $(IN_ORDER) -m '(slow or e2e) and not alone'
	$(BIN)/python -m pytest --timeout 1500 -m '(slow or e2e) and alone'

test-all: install
	$(BIN)/python -m pytest -m ''

platform: install
	$(BIN)/migaki platform

chat: install
	$(BIN)/migaki serve --open

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What is installed, as a bill of materials (CycloneDX 1.6) and a list of licences. The tool has an environment of its own, so that it adds nothing.
sbom: install
	test -x build/sbom-tool/bin/cyclonedx-py || ($(PYTHON) -m venv build/sbom-tool && build/sbom-tool/bin/pip install --quiet cyclonedx-bom==7.5.0)
	build/sbom-tool/bin/cyclonedx-py environment --output-reproducible --validate --pyproject pyproject.toml --output-file build/sbom.cdx.json $(VENV)
	$(BIN)/python .ci/licences.py >build/licences.md
	@echo "build/sbom.cdx.json and build/licences.md"

clean:
	rm -rf $(VENV) build *.egg-info
