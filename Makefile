# Needs Python 3.11 or newer and make; everything else is made here.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help serve test lint audit model faults fuzz bench lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

# One command that exec replaces: make passes SIGTERM on to that alone.
serve: $(VENV)/.complete ## Run everything: PostgreSQL, Redis, web, workers, beat (ARGS=--reload: again when code has changed)
	@exec $(BIN)/python manage.py serve $(ARGS)

# Each process has engines of its own; a file stays in one, for what its tests share, and comes in the order that
# tests/conftest.py gives. What hurts processes runs apart.
# Some containers forbid Python to keep what it has compiled: then each process of the tests would compile all anew.
test: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/.complete ## Run the tests (ARGS="-k engines" passes options to pytest)
ifeq ($(ARGS),)
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --ignore tests/faults
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 2 --dist loadfile tests/faults
else
	@exec $(BIN)/python -m pytest $(ARGS)
endif

lint: $(VENV)/.complete ## Check style, types, import order and migrations
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run

audit: ## Ask an index for known vulnerabilities of the dependencies
	@exec .ci/audit

model: $(VENV)/.complete ## Try 10,000 sequences of what clients and workers may do
	@SEQUENCES=10000 exec $(BIN)/python -m pytest -o timeout=0 $(ARGS) tests/runs/test_state_machine.py tests/runs/test_lines_machine.py

faults: $(VENV)/.complete ## Hurt it in every way that it must survive (figures go to faults.json)
	@FAULTS=full exec $(BIN)/python -m pytest -o timeout=0 $(ARGS) tests/faults

fuzz: $(VENV)/.complete ## Make requests up from /openapi.json and send them, for 10 minutes (FUZZ_SECONDS)
	@exec $(BIN)/python -m tests.fuzz $(ARGS)

bench: $(VENV)/.complete ## Measure (figures go to bench.json)
	@exec $(BIN)/python -m benchmarks $(ARGS)

lock: ## Choose versions anew, as pyproject.toml allows (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--quiet --upgrade --extra langgraph --extra dev pyproject.toml -o requirements.lock
	echo pip-audit | uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--no-annotate --quiet --upgrade - -o .ci/audit.lock

clean: ## Remove the virtual environment and caches; the data stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/.complete: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "agent-server: $(PYTHON) must be Python 3.11 or newer. Install it, or: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@exec $(PYTHON) config/serve/environment.py $(VENV) requirements.lock
