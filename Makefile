# make run: the whole job on the demo data; make test: everything that must hold.
# Each target sets up what it needs, and is quick when there is nothing to do.
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help setup data run flow serve ui test test-fast check clean deps schema help-page same accept lock docs bench

PYTHON ?= python3
TEST_PROCESSES ?= 3

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DO_NOT_TRACK := 1
export MLFLOW_DISABLE_TELEMETRY := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help:
	@echo "make run    set up, fetch the demo images, run the pipeline, print the result"
	@echo "make flow   the same, as a Prefect flow: stages as tasks, retries, time limits"
	@echo "make serve  leave it running: servers, schedules and a worker, until Ctrl-C"
	@echo "make ui     serve the MLflow page of the runs"
	@echo "make test   set up, check the code, run all tests"
	@echo "make test-fast  the tests that start no DVC, MLflow or Prefect: a minute or two"
	@echo "make data   provide the images that data.dvc names, and verify them"
	@echo "make check  ruff and mypy alone"
	@echo "make same   does this code compute what the code of dvc.lock did? (toy, both here)"
	@echo "make accept the same, and then record the results that are here as this code's"
	@echo "make deps   write the modules that each stage imports into dvc.yaml"
	@echo "make schema write profiles/params.schema.json, by which an editor checks params.yaml"
	@echo "make help-page  draw the page of 'pixelproof --help' anew"
	@echo "make clean  remove what the pipeline made; images, metrics and .venv stay"
	@echo "make docs   build the documents into site/"
	@echo "make bench  measure this beside what else does the same: ten minutes"
	@echo "make lock   renew requirements.txt from pyproject.toml"

# The stamp is written last, so that an interrupted set-up is taken up again.
.venv/ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.platform == "linux" and sys.version_info >= (3, 11) \
	    else "expected Python 3.11 or newer on Linux, got %s on %s; set PYTHON=" % (sys.version.split()[0], sys.platform))'
	@echo "Setting up .venv: 3.2 GB to download, 6.4 GB on disk, 2 to 10 minutes, once."
	@test -x .venv/bin/pip || $(PYTHON) -m venv --clear .venv  # pip's script comes last
	@.venv/bin/python -m pip install -qq --upgrade pip==26.3  # the pip of Python 3.11 refuses hashed extras
	@.venv/bin/python -m pip install -qq --require-hashes -r requirements.txt
	@.venv/bin/python -m pip install -qq --no-deps --no-build-isolation --editable .
	@touch .venv/ready

setup: .venv/ready

data: setup
	@pixelproof data

run: data
	@pixelproof run

flow: data
	@python flows/harden.py

serve: data
	@exec pixelproof serve

ui: setup
	@pixelproof ui

check: setup
	ruff check .
	ruff format --check .
	mypy

same: setup
	@python tools/same_results.py

accept: setup
	@python tools/same_results.py --accept

deps: setup
	@python tools/dependencies.py

schema: setup
	@python tools/schema.py

help-page: setup
	@python -m tools.help_page

# What builds the documents is no part of the set-up of `make run`.
.venv/docs: .venv/ready
	@.venv/bin/python -m pip install -qq --no-build-isolation --editable '.[docs]'
	@touch .venv/docs

docs: .venv/docs
	@python tools/reference.py
	@NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet
	@echo "site/index.html"

# Its peers are no part of the set-up of `make run` either.
.venv/bench: .venv/ready
	@.venv/bin/python -m pip install -qq --no-build-isolation --editable '.[bench]'
	@touch .venv/bench

bench: .venv/bench
	@python -m benchmarks

test: check
	@# By file, for what a module sets up; the many small ones last, so that all end together.
	pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

test-fast: setup
	pytest -n 2 tests/unit src

clean:
	@# Records that still wait for the tracking store stay.
	test ! -d artifacts || find artifacts -mindepth 1 -maxdepth 1 ! -name spool -exec rm -rf {} +
	rm -rf reports plots/curves/*.csv .pytest_cache .mypy_cache .ruff_cache .hypothesis

lock:
	@$(PYTHON) -m venv .venv/lock && .venv/lock/bin/python -m pip install -qq uv
	@tail -n +2 requirements.txt > .venv/lock/pins.txt  # what is pinned stays, unless UPGRADE=--upgrade
	@.venv/lock/bin/uv pip compile --quiet --universal --python-version 3.11 $(UPGRADE) \
	    --generate-hashes --no-header --no-annotate --extra demo --extra openvino --extra dev \
	    --output-file .venv/lock/pins.txt pyproject.toml
	@{ head -n 1 requirements.txt; cat .venv/lock/pins.txt; } > .venv/lock/requirements.txt
	@mv .venv/lock/requirements.txt requirements.txt
