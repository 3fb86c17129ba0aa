# Every target installs what it needs: the npm packages (which bring Node 24), and, for the lab, Debian packages and
# Kubernetes binaries built once into a cache outside the checkout.
SHELL := /bin/bash
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Not `npm ci`: it refuses a lock file without the packages of other platforms, which not every registry mirror has.
# The lock file still pins every package, and --no-save leaves it as it is.
node_modules/.package-lock.json: package.json package-lock.json
	npm install --no-save --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: deps
deps: node_modules/.package-lock.json ## Install the npm packages

.PHONY: build
build: deps ## Bundle the program and compile the addon into dist/
	npm run -s build

.PHONY: generate
generate: deps ## Write the CRDs and the reference pages from the schemas
	npm run -s generate

.PHONY: check
check: deps ## Types, style, import rules, dead code
	npm run -s typecheck
	npm run -s lint

.PHONY: test-unit
test-unit: deps ## Unit tests only (under half a minute)
	npm run -s addon
	npm run -s test:unit

# What is found becomes an example of its property.
.PHONY: test-properties
test-properties: TIMES ?= 100
test-properties: deps ## The unit tests' properties with TIMES=100 times their random cases (5 minutes)
	npm run -s addon
	PROPERTY_TIMES=$(TIMES) npm run -s test:unit -- --testTimeout=86400000 $$(grep -rl fast-check test --include='*.test.ts' --exclude-dir=integration)

.PHONY: test
test: build ## Everything CI runs: checks, unit, integration and end-to-end tests
	npm run -s test:all

.PHONY: image
image: build ## Build the container image with buildah
	npm run -s lab -- image

.PHONY: up
up: build ## Bring the lab cluster up with Ovenbird installed
	npm run -s lab -- up

.PHONY: down
down: deps ## Take the lab down; nothing is left behind
	npm run -s lab -- down

.PHONY: demo
demo: build ## The tour: a bare-metal cluster, a LoadBalancer Service, a failover
	npm run -s demo

.PHONY: clean
clean: ## Remove what was built
	rm -rf dist build
