# Every command of this project. `make` alone prints them.

PYTHON ?=
PORT ?= 8080
URL ?= http://localhost:$(PORT)/mcp
UV ?= uv
VENV := .venv
BIN := $(VENV)/bin
SOURCES := src tests
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
COMPILE := $(UV) pip compile --universal --generate-hashes --no-header --python-version 3.11 --quiet

.DEFAULT_GOAL := help
.SUFFIXES:
.DELETE_ON_ERROR:
.NOTPARALLEL:

.PHONY: help
help:
	@echo 'Bifrost: make run to try it, make test to check a change.'
	@awk -F ' *## *' '/^[a-z-]+:.*##/ { sub(/:.*/, "", $$1); printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# ---- set up ---------------------------------------------------------------------------------------------------------

.PHONY: setup
setup: $(VENV)/.installed-run ## create .venv with the locked run-time dependencies
	@echo "$(VENV) is ready: make run"

.PHONY: setup-dev
setup-dev: $(VENV)/.installed-dev chromium ## the same with everything the tests need
	@echo "$(VENV) is ready: make test"

$(BIN)/python:
	@for candidate in $(PYTHON) $(if $(PYTHON),,python3 python3.13 python3.12 python3.11 python3.14); do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Creating $(VENV) with $$("$$candidate" --version)"; \
	    "$$candidate" -m venv --clear $(VENV) && exit 0; \
	    echo "$$candidate cannot create a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; \
	  fi; \
	done; \
	echo "Bifrost needs Python 3.11 or newer$(if $(PYTHON),: $(PYTHON) is not, and none was found; name one with make setup PYTHON=/path/to/python3.11)" >&2; \
	exit 1

.PHONY: interpreter
interpreter: $(BIN)/python
ifneq ($(PYTHON),)
	@version='import sys; print("Python %d.%d" % sys.version_info[:2])'; has=$$($(BIN)/python -c "$$version"); \
	wanted=$$("$(PYTHON)" -c "$$version" 2>/dev/null) || wanted='none here'; \
	[ "$$wanted" = "$$has" ] || { \
	  echo "$(VENV) has $$has, and PYTHON=$(PYTHON) is $$wanted: take another folder (VENV=.venv-other), or remove $(VENV)" >&2; \
	  exit 1; }
endif

$(VENV)/.installed-run: requirements/run.txt pyproject.toml | interpreter
	@echo "Installing the run-time dependencies"
	@$(PIP) install --require-hashes --no-deps -r requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: requirements/dev.txt pyproject.toml | interpreter
	@echo "Installing the dependencies of the tests"
	@$(PIP) install --require-hashes --no-deps -r requirements/dev.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $(VENV)/.installed-run $@

.PHONY: chromium
chromium:
	@if [ -x /usr/bin/chromium ]; then :; \
	elif [ "$$(id -u)" = 0 ] && [ -e /etc/debian_version ]; then \
	  echo "Installing Debian's chromium for the browser tests"; \
	  export DEBIAN_FRONTEND=noninteractive; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	else \
	  echo "The browser tests need /usr/bin/chromium; on Debian: sudo apt-get install chromium" >&2; \
	fi

# ---- run ------------------------------------------------------------------------------------------------------------

.PHONY: run
run: $(VENV)/.installed-run ## a gateway, a sample server and a demo key on loopback (PORT=9090 for another port)
	@$(BIN)/python -m bifrost.quickstart --port $(PORT)

.PHONY: demo
demo: $(VENV)/.installed-run ## sign in and call a tool, each step shown with its time (URL=… for another gateway)
	@$(BIN)/python -m bifrost.quickstart.demo --url $(URL)

# ---- test -----------------------------------------------------------------------------------------------------------

.PHONY: test
ifdef T
test: $(VENV)/.installed-dev ## everything CI runs; T=path runs one path, without the static checks
	@$(BIN)/python -m pytest $(T)
else
test: $(VENV)/.installed-dev chromium check clients
	@$(BIN)/python -m pytest -n 3 --dist loadfile
endif

.PHONY: test-clients
test-clients: clients ## real MCP and OAuth clients against a running gateway
	@$(BIN)/python -m pytest tests/wire/test_real_clients.py tests/wire/test_real_clients_in_a_virtual_mcp.py

.PHONY: clients
clients: $(VENV)/.installed-dev
	@PYTHON=$(BIN)/python sh tests/clients/install.sh

.PHONY: conformance
conformance: clients ## the official suite: authorization server, OAuth client towards upstreams, MCP server (docs/conformance.md)
	@$(BIN)/python -m pytest tests/wire/test_conformance.py tests/wire/test_conformance_server.py

FUZZ := .cache/fuzz
SECONDS ?= 30
EXAMPLES ?= 100

$(FUZZ)/.installed: requirements/dev.txt tests/fuzz/requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing the fuzzers into $(FUZZ)"
	@$(BIN)/python -m venv --clear $(FUZZ)
	@for list in requirements/dev.txt tests/fuzz/requirements.txt; do \
	  $(FUZZ)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --no-deps -r $$list || exit 1; done
	@$(FUZZ)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: fuzz
fuzz: $(FUZZ)/.installed ## strangers' bytes and requests at random (SECONDS=30 a target, EXAMPLES=100 an operation)
	@$(FUZZ)/bin/python -m tests.fuzz.run --seconds $(SECONDS)
	@$(FUZZ)/bin/python -m tests.fuzz.api --examples $(EXAMPLES)

.PHONY: mutation
mutation: setup-dev ## change the code that decides, one thing at a time: do its tests notice? (SUBJECTS="pkce claims")
	@$(BIN)/python -m tests.mutation $(SUBJECTS)

.PHONY: bench
bench: $(VENV)/.installed-run ## the side-by-side bench (see bench/README.md)
	@bench/run.sh

.PHONY: check
check: lint types imports ## the static checks: lint, types, imports

.PHONY: lint
lint: $(VENV)/.installed-dev ## ruff: rules and formatting
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)

.PHONY: types
types: $(VENV)/.installed-dev ## mypy, strict
	@$(BIN)/mypy

.PHONY: imports
imports: $(VENV)/.installed-dev ## import-linter: which part may see which
	@$(BIN)/lint-imports

.PHONY: fix
fix: $(VENV)/.installed-dev ## repair what a tool can repair
	@$(BIN)/ruff check --fix $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)

# ---- maintain -------------------------------------------------------------------------------------------------------

.PHONY: lock
lock: ## write requirements/*.txt anew from pyproject.toml (needs uv)
	@$(COMPILE) pyproject.toml --group build -o requirements/run.txt
	@$(COMPILE) pyproject.toml --group dev --constraint requirements/run.txt -o requirements/dev.txt
	@$(COMPILE) tests/fuzz/requirements.in --constraint requirements/dev.txt -o tests/fuzz/requirements.txt

.PHONY: clean
clean: ## remove .venv and caches; dev/ with its key and data stays
	@rm -rf $(VENV) .cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage*
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
