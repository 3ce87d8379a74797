# `make demo` and `make test` are all that a new machine with Rust, Go and make needs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/fic-support-operator
DENY_VERSION := 0.20.2
DENY := $(CACHE)/cargo-deny-$(DENY_VERSION)/bin/cargo-deny
CRD := crds/premiumsupportplans.fic.ntt.com.yaml
# Most of an end-to-end test is waiting, so many run side by side.
E2E_THREADS ?= 8

.PHONY: help
help: ## Show what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

.PHONY: demo
demo: build control-plane ## Run the main job on a real local control plane and the simulator (KEEP=1 leaves it up)
	@tests/demo/run

.PHONY: test
test: build control-plane ## Every test
	cargo test --locked --workspace --lib --bins --test crd --test fic --test untrusted_input
	cargo test --locked --package fic-simulator --package control-plane --tests
	cargo test --locked --doc
	cargo test --locked --profile prove --test model -- --nocapture
	SEEDS=$(or $(SEEDS),100000) cargo test --locked --profile prove --test simulation -- --nocapture
	cargo test --locked --test e2e -- --test-threads=$(E2E_THREADS)
	cargo test --locked --test cluster -- --test-threads=1 --nocapture

.PHONY: simulate
simulate: ## Play histories by seed: SEEDS=1000000 for that many, SEED=4711 for one with its story
	SEEDS=$(or $(SEEDS),1000000) cargo test --locked --profile prove --test simulation every -- --nocapture

.PHONY: prove
prove: ## The model check within wider bounds; needs some gigabytes and minutes
	WIDE=1 cargo test --locked --profile prove --test model -- --nocapture

.PHONY: rules
rules: ## Switch each rule off in turn and see what notices; writes tests/rules/README.md
	tests/rules/run

.PHONY: faults
faults:
	@for fault in tests/rules/faults/*.patch; do \
		git apply --check $$fault || { echo "$$fault does not fit the code any more: make it anew"; exit 1; }; \
	done

MUTANTS_VERSION := 25.3.1
MUTANTS := $(CACHE)/cargo-mutants-$(MUTANTS_VERSION)/bin/cargo-mutants

.PHONY: mutants
mutants: $(MUTANTS) ## Change the deciding, reporting and client code in every small way and see that a test fails; hours
	$(MUTANTS) mutants --no-shuffle --output target $(if $(FILE),--file $(FILE))

$(MUTANTS):
	cargo install --locked --quiet --root $(CACHE)/cargo-mutants-$(MUTANTS_VERSION) cargo-mutants@$(MUTANTS_VERSION)

.PHONY: check
check: fmt-check clippy docs deny faults ## Format, lints, documentation, dependencies

.PHONY: build
build: ## Build all of it
	cargo build --locked --workspace --bins

.PHONY: control-plane
control-plane: build ## Build what is missing of the local control plane
	@target/debug/control-plane build >/dev/null

.PHONY: crd
crd: ## Write the CustomResourceDefinition anew from the types
	cargo run --locked --quiet -- crd > $(CRD).new
	mv $(CRD).new $(CRD)

.PHONY: fmt
fmt: ## Format
	cargo fmt --all

.PHONY: fmt-check
fmt-check:
	cargo fmt --all --check

.PHONY: clippy
clippy:
	cargo clippy --locked --workspace --all-targets -- -D warnings

.PHONY: docs
docs:
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --locked --workspace --no-deps --document-private-items

.PHONY: deny
deny: $(DENY) ## Licences, bans and sources; advisories where their database can be fetched
	$(DENY) --locked check bans licenses sources
	@if git ls-remote --quiet --heads https://github.com/rustsec/advisory-db >/dev/null 2>&1; then \
		$(DENY) --locked check advisories; \
	else \
		echo "advisories: not checked, their database cannot be reached from here"; \
	fi

$(DENY):
	@echo "building cargo-deny $(DENY_VERSION), once; about 4 minutes on 2 cores"
	cargo install --locked --quiet --root $(CACHE)/cargo-deny-$(DENY_VERSION) cargo-deny@$(DENY_VERSION)

.PHONY: image
image: ## Build the container image
	docker build --tag fic-support-operator .
