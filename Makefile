# Two commands: `make demo` runs orderlog, `make test` tests it. Both set up all they need in .venv.
.DEFAULT_GOAL := help
.PHONY: help demo test lint bench up down lock clean
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := $(VENV)/.peers
# All tests run in three processes, each on a Kafka, registry and Postgres of its own; those that are picked run in one.
PYTEST ?= --numprocesses=3 --dist=worksteal --durations=10

help: ## show this
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 8

demo: $(READY) ## run the whole system with order traffic until Ctrl-C
	@exec $(BIN)/orderlog demo

up: $(READY) ## start the whole system in the background
	@$(BIN)/orderlog up

down: $(READY) ## stop what `make up` started
	@$(BIN)/orderlog down

test: lint ## run every check and test; PYTEST="-k fold" picks some
	$(BIN)/python -m pytest $(PYTEST)

lint: $(READY) ## formatting, lint, types, import rules, whether a schema breaks those before it
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/orderlog schemas check --offline

bench: $(PEERS) ## measure, print a table, write benchmarks/latest.json; BENCH="writer append" picks some
	$(BIN)/python -m benchmarks $(BENCH)

lock: $(READY) ## bring requirements/ up to date with pyproject.toml
	@scripts/lock

clean: ## remove the virtual environment and the embedded stack's data
	rm -rf $(VENV) .orderlog

$(READY): requirements/lock.txt requirements/uv.txt pyproject.toml scripts/setup
	@scripts/setup $(VENV)
	@touch $@

# What only the benchmarks need, to measure others beside orderlog.
$(PEERS): requirements/bench.txt requirements/quixstreams.txt $(READY)
	@$(BIN)/uv pip install --python $(BIN)/python --require-hashes -r $<
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)/quixstreams
	@$(BIN)/uv pip install --python $(VENV)/quixstreams/bin/python --require-hashes -r requirements/quixstreams.txt
	@touch $@
