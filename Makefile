# Nothing but Python >= 3.11, git and make is needed; the rest is installed into .venv.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

# The oldest that will do comes first where several are there: Redis' wheel exists for 3.11 and 3.12.
PYTHON ?= $(shell for name in python3.12 python3.11 python3 python3.13 python3.14; do \
	if $$name -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then echo $$name; break; fi; done)
VENV := .venv
BIN := $(VENV)/bin
DESCRIPTION := setup.cfg pyproject.toml
# Processes for the tests, two for a processor, as most tests wait; more than six would wait for each other's servers.
WORKERS ?= $(shell processors=$$(getconf _NPROCESSORS_ONLN); echo $$((processors < 3 ? 2 * processors : 6)))
# Virtualenv of the programs that the benchmark measures us beside, and more words for it.
PEERS ?=
ARGS ?=
# Rounds of the chaos tests.
N ?= 10
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: help demo demo-down test lint format unit chaos benchmark clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

demo: $(VENV)/.installed ## six SSH hosts on this machine and a rolling restart of a service on them
	@.ci/system-packages sshd redis
	$(BIN)/opsrunner demo

demo-down: ## end what `make demo` started
	@if [ -x $(BIN)/opsrunner ]; then $(BIN)/opsrunner down || [ -n "$${CELERY_BROKER_URL:-}" ]; $(BIN)/opsrunner demo down; fi

test: lint ## everything that CI runs
	@.ci/system-packages sshd ssh sudo busybox redis rabbitmq
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(wildcard tests/unit tests/integration tests/differential tests/chaos)

unit: $(VENV)/.tested ## the tests that take seconds
	$(BIN)/python -m pytest -n 0 tests/unit

lint: $(VENV)/.tested ## ruff, mypy --strict, and that imports point down
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.tested ## put the code in its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

chaos: $(VENV)/.tested ## the chaos tests, and N rounds more with faults at random (make chaos N=100)
	@.ci/system-packages sshd ssh redis
	CHAOS_ROUNDS=$(N) $(BIN)/python -m pytest -n $(WORKERS) tests/chaos tests/integration/test_redis_faults.py

benchmark: $(VENV)/.measured ## measure, beside the peers in PEERS=VIRTUALENV (more in ARGS='--only W1 --quick'); nothing is asserted
	@.ci/system-packages sshd ssh redis
	$(BIN)/python benchmarks $(if $(PEERS),--peers $(PEERS)) $(ARGS)

clean: demo-down ## forget .venv and every cache
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Installed as a reference to the sources here, so that only a changed list of dependencies needs an installation.
$(VENV)/.installed: $(VENV)/.made $(DESCRIPTION)
	$(PIP) install --editable .
	@touch $@

$(VENV)/.tested: $(VENV)/.made $(DESCRIPTION)
	$(PIP) install --editable '.[test]'
	@touch $@ $(VENV)/.installed

$(VENV)/.measured: $(VENV)/.tested
	$(PIP) install --editable '.[test,benchmark]'
	@touch $@

$(VENV)/.made:
	@if [ -z "$(PYTHON)" ]; then \
		echo 'Python 3.11 or newer with its venv module is needed (Debian: apt-get install python3 python3-venv),' >&2; \
		echo 'or name one: make PYTHON=/path/to/python3.12' >&2; exit 1; fi
	$(PYTHON) -m venv $(VENV)
	@touch $@
