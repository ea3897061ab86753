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
# The cluster that somebody works with is not the tests'; verify-cluster, which only reads, takes it.
unexport KUBECONFIG
given_cluster := $(if $(filter command,$(origin KUBECONFIG)),--kubeconfig='$(KUBECONFIG)')
export PATH := $(CURDIR)/.venv/bin:$(PATH)

in_two := --numprocesses 2
bounds = $(if $(FULL),--full) $(if $(RANDOM),-p randomly $(if $(filter-out 1,$(RANDOM)),--randomly-seed=$(RANDOM)))
get_chart = $(PYTHON) -m scripts.manage.layers chart >/dev/null || echo "tools: without the chart the policies run on tests/render/inventory"
tools_for_tests = $(PYTHON) -m scripts.local.tools --for-tests -- $(ARGS); $(get_chart)

##@ Use

help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.complete ## Python environment with Airflow and the publisher in .venv

demo: setup ## The whole job on a fake AWS and a real Airflow: publish, see, change, refuse, roll back (under 5 minutes)
	@$(PYTHON) -m scripts.demo

demo-ui: setup ## The same, then Airflow's UI stays up with the DAGs in it
	@$(PYTHON) -m scripts.demo --ui

cluster: setup ## A real control plane with seven fake Pis to try things on, until Ctrl-C
	@$(PYTHON) -m scripts.local.tools control-plane helm
	@$(PYTHON) -m scripts.local.cluster

##@ Check

test: setup ## All tests, in two processes; what is exhaustive in part, or FULL=1 whole; says what it skipped, and why. ARGS=tests/store: those alone
	@$(tools_for_tests)
	@$(PYTHON) -m pytest $(in_two) $(bounds) $(ARGS)

test-quick: setup ## For the loop at the desk: what starts no Airflow, no Terraform, no cluster (under 2 minutes)
	@$(PYTHON) -m scripts.local.tools helm; $(get_chart)
	@$(PYTHON) -m pytest $(in_two) --quick $(ARGS)

test-full: ## make test FULL=1: everything whole
	@$(MAKE) --no-print-directory test FULL=1

test-terraform: setup ## The AWS side alone: plans, refusals, roles tried with every call, recovery
	@$(MAKE) --no-print-directory test ARGS="tests/terraform tests/manage/test_bucket_export.py tests/ci $(ARGS)"

test-cluster: setup ## Deploys, the incident, nodes that die, on a real control plane with seven fake Pis; KUBECONFIG=FILE: on that cluster what needs no fake nodes
	@$(PYTHON) -m scripts.local.tools control-plane helm; $(get_chart)
	@$(PYTHON) -m pytest tests/cluster --durations=15 --durations-min=1 $(or $(given_cluster),$(in_two)) $(bounds) $(ARGS)

test-mutants: setup ## Change the code in a copy, one slip at a time, and see a test fail; unchanged ones are skipped, ARGS=--all tries all
	@$(PYTHON) -m scripts.local.tools versitygw helm; $(get_chart)
	@$(PYTHON) -m tests.mutants.run $(ARGS)

verify-cluster: setup ## The ten-item checklist against the cluster of KUBECONFIG=FILE, read-only; ARGS=--help lists the options
	@KUBECONFIG='$(KUBECONFIG)' $(PYTHON) -m pytest tests/checklist $(ARGS)

lint: setup ## ruff, mypy --strict, shellcheck, terraform fmt, helm lint --strict (under a minute when nothing changed)
	@$(PYTHON) -m scripts.local.tools helm
	@echo "lint: ruff" && ruff check --quiet . && ruff format --check --quiet .
	@echo "lint: mypy --strict" && mypy --no-error-summary
	@echo "lint: shellcheck" && shellcheck -x scripts/*.sh scripts/manage/*.sh .ci/run
	@helm=$$(command -v helm $(CACHE)/bin/helm-$(call version,helm) | head -1); if [[ -n $$helm ]]; then echo "lint: helm lint --strict"; \
		$$helm lint --strict --quiet charts/airflow-platform --kube-version $(call version,kubernetes_oldest) --values scripts/local/outputs.json; \
		else echo "lint: no helm on this machine; the chart was not checked"; fi
	@if command -v terraform >/dev/null; then echo "lint: terraform fmt" && terraform fmt -check -recursive terraform; \
		else echo "lint: no terraform on this machine; its files were not checked"; fi

test-keys: setup ## Prove that no key of any layer is dead: drops each and renders (about 10 minutes), result in tests/render/keys.yaml
	@$(PYTHON) -m scripts.local.tools helm; $(get_chart)
	@$(PYTHON) -m tests.render.dead_keys

check-images: setup ## Ask the registries whether the images are still what versions.yaml pins
	@$(PYTHON) -m scripts.maintain.images check $(ARGS)

format: setup ## Rewrite the sources in the house style
	@ruff check --fix-only --quiet .
	@ruff format --quiet .
	@if command -v terraform >/dev/null; then terraform fmt -recursive terraform >/dev/null; fi

bench: setup tools ## The benchmarks: results in docs/benchmarks/*.json, tables and plots from them
	@$(PYTHON) -m scripts.bench $(ARGS)

##@ Maintain

docs: setup ## Renew what is generated in docs/ and README tables
	@PYTHONPATH=charts/airflow-platform/files $(PYTHON) -m scripts.maintain.generated
	@if command -v terraform >/dev/null; then $(PYTHON) -m scripts.maintain.iam_docs; \
		else echo "docs: no terraform on this machine; docs/reference/iam.md was not renewed"; fi

inventory: setup ## Renew tests/render/inventory from the charts, and values/keys from chart and Airflow
	@$(PYTHON) -m scripts.local.tools helm
	@$(PYTHON) -m scripts.maintain.key_lists
	@$(PYTHON) -m tests.render.renew

lock: $(UV) ## Renew locks/*.txt from versions.yaml
	@UV=$(UV) scripts/maintain/lock.sh

tools: setup ## Every tool of tests and benchmarks, built once with Go (about 13 minutes); a test run builds those that it needs
	@$(PYTHON) -m scripts.local.tools
	@$(get_chart)

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

.PHONY: help setup demo demo-ui cluster test test-quick test-full test-mutants test-cluster verify-cluster test-terraform lint test-keys check-images format bench docs inventory lock tools clean
