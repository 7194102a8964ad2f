# `make demo` and `make test` do everything, on a machine with Rust and a C++ compiler or one where
# those can be installed. `make help` lists the rest.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help build demo clean-demo test check bench campaign seeded-bugs slow setup

help: ## list what can be made
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{ printf "  make %-12s %s\n", $$1, $$2 }'

setup: ## install what a build needs (the others do this too)
	@.ci/setup

build: setup ## compile `city` and `city-node`
	@.ci/build

demo: setup ## build, then show the ledger at work
	@.ci/demo

clean-demo: ## remove what a demo left in this folder
	@.ci/clean-demo

test: setup ## run every test; the last lines name the skipped ones and count the rest
	@.ci/test-summary

check: setup ## formatting, lints, crate arrows, dependencies, docs
	@.ci/check

bench: setup ## measure throughput, latency, memory and disk of four validators (BENCH='slow', 'outage', 'leader-faults': with faults; 'ledger', 'lives', 'rules')
	@.ci/bench $(BENCH)

campaign: setup ## simulate seeds not run yet for these sources (SEEDS=a..b, DIR=where results are kept, SECONDS=limit)
	@.ci/campaign $(or $(DIR),campaign) $(or $(SEEDS),0..5000) $(SECONDS)

seeded-bugs: setup ## put known bugs into a copy of the sources, one at a time, and let the simulator find them (BUGS='name...')
	@.ci/seeded-bugs $(BUGS)

slow: setup ## the same tests as `make test` with many seeds (SEEDS=n, FIRST=n)
	@CITY_SEEDS=$(or $(SEEDS),5000) CITY_SEED_FIRST=$(or $(FIRST),0) .ci/test-summary -- --include-ignored
