# Needs Python 3.11+; everything else is installed into .venv. `make help` lists the targets.
PYTHON ?= python3
VENV ?= .venv
TESTERS ?= 2
BIN := $(VENV)/bin
SPREAD := --numprocesses $(TESTERS) --dist loadfile --no-loadscope-reorder
SCRATCH := TMPDIR=$$(tests/support/scratch)
FAULTS := $(BIN)/python benchmarks/faults
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help install install-keras demo test test-unit test-slow test-docker coverage faults bench bench-quick \
	format lint typecheck docs docs-serve docs-snippets build lock lock-jars clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## Make .venv and install into it, from locks with hashes

$(VENV)/.installed: locks/dev.lock locks/java.lock pyproject.toml
	@echo "installing into $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "expected Python 3.11 or newer, found " + sys.version.split()[0] + ": make PYTHON=python3.11 ...")'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r locks/dev.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m sparkdl.spark.java || $(PIP) install --require-hashes -r locks/java.lock
	@$(BIN)/python -m sparkdl.spark.class_data_sharing || echo "Spark starts without class data sharing, only slower"
	@touch $@

install-keras: $(VENV)/.installed-keras ## Add TensorFlow, to export the Keras networks

$(VENV)/.installed-keras: $(VENV)/.installed locks/keras.lock
	@echo "installing TensorFlow into $(VENV)"
	@$(PIP) install --require-hashes -r locks/keras.lock
	@touch $@

demo: install ## Train, stream, produce and show, in one go; ends by itself
	@$(BIN)/sparkdl demo

# Each process has one Spark, which its tests share; tests/support/groups.py forms the groups.
test: install ## Run the tests, TESTERS=2 at a time; set NUMTADB_HOME to test on real images too
	@$(SCRATCH) $(BIN)/python -m pytest $(SPREAD)

test-unit: install ## Run the tests that need neither Java nor a broker
	@$(SCRATCH) $(BIN)/python -m pytest $(SPREAD) tests/unit

coverage: install ## Run the tests and show which lines they reach, in all processes; fails below 90%
	@$(BIN)/coverage erase
	@$(SCRATCH) SPARK_CONF_DIR=$(CURDIR)/tests/support/spark_coverage $(BIN)/coverage run -m pytest $(SPREAD) -m 'slow or not slow'
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

test-slow: install ## Run the tests that start Java or TensorFlow themselves, or wait long
	@$(SCRATCH) $(BIN)/python -m pytest -m slow

test-docker: install ## Run the tests of a reader against Kafka in a container, as most users have it; needs root
	@tests/docker/run $(BIN)/python -m pytest tests/integration/streaming/readers/test_kafka_reader.py || [ $$? -eq 75 ] # this machine can have no Docker

# `make test` covers promotions and hostile input; points.py covers both Parquet and Delta.
faults: install ## Break streams on purpose, a little in each way; benchmarks/faults does it at length
	@$(FAULTS)/kills.py --kills 1 --images 50
	@$(FAULTS)/kills.py --what workers --kills 2 --images 150
	@$(FAULTS)/kills.py --source kafka --kills 1 --images 50
	@$(FAULTS)/realtime.py --kills 2
	@$(FAULTS)/realtime.py --what driver --kills 1
	@$(FAULTS)/points.py --kills 1 --images 40
	@$(FAULTS)/double_start.py --starts 1 --kills 1
	@$(FAULTS)/storage.py --images 50 full-sink
	@$(FAULTS)/slow_images.py --good 200 --crashing 60 --slow 12 --stopped 20
	@$(FAULTS)/steady.py --minutes 0.5 --warm-up 0.1 --rate 20

.venv-bench/.installed: locks/bench.lock
	@$(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r locks/bench.lock
	@touch $@

bench: install-keras .venv-bench/.installed ## Measure the stream against what a user would use instead; takes hours
	@$(BIN)/python benchmarks/speed --python .venv-bench/bin/python

bench-quick: install-keras ## One short round of the main comparison
	@$(BIN)/python benchmarks/speed --quick directory

format: install ## Format the code, and fix what ruff can fix
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

typecheck: install ## Check the types
	@$(BIN)/mypy

lint: install ## Check format, style, types and the layers of the packages
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

$(VENV)/.installed-docs: $(VENV)/.installed locks/docs.lock
	@echo "installing MkDocs into $(VENV)"
	@$(PIP) install --require-hashes -r locks/docs.lock
	@touch $@

docs: $(VENV)/.installed-docs ## Build the documentation into site/; a link that leads nowhere is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@$(BIN)/python docs/render/check_site.py site

docs-serve: $(VENV)/.installed-docs ## Serve the documentation at http://127.0.0.1:8000, rebuilt at each change
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs serve

docs-snippets: install ## Count the snippets of the documentation that are run, and say why the others are not
	@PYTHONPATH=.:tests/support $(BIN)/python tests/support/snippets.py

build: install ## Build the wheel and the source distribution into dist/
	@$(BIN)/python -m hatchling build

COMPILE := uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
lock: ## Make the locks again; needs uv
	$(COMPILE) pyproject.toml -o locks/core.lock
	$(COMPILE) -c locks/core.lock pyproject.toml --extra train --extra kafka -o locks/image.lock
	$(COMPILE) -c locks/image.lock pyproject.toml --extra train --extra kafka --extra delta --extra heif --extra mlflow --group dev -o locks/dev.lock
	$(COMPILE) -c locks/dev.lock pyproject.toml --extra keras -o locks/keras.lock
	$(COMPILE) -c locks/core.lock pyproject.toml --extra java -o locks/java.lock
	$(COMPILE) -c locks/dev.lock --group build -o locks/build.lock
	$(COMPILE) -c locks/dev.lock --group docs -o locks/docs.lock
	$(COMPILE) benchmarks/speed/requirements.in -o locks/bench.lock

lock-jars: install ## Make the lists of jars again: of the local broker, and of Spark's connectors
	$(BIN)/python -m streaming.jar_lists broker > locks/.jars.lock && mv locks/.jars.lock streaming/kafka/local/kafka.lock
	$(BIN)/python -m streaming.jar_lists kafka > locks/.jars.lock && mv locks/.jars.lock streaming/kafka.lock
	$(BIN)/python -m streaming.jar_lists delta > locks/.jars.lock && mv locks/.jars.lock streaming/delta.lock

clean: ## Remove .venv and what the tools left behind
	rm -rf $(VENV) site dist .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis sparkdl-demo spark-warehouse
