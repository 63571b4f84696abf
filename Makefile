# riskstream: `make demo` to see it work, `make test` to have all of it checked. `make` lists the rest.
# Paths here are relative to this file, so that a checkout may lie anywhere, in a folder with spaces too.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
# A machine that keeps Python from writing bytecode has every process compile all sources again: a quarter of a start.
unexport PYTHONDONTWRITEBYTECODE
PYTHON ?= $(shell command -v python3.11 || echo python3)
UV_VERSION := 0.13.9
PIP := .venv/bin/python -m pip --disable-pip-version-check --no-input
LOCK := build/uv/bin/uv pip compile --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet
# What `make demo` hands to the command, e.g. make demo ARGS="--seconds 20 --seed 7"; pytest's for `make test`.
ARGS ?=
# Test files side by side: integration tests mostly wait, so three keep two cores busy.
JOBS ?= 3

.PHONY: help machine setup setup-dev demo test soak lock clean

help: ## list what can be made
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

setup: .venv/.setup ## all that running needs: hashed, locked dependencies in .venv, compiled code warm

setup-dev: .venv/.setup-dev ## and all that checking needs

machine: ## what the tests need from Debian: installed where this user may, else named
	@bash .ci/machine

demo: setup ## watch the whole line work (Python alone; ARGS="--broker kafka" for a real Kafka)
	@.venv/bin/riskstream demo $(ARGS)

test: machine setup-dev ## lint, types, layers, doctests, unit, property, integration (real Kafka) and end-to-end tests
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	@echo "compiling the core and checking types, side by side"
	@.venv/bin/python -m stream.warm_up & compiling=$$!; .venv/bin/mypy; checked=$$?; wait $$compiling && exit $$checked
	.venv/bin/lint-imports
	@.venv/bin/python -c 'from stream.brokers.kafka_artefacts import jars; jars(print)'
	.venv/bin/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --doctest-modules -m "not soak" --durations 40 --durations-min 5 stream detectors rules tools tests $(ARGS)

soak: machine setup-dev ## the tests that take longer than the test budget
	.venv/bin/pytest -m soak --timeout 7200 tests $(ARGS)

lock: ## resolve the dependencies of pyproject.toml again (upgrade: ARGS=--upgrade)
	@test -x build/uv/bin/uv || { $(PYTHON) -m venv build/uv; build/uv/bin/pip install --quiet uv==$(UV_VERSION); }
	$(LOCK) $(ARGS) pyproject.toml --extra files --group build -o requirements.lock
	$(LOCK) $(ARGS) pyproject.toml --extra files --group build --group dev -c requirements.lock -o requirements-dev.lock
	$(LOCK) $(ARGS) pyproject.toml --extra files --group build --extra dask -c requirements.lock -o requirements-dask.lock

clean: ## remove what can be made again; data of the development Kafka (.riskstream) stay
	rm -rf .venv build deploy/devkafka/target .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find stream detectors rules tools tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.setup: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v == (3, 11) else "riskstream needs Python 3.11; this is %d.%d. Name one with: make PYTHON=/path/to/python3.11" % v)'
	@$(PYTHON) -m venv .venv || { echo 'sudo apt-get install python3.11-venv, then again' >&2; exit 1; }
	$(PIP) install --quiet --require-hashes -r requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@test ! -f stream/warm_up.py || .venv/bin/python -m stream.warm_up
	@touch $@

.venv/.setup-dev: .venv/.setup requirements-dev.lock
	$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	@touch $@
