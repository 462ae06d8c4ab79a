# Needs Python 3.11 or newer with venv, make and a package registry. Each target sets up what it uses.

PYTHON ?= $(shell for python in python3.11 python3 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

BIN := .venv/bin
READY := .venv/.ready
PYTEST := pytest --numprocesses=auto --maxprocesses=4

# What the tests import; grpcio-tools is not among them because it does not go with an old protobuf.
TEST_TOOLS := anyio hypothesis pytest pytest-xdist schemathesis trio uvloop
LOWEST = $(shell $(PYTHON) -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	print(*(d.partition(";")[0].replace(">=", "==") for d in p["dependencies"] + sum(map(p["optional-dependencies"].get, \
	("cli", "http", "proxy", "server", "trio", "websocket")), [])))')

.DEFAULT_GOAL := help
SECONDS ?= 60
MUTATE_SECONDS ?= 3600
.PHONY: help test demo prove soak fuzz mutate bench bench-asyncio bench-adapters bench-server bench-compare proto format test-compat clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

test: $(READY) .venv-lowest/.ready ## every check that a change must pass
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python proto/generate.py --check
	$(BIN)/$(PYTEST) --cov --cov-context=test --cov-report=
	@$(BIN)/python tools/module_coverage.py
	.venv-lowest/bin/$(PYTEST) --quiet tests/transports

demo: $(READY) ## a server and clients on this machine
	$(BIN)/mimc demo

prove: $(READY) ## the long runs: models, floods, attacks, kills, fuzzing, simulation, soak; resumable; STAGES="..." for some
	$(BIN)/python tools/prove.py $(STAGES)

soak: $(READY) ## a server and users on all adapters for SOAK=3600 seconds, and what happens to their memory
	$(BIN)/python tools/soak.py --seconds $(or $(SOAK),3600)

fuzz: $(READY) ## every fuzz target for SECONDS=60 each (TARGETS="..." for some); findings and coverage
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	$(BIN)/python fuzz/fuzz.py --seconds $(SECONDS) $(TARGETS)

mutate: $(READY) ## does a test notice each small change of the core (or of MODULES="...")? MUTATE_SECONDS=3600 at most; resumable
	$(BIN)/python -m tools.mutation --wide --seconds $(MUTATE_SECONDS) $(MODULES)

bench: $(READY) ## the numbers in the documentation
	$(BIN)/python benchmarks/run.py

bench-asyncio: $(READY) ## the asyncio client against an acker on the other core
	$(BIN)/python benchmarks/asyncio_client.py

bench-adapters: $(READY) ## the three adapters against the same
	$(BIN)/python benchmarks/adapters.py

bench-server: $(READY) ## the service under load on one core, from another; what ten times as much costs (CHART=file.svg)
	$(BIN)/python benchmarks/server.py $(if $(CHART),--chart $(CHART))

bench-compare: $(READY) ## instructions an operation, against the record or BASE=<rev>; 1 if a figure has grown
	@command -v valgrind >/dev/null || apt-get install --quiet --quiet --yes valgrind
	$(BIN)/python benchmarks/instructions.py $(if $(BASE),--base $(BASE))

proto: $(READY) ## make mimc_proto/pb/ from proto/
	$(BIN)/python proto/generate.py

format: $(READY) ## format the code and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test-compat: .venv-lowest/.ready .venv-newest/.ready ## the tests with the lowest and the newest dependencies
	.venv-lowest/bin/$(PYTEST)
	.venv-newest/bin/$(PYTEST)

clean: ## remove everything that make has made
	rm -rf .venv .venv-lowest .venv-newest build dist .coverage .coverage.* htmlcov
	rm -rf .fuzz .hypothesis .prove .import_linter_cache .mutants .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(READY): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev,cli,http,proxy,server,trio,websocket]'
	@touch $@

.venv-lowest/.ready: pyproject.toml
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/pip install --quiet --disable-pip-version-check -e '.[cli,http,proxy,server,trio,websocket]' $(TEST_TOOLS) $(LOWEST)
	@touch $@

.venv-newest/.ready: pyproject.toml
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy=eager \
		-e '.[cli,http,proxy,server,trio,websocket]' $(TEST_TOOLS)
	@touch $@
