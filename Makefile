# make only saves typing: every target is one or two commands that work without it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# Patient data sit beside this code: nothing phones home.
export DO_NOT_TRACK := true
export MLFLOW_DISABLE_TELEMETRY := true
export KEDRO_DISABLE_TELEMETRY := true
export PYTHONWARNINGS ?= ignore

.PHONY: help install services demo test test-all test-oldest coverage docs lint viz mlflow bench bench-demo clean-demo audit sbom licences

help:
	@echo "make demo     simulate a cohort, run all pipelines on it, print the results"
	@echo "make test     lint and the tests that say most"
	@echo "make test-all lint and all tests, as every change must pass"
	@echo "make coverage  the tests with line coverage (slower)"
	@echo "make services  programs that some tests speak to, from Debian's packages"
	@echo "make test-oldest  quick tests with the lowest versions that are allowed; needs uv"
	@echo "make docs     the documentation as a site in build/docs"
	@echo "make lint     ruff, mypy, import contracts"
	@echo "make viz      look at the pipelines in a browser"
	@echo "make mlflow   look at the runs in a browser"
	@echo "make bench    speed and agreement against the published method; SCAN=path"
	@echo "make audit    known weaknesses of the pinned versions; needs the advisories of PyPI"
	@echo "make sbom     bill of materials of .venv (CycloneDX) in build/sbom.json"
	@echo "make licences  docs/licences.md, from what is installed"
	@echo "make bench-demo  the demo's seconds per pipeline, also as on an older processor"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 10), "Python 3.10 or newer is needed"'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,viz]"
	touch $@

# a fresh image knows no packages; where their list cannot be had, the one that is there may do
services: install
	-apt-get update --quiet
	DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends orthanc orthanc-dicomweb dcmtk dicom3tools postgresql
	$(BIN)/python -m pip install --quiet --disable-pip-version-check psycopg2-binary

demo: install
	$(BIN)/kedro run --env demo --pipelines simulation,__default__

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

test: install
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 -m "not long"

test-all: install
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2

coverage: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --cov

OLDEST := build/oldest
test-oldest:
	uv venv --allow-existing --python 3.10 $(OLDEST)
	uv pip install --python $(OLDEST) --resolution lowest-direct -e ".[dev,viz]"
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest -m "not slow and not shared" \
		tests/datasets tests/weights tests/imaging tests/detection tests/localization \
		tests/evaluation tests/reporting tests/test_cohort.py

docs: install
	$(BIN)/python docs/generate_options.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

viz: install
	$(BIN)/kedro viz run --env demo --include-hooks

mlflow: install
	$(BIN)/kedro mlflow-ui --env demo

bench: install
	$(BIN)/python -m benchmarks $(if $(SCAN),--scan $(SCAN))

bench-demo: install
	$(BIN)/python -m benchmarks demo

# What looks at packages from outside lives beside them, not among them.
SUPPLY := build/supply
$(SUPPLY)/.installed: Makefile
	$(PYTHON) -m venv $(SUPPLY)
	$(SUPPLY)/bin/python -m pip install --quiet --disable-pip-version-check \
		"pip-audit>=2.10,<3" "cyclonedx-bom>=7.5,<8"
	touch $@

# --strict: where the advisories cannot be reached, nothing was audited, and that is a failure
audit: $(SUPPLY)/.installed
	$(SUPPLY)/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

sbom: install $(SUPPLY)/.installed
	$(SUPPLY)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
		--output-format JSON --output-file build/sbom.json $(BIN)/python

licences: install
	$(BIN)/python docs/generate_licences.py

clean-demo:
	rm -rf data/demo
