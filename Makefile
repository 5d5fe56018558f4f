# The verbs of the project. Everything that a verb needs and the machine lacks
# is installed or built once, by tools/provide, into a cache outside the tree.
SHELL := /bin/bash
.DEFAULT_GOAL := help

provide := tools/provide
bench_packages := ./...

help: ## what there is
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 16

test: ## everything that needs no cluster; RUN=pattern selects
	@$(provide) test
	@eval "$$($(provide) env)" && go test $(if $(RUN),-run '$(RUN)') $(TESTFLAGS) ./...

race: ## the same under the race detector
	@$(MAKE) test TESTFLAGS=-race

lint: ## formatters, linters, module tidiness, manifests build
	@tools/lint

bench: ## benchmarks beside their comparisons; BENCH=prefix selects
	@$(provide) test
	@eval "$$($(provide) env)" && tools/bench '$(BENCH)' $(bench_packages)

fuzz: ## every fuzz target for FUZZTIME (30s)
	@tools/fuzz '$(or $(FUZZTIME),30s)'

.PHONY: help test race lint bench fuzz
