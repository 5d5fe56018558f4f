# tools/provide installs or builds missing prerequisites once, in a cache outside the
# tree.
SHELL := /bin/bash
.DEFAULT_GOAL := help

provide := tools/provide

generate: ## write the alerts, alarms, runbook pages and dashboards of package monitoring, and the chart's copies
	@go test ./monitoring -run TestGenerated -update
	@go test ./charts -run TestCopies -update

help: ## list the targets
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  \1\t\2/' | expand -t 16

test: ## run all tests that need no cluster; RUN=pattern selects
	@$(provide) test
	@eval "$$($(provide) env)" && go test -timeout 30m $(if $(RUN),-run '$(RUN)') $(TESTFLAGS) ./...

race: ## run the same tests with the race detector
	@$(MAKE) test TESTFLAGS=-race

test-postgresql17: ## run pg-backup's tests against PostgreSQL 17, in a container; RUN=pattern selects
	@tools/test-postgresql17 '$(RUN)'

lint: ## check formatting, linters, modules, wording and manifests
	@tools/lint

infra: ## check Terraform and CloudFormation, and apply them to a fake of AWS, with what is installed
	@tools/infra

bench: ## run the benchmarks, each beside its baseline; BENCH=prefix selects
	@$(provide) test
	@eval "$$($(provide) env)" && tools/bench '$(BENCH)'

fuzz: ## run every fuzz target for FUZZTIME (default 30s)
	@tools/fuzz '$(or $(FUZZTIME),30s)'

mutation: ## measure how many mutants the tests of a package kill; PACKAGES='./certs …' selects
	@$(provide) test
	@eval "$$($(provide) env)" && tools/mutate $(PACKAGES)

kind-up: ## create the kind cluster novawire, unless it exists
	@e2e/cluster/up

kind-down: ## delete the cluster, and stop the container engine if kind-up started it
	@e2e/cluster/down

images: ## build the images and print their sizes
	@e2e/cluster/images

deploy: ## build and load the images, then apply manifests/overlays/kind
	@e2e/cluster/deploy

e2e: ## run the end-to-end tests on E2E_KUBECONFIG or a new cluster; RUN=pattern selects, KEEP=1 keeps the cluster
	@e2e/cluster/run '$(RUN)'

e2e-release: ## install, upgrade and roll back releases on the kind cluster, from OCI layouts; KEEP=1 keeps the cluster
	@e2e/cluster/release

release: ## build a release in out/VERSION, without a registry; VERSION=v0.2.0 (PLATFORMS=linux/amd64,… selects)
	@$(provide) helm
	@eval "$$($(provide) env)" && go -C tools/release run . -version '$(VERSION)' -out '$(CURDIR)/out/$(VERSION)' -helm "$$NOVAWIRE_HELM" \
		$(if $(PLATFORMS),-platforms '$(PLATFORMS)') $(if $(SIGN),-sign '$(SIGN)')

.PHONY: release infra help generate test test-postgresql17 race lint bench fuzz mutation kind-up kind-down images deploy e2e e2e-release
