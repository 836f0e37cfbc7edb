# Every target is one script, so that CI, people and other scripts run the same thing.
.DEFAULT_GOAL := help
.PHONY: help run down test test-long test-engines bench simulate acceptance gen lint scan image setup lock clients \
  conformance

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Start everything and tell the story of one agent, from a fresh clone on
	@scripts/run

down: ## Stop everything that `make run` or `stockade up` started
	@scripts/down

test: ## Lint, then run the test suite with coverage (CI runs this)
	@scripts/test

test-long: ## Run the whole suite, the slow tests included
	@scripts/test --long

test-engines: ## Run the sandbox tests once more, on a newer Docker
	@scripts/setup && scripts/test-engines

bench: ## Measure: make bench AREA=main writes build/bench/main.json
	@scripts/bench $(AREA)

simulate: ## Simulate a fleet, 1,000 nodes by default: make simulate OPTIONS="--load small --seeds 20"
	@scripts/simulate $(OPTIONS)

acceptance: ## Hold a loaded stack to what is promised: build/acceptance.json
	@scripts/acceptance

gen: ## Regenerate what is generated from the contract
	@scripts/setup && scripts/gen

lint: ## Check style, types, layers, the contract and that generated files are current
	@scripts/lint

scan: ## Write the bill of materials and look for known weaknesses
	@scripts/scan

image: ## Build the images that sandboxes and services run from
	@scripts/images

setup: ## Install what development needs, pinned and hashed
	@scripts/setup

lock: ## Pin the dependencies anew: requirements/*.txt
	@scripts/setup && scripts/lock --upgrade

clients: ## Generate clients: make clients LANG=go|typescript|java|rust|all
	@scripts/setup && scripts/clients $(if $(filter command,$(firstword $(origin LANG))),$(LANG),all)

conformance: ## Run one session of steps in every language against a stack, and compare
	@scripts/conformance
