# The verbs of the project. Everything that a verb needs and the machine lacks
# is installed or built once, by tools/provide, into a cache outside the tree.
SHELL := /bin/bash
.DEFAULT_GOAL := help

provide := tools/provide

help: ## what there is
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  \1\t\2/' | expand -t 16

test: ## everything that needs no cluster; RUN=pattern selects
	@$(provide) test
	@eval "$$($(provide) env)" && go test -timeout 30m $(if $(RUN),-run '$(RUN)') $(TESTFLAGS) ./...

race: ## the same under the race detector
	@$(MAKE) test TESTFLAGS=-race

test-postgresql17: ## pg-backup's tests against PostgreSQL 17, in a container; RUN=pattern selects
	@tools/test-postgresql17 '$(RUN)'

lint: ## formatters, linters, module tidiness, manifests build
	@tools/lint

bench: ## benchmarks beside their comparisons; BENCH=prefix selects
	@$(provide) test
	@eval "$$($(provide) env)" && tools/bench '$(BENCH)'

fuzz: ## every fuzz target for FUZZTIME (30s)
	@tools/fuzz '$(or $(FUZZTIME),30s)'

mutation: ## how many mutants each package's own tests kill; PACKAGES='./certs …' selects
	@$(provide) test
	@eval "$$($(provide) env)" && tools/mutate $(PACKAGES)

kind-up: ## the cluster, one node, named novawire; a running one stays
	@e2e/cluster/up

kind-down: ## deletes the cluster and stops the engine that kind-up started
	@e2e/cluster/down

images: ## the programs' images, with their sizes
	@e2e/cluster/images

deploy: ## images into the cluster, then manifests/overlays/kind
	@e2e/cluster/deploy

e2e: ## black-box tests on a cluster (E2E_KUBECONFIG, or one made for it); RUN=pattern selects, KEEP=1 leaves it running
	@e2e/cluster/run '$(RUN)'

.PHONY: help test test-postgresql17 race lint bench fuzz mutation kind-up kind-down images deploy e2e
