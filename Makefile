# `make run` and `make test` need nothing but a Python 3.12 or newer; the rest is fetched from the hashed lock.
# Variables of `make run`: PORT (8000), DATA_DIR (var), PLAYBOOK_DIRS (playbooks), DEMO (1: demo data).

SHELL := /bin/sh
PYTHON_BIN := .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: help run test lint chaos chaos-short mutants e2e screenshots bench bench-full lock clean base dev

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

base:
	@deploy/bootstrap.sh base

dev:
	@deploy/bootstrap.sh dev

# `manage.py up` loads Django only to become this; starting it at once saves that time.
run: base ## Run OpenSOAR here (PORT= DATA_DIR= PLAYBOOK_DIRS= DEMO=1)
	@$(if $(PORT),OPENSOAR_PORT='$(PORT)') $(if $(DATA_DIR),OPENSOAR_DATA_DIR='$(DATA_DIR)') \
	$(if $(PLAYBOOK_DIRS),PLAYBOOK_DIRS='$(PLAYBOOK_DIRS)') exec $(PYTHON_BIN) -m opensoar.supervisor $(if $(filter-out 0,$(DEMO)),--demo)

test: lint ## Lint, then run every test (PostgreSQL, Valkey, worker and Chromium are real)
	@$(PYTHON_BIN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --ignore tests/chaos
	@exec $(PYTHON_BIN) -m pytest tests/chaos

lint: dev ## Everything that is checked without running the product
	@PATH="$(CURDIR)/.venv/bin:$$PATH" deploy/lint.sh

chaos-short: dev ## The engine struck at every failpoint, and a short storm (part of make test)
	@exec $(PYTHON_BIN) -m pytest tests/chaos

chaos: dev ## Planted bugs, then 100,000 calls under thousands of faults for each of SEED="1 2" (an hour; CHAOS="--calls 10000 …")
	@CHAOS_PLANTED=1 $(PYTHON_BIN) -m pytest -q tests/chaos/test_planted.py
	@for seed in $(or $(SEED),1 2); do $(PYTHON_BIN) -m tests.chaos --seed $$seed --workers 4 --calls 100000 --kills 1500 \
		--pauses 500 --pg-crashes 40 --flushes 100 --json chaos-$$seed.json $(CHAOS) || exit 1; done

mutants: dev ## Change runner and journal in hundreds of small ways; lists what no test noticed (an hour; MUTANTS="--number 50")
	@deploy/bootstrap.sh mutants
	@exec $(PYTHON_BIN) -m tests.chaos.mutants $(MUTANTS)

e2e: dev ## Only the browser tests
	@exec $(PYTHON_BIN) -m pytest -m e2e tests/e2e

screenshots: dev ## Photograph every page of the demo into docs/images
	@exec $(PYTHON_BIN) -m tests.e2e.screenshots

bench: dev ## The short benchmarks, or some (BENCH="storm ingest"); see docs/benchmarks.md
	@exec $(PYTHON_BIN) -m benchmarks $(BENCH)

bench-full: dev ## All benchmarks at full length, or some (BENCH="storm")
	@exec $(PYTHON_BIN) -m benchmarks --full $(BENCH)

lock: dev ## Write the hashed locks anew from requirements/*.in
	@deploy/lock.sh

clean: ## Remove the environment and caches; data (var/) stay
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
