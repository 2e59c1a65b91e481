# Everything runs inside .venv, which is made from requirements.lock; `make` lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= python3
BIN := .venv/bin
PROTO_OUT ?= libs/protogen
PROTO_FILES = $(shell find protos/leo -name '*.proto' | LC_ALL=C sort)
PROTO_INCLUDES = -I protos -I "$$($(CURDIR)/$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
TESTS ?= tests

.PHONY: help setup demo up test check breaking format proto schema lock bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  \033[1mmake %-8s\033[0m %s\n", $$1, $$2 }' Makefile
	@echo; echo "  First time here? \`make demo\`, then \`make test\`; README.md says more."

setup: $(BIN)/leo ## Create .venv from requirements.lock (the others do it by themselves)

# Remade when the lock changes; --only-binary, so that no compiler is needed.
$(BIN)/leo: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "LEO Activation needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "Python's venv module is missing. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Setting up .venv (about half a minute) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .
	@touch $@

demo: $(BIN)/leo ## Run the main job on real events, with a table at the end
	@$(BIN)/leo demo

up: $(BIN)/leo ## Run the whole stack in the foreground; Ctrl-C stops it
	@$(BIN)/leo up

test: $(BIN)/leo ## Run all tests and report coverage (TESTS=tests/unit for a part)
	@$(BIN)/python -m pytest $(TESTS) --cov --cov-report=term:skip-covered

check: $(BIN)/leo ## Format, lint, types, imports, protos and SQL, in seconds
	@$(BIN)/ruff format --check --quiet . || { echo "make format mends the above" >&2; exit 1; }
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache | tail -n 3
	@fresh="$$(mktemp -d)"; trap 'rm -rf "$$fresh"' EXIT; \
	  $(MAKE) --no-print-directory proto PROTO_OUT="$$fresh"; \
	  diff -r -x __pycache__ "$$fresh/leo" libs/protogen/leo || { echo "libs/protogen is stale: run make proto" >&2; exit 1; }
	@$(BIN)/squawk --config .squawk.toml $(filter-out migrations/schema.sql,$(wildcard migrations/*.sql))
	@$(MAKE) --no-print-directory breaking

# What clients of the last release would trip over in protos/; from the first release on.
breaking: $(BIN)/leo
	@tag="$$(git describe --tags --match 'v*' --abbrev=0 2>/dev/null || true)"; test -n "$$tag" || exit 0; \
	  last="$$(mktemp -d)"; trap 'rm -rf "$$last"' EXIT; git archive "$$tag" protos | tar -x -C "$$last"; \
	  image() { (cd "$$1" && "$(CURDIR)/$(BIN)/python" -m grpc_tools.protoc $(PROTO_INCLUDES) --include_imports \
	    --include_source_info --descriptor_set_out="$$2" $$(find protos/leo -name '*.proto')); }; \
	  image . "$$last/now.binpb"; image "$$last" "$$last/then.binpb"; \
	  $(BIN)/buf breaking "$$last/now.binpb" --against "$$last/then.binpb" --config protos/buf.yaml --exclude-imports \
	    || { echo "protos/ breaks clients of $$tag: see docs/guides/releases.md" >&2; exit 1; }

format: $(BIN)/leo ## Format the code and mend what the linter can
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

proto: $(BIN)/leo ## Lint protos/ and generate libs/protogen from them
	@image="$$(mktemp --suffix=.binpb)"; trap 'rm -f "$$image"' EXIT; \
	  $(BIN)/python -m grpc_tools.protoc $(PROTO_INCLUDES) --include_imports --include_source_info \
	    --descriptor_set_out="$$image" $(PROTO_FILES); \
	  $(BIN)/buf lint "$$image" --config protos/buf.yaml --path leo
	@rm -rf $(PROTO_OUT)/leo; mkdir -p $(PROTO_OUT); PATH="$(CURDIR)/$(BIN):$$PATH" \
	  $(BIN)/python -m grpc_tools.protoc $(PROTO_INCLUDES) --python_out=$(PROTO_OUT) --mypy_out=quiet:$(PROTO_OUT) $(PROTO_FILES)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc $(PROTO_INCLUDES) \
	  --grpc_python_out=$(PROTO_OUT) --mypy_grpc_out=quiet:$(PROTO_OUT) $(filter %_service.proto,$(PROTO_FILES))

schema: $(BIN)/leo ## Write migrations/schema.sql and the reference of the database from the migrations
	@$(BIN)/python -m libs.schema

lock: $(BIN)/leo ## Resolve pyproject.toml into requirements.lock, with hashes
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile pyproject.toml --group pyproject.toml:dev --universal --python-version 3.11 --quiet \
	  --generate-hashes --only-binary :all: --no-emit-index-url --custom-compile-command "make lock" -o requirements.lock

bench: $(BIN)/leo ## Measure ingest on this machine (docs/benchmarks.md says how)
	@$(BIN)/leo bench ingest

clean: ## Remove .venv and caches; the data in .leo stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .coverage*
