# Only Rust, Go, make and git are required, for `make openapi` Python and Node.js, and for the targets in release/release.mk what they name. Tools that take
# long to build are cached outside the tree.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/fic-support-operator
DENY_VERSION := 0.20.2
DENY := $(CACHE)/cargo-deny-$(DENY_VERSION)/bin/cargo-deny
PROMETHEUS_VERSION := 0.316.0
PROMTOOL := $(CACHE)/promtool-$(PROMETHEUS_VERSION)/promtool
PROMETHEUS := $(CACHE)/prometheus-$(PROMETHEUS_VERSION)/prometheus
# By its sources: they name the versions of its parts.
COLLECTOR := $(CACHE)/collector-$(shell cat tests/collector/go.mod tests/collector/main.go | sha256sum | cut -c1-12)/collector
KUSTOMIZE_CONTROLLER := $(CACHE)/kustomize-controller-$(shell cat tests/kustomize-controller/go.mod | sha256sum | cut -c1-12)/kustomize-controller
# The tools that read docs/api/fic.yaml, by the versions of their parts.
OPENAPI_VALIDATOR := $(CACHE)/openapi-validator-$(shell cat tests/openapi/validator/{go.mod,main.go} | sha256sum | cut -c1-12)/validator
SCHEMATHESIS := $(CACHE)/schemathesis-$(shell sha256sum tests/openapi_tools/requirements.txt | cut -c1-12)/schemathesis
PRISM := $(CACHE)/prism-$(shell sha256sum tests/openapi_tools/package-lock.json | cut -c1-12)/prism
HELM_VERSION := 4.3.1
HELM := $(CACHE)/helm-$(HELM_VERSION)/helm
HELM3_VERSION := 3.22.0
HELM3 := $(CACHE)/helm-$(HELM3_VERSION)/helm
HELM_UNITTEST_VERSION := 1.1.2
HELM_UNITTEST := $(CACHE)/helm-unittest-$(HELM_UNITTEST_VERSION)/helm-unittest
HELM_DOCS_VERSION := 1.14.2
HELM_DOCS := $(CACHE)/helm-docs-$(HELM_DOCS_VERSION)/helm-docs
MDBOOK_VERSION := 0.5.4
MDBOOK := $(CACHE)/mdbook-$(MDBOOK_VERSION)/bin/mdbook
MDBOOK_MERMAID_VERSION := 0.17.1
MDBOOK_MERMAID := $(CACHE)/mdbook-mermaid-$(MDBOOK_MERMAID_VERSION)/bin/mdbook-mermaid
CRD := crds/premiumsupportplans.fic.ntt.com.yaml
# An end-to-end test mostly waits, so several run at the same time.
E2E_THREADS ?= 8

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

.PHONY: demo
demo: build control-plane ## Run the operator on a real local control plane with the FIC simulator (KEEP=1 keeps it running)
	@tests/demo/run

.PHONY: walk
walk: build control-plane $(HELM) ## Walk from a rehearsal over an installation with Helm and an upgrade to the uninstall, on a real local control plane
	@tests/walk/run $(HELM)

.PHONY: test
test: build control-plane $(PROMTOOL) $(PROMETHEUS) $(COLLECTOR) $(KUSTOMIZE_CONTROLLER) $(HELM) $(HELM3) $(HELM_UNITTEST) $(HELM_DOCS) $(OPENAPI_VALIDATOR) ## Run every test
	cargo test --locked --workspace --lib --bins --test architecture --test chart --test crd --test docs --test fic --test monitoring --test openapi --test secrets_in_memory --test untrusted_input
	cargo test --locked --package fic-simulator --package control-plane --tests
	cargo test --locked --package bench
	cd tests/gitops && go test -count=1 ./...
	cd tests/monitoring/dashboard && go test -count=1 ./...
	cargo test --locked --doc
	cargo test --locked --profile optimized --test model -- --nocapture
	SEEDS=$(or $(SEEDS),100000) cargo test --locked --profile optimized --test simulation -- --nocapture
	cargo test --locked --test e2e -- --test-threads=$(E2E_THREADS)
	cargo test --locked --test guard -- --test-threads=$(E2E_THREADS)
	cargo test --locked --test cluster -- --test-threads=1 --nocapture
	cargo test --locked --test docs_run -- --nocapture
	target/debug/bench 100 --operator target/debug/fic-support-operator --steady 5 --check

.PHONY: simulate
simulate: ## Run the simulation: SEEDS=1000000 for that many seeds, SEED=4711 to print the trace of one
	SEEDS=$(or $(SEEDS),1000000) cargo test --locked --profile optimized --test simulation every -- --nocapture

.PHONY: model
model: ## Run the model check
	cargo test --locked --profile optimized --test model -- --nocapture

.PHONY: model-wide
model-wide: ## Run a larger model check; takes gigabytes of memory and half an hour or more
	WIDE=1 cargo test --locked --profile optimized --test model -- --nocapture

.PHONY: rules
rules: ## Switch each rule off in turn and record which test notices; writes tests/rules/README.md
	tests/rules/run

.PHONY: faults
faults:
	tests/rules/check

MUTANTS_VERSION := 25.3.1
MUTANTS := $(CACHE)/cargo-mutants-$(MUTANTS_VERSION)/bin/cargo-mutants

# Built apart from the operator, whose crates would get more features otherwise.
.PHONY: build-bench
build-bench: control-plane
	cargo build --locked --release
	cargo build --locked --release --package bench --package control-plane

.PHONY: bench
N ?= 100 1000 10000
bench: build-bench ## Measure 100, 1,000 and 10,000 plans (N=500 for another number): time, writes, calls, CPU, memory; takes 20 minutes
	target/release/bench $(N) --operator target/release/fic-support-operator --output tests/bench/results

.PHONY: bench-latency
bench-latency: build-bench ## Measure 1,000 plans (PLANS=500 for another number) when each request to FIC takes 300 ms
	target/release/bench $(or $(PLANS),1000) --operator target/release/fic-support-operator --latency 300

.PHONY: profile
profile: build control-plane ## Show where the CPU time and the memory of the operator go with 1,000 plans (PLANS=500 for another number); needs perf and heaptrack
	cargo build --locked --profile profiling
	tests/bench/profile $(or $(PLANS),1000)

.PHONY: outage
outage: ## Simulate 10,000 plans (PLANS=1000 for another number) through an outage of FIC of ten minutes and one of ten hours
	PLANS=$(or $(PLANS),10000) cargo test --locked --profile optimized --test simulation an_outage -- --nocapture

.PHONY: shards
shards: build control-plane ## Divide 3,000 plans (PLANS=600 for another number) among three operators while operators and plans move
	PLANS=$(or $(PLANS),3000) cargo test --locked --test cluster shards -- --test-threads=1 --nocapture

.PHONY: mutants
# A mutant that makes the tests run forever (exit code 3) is noticed too.
mutants: $(MUTANTS) ## Run mutation tests (FILE=src/domain/memory.rs for one file); takes hours
	$(MUTANTS) mutants --no-shuffle --output target $(if $(FILE),--file $(FILE)) || test $$? = 3

$(MUTANTS):
	cargo install --locked --quiet --root $(CACHE)/cargo-mutants-$(MUTANTS_VERSION) cargo-mutants@$(MUTANTS_VERSION)

.PHONY: openapi
openapi: ## Test the simulator with schemathesis, and the client with a mock of the API; needs Python 3.11 with venv, and Node.js 18, or newer
	cargo test --locked --test openapi --test openapi_tools -- --nocapture

.PHONY: check
check: fmt-check clippy docs deny faults ## Check format, lints, documentation and dependencies

.PHONY: build
build: ## Build everything
	cargo build --locked --workspace --bins

.PHONY: control-plane
control-plane: build ## Build the local control plane, unless it is cached
	@target/debug/control-plane build >/dev/null

.PHONY: promtool
promtool: $(PROMTOOL) ## Build promtool, unless it is cached, and print its path
	@echo $(PROMTOOL)

.PHONY: prometheus
prometheus: $(PROMETHEUS) ## Build Prometheus, unless it is cached, and print its path
	@echo $(PROMETHEUS)

# $(call go_tool,binary,command): builds a tool, once. The command writes it to $$folder, a temporary folder, so that an interrupted or a concurrent build
# does not leave an incomplete binary.
define go_tool
$(1):
	@echo "building $$(notdir $$(@D)), once; this takes up to 5 minutes on 2 cores" >&2
	@mkdir -p $$(@D)
	@export folder=$$$$(mktemp -d $$(@D)/build-XXXXXX) CGO_ENABLED=0; trap 'rm -rf "$$$$folder"' EXIT; \
	($(2)) >&2; \
	mv "$$$$folder/$$(@F)" $$@
endef
# $(call go_install,package@version,flags of go) and $(call go_build,folder,package), as commands for go_tool.
go_install = GOBIN=$$$$folder go install -trimpath -ldflags '-s -w' $(2) $(1)
go_build = cd $(1) && go build -trimpath -ldflags '-s -w' -o "$$$$folder" $(2)

# promtool checks the metrics and the alerts, and Prometheus evaluates them. Without the tag they would contain the service discovery of every cloud.
$(eval $(call go_tool,$(PROMTOOL),$(call go_install,github.com/prometheus/prometheus/cmd/promtool@v$(PROMETHEUS_VERSION),-tags remove_all_sd)))
$(eval $(call go_tool,$(PROMETHEUS),$(call go_install,github.com/prometheus/prometheus/cmd/prometheus@v$(PROMETHEUS_VERSION),-tags remove_all_sd)))
$(eval $(call go_tool,$(HELM),$(call go_install,helm.sh/helm/v4/cmd/helm@v$(HELM_VERSION))))
$(eval $(call go_tool,$(HELM3),$(call go_install,helm.sh/helm/v3/cmd/helm@v$(HELM3_VERSION))))
$(eval $(call go_tool,$(HELM_DOCS),$(call go_install,github.com/norwoodj/helm-docs/cmd/helm-docs@v$(HELM_DOCS_VERSION))))
$(eval $(call go_tool,$(COLLECTOR),$(call go_build,tests/collector,.)))
# kin-openapi checks the requests of the client and the responses of the simulator.
$(eval $(call go_tool,$(OPENAPI_VALIDATOR),$(call go_build,tests/openapi/validator,.)))

# Beside the binary, its CRD.
$(eval $(call go_tool,$(KUSTOMIZE_CONTROLLER),$(call go_build,tests/kustomize-controller,github.com/fluxcd/kustomize-controller) && \
	install -m 644 "$$$$(go list -m -f '{{.Dir}}' github.com/fluxcd/kustomize-controller)"/config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml $$(@D)/kustomizations.yaml))

# `go install` refuses a module with a replace directive, so it is built in the folder of the module.
unittest := github.com/helm-unittest/helm-unittest@v$(HELM_UNITTEST_VERSION)
unittest_folder = $$$$(go mod download $(unittest) && go list -m -f '{{.Dir}}' $(unittest))
$(eval $(call go_tool,$(HELM_UNITTEST),$(call go_build,$(unittest_folder),./cmd/helm-unittest)))

.PHONY: collector
collector: $(COLLECTOR) ## Build the OpenTelemetry Collector for the tests, unless it is cached, and print its path
	@echo $(COLLECTOR)

.PHONY: kustomize-controller
kustomize-controller: $(KUSTOMIZE_CONTROLLER) ## Build the kustomize-controller of Flux for the tests, unless it is cached, and print its path and that of its CRD
	@printf '%s\n' $(KUSTOMIZE_CONTROLLER) $(dir $(KUSTOMIZE_CONTROLLER))kustomizations.yaml

.PHONY: openapi-validator
openapi-validator: $(OPENAPI_VALIDATOR) ## Build the proxy that checks requests against the description of the API, unless it is cached, and print its path
	@echo $(OPENAPI_VALIDATOR)

.PHONY: schemathesis
schemathesis: $(SCHEMATHESIS)
	@echo $(SCHEMATHESIS)

.PHONY: prism
prism: $(PRISM)
	@echo $(PRISM)

$(SCHEMATHESIS) $(PRISM):
	@tests/openapi_tools/install $(@F) $@

.PHONY: helm
helm: $(HELM) $(HELM3) $(HELM_UNITTEST) ## Build helm 4, helm 3 and helm-unittest, unless they are cached, and print their paths
	@printf '%s\n' $(HELM) $(HELM3) $(HELM_UNITTEST)

# The chart cannot read what is outside of its folder, and tools that fetch charts from Git do not follow symbolic links.
.PHONY: chart
chart: $(HELM_DOCS) ## Copy the objects that the chart shares with deploy/ and crds/ into the chart, and regenerate its README
	rm -rf deploy/chart/files && mkdir deploy/chart/files
	cp $(CRD) deploy/chart/files/crd.yaml
	cp deploy/permissions/watched/role.yaml deploy/chart/files/watched.yaml
	cp deploy/user-roles/roles.yaml deploy/chart/files/user-roles.yaml
	cp deploy/monitoring/alerts.yaml deploy/monitoring/dashboard.json deploy/chart/files
	for policy in crd secret-writes record plans credentials tenants; do \
		cp deploy/guard/$$policy/policy.yaml deploy/chart/files/guard-$$policy.yaml; \
	done
	$(HELM_DOCS) --chart-search-root deploy/chart --sort-values-order file --log-level warning

.PHONY: dashboard
dashboard: ## Regenerate the Grafana dashboard
	cd tests/monitoring/dashboard && go run . > dashboard.json.new
	mv tests/monitoring/dashboard/dashboard.json.new deploy/monitoring/dashboard.json

.PHONY: picture
picture: build control-plane $(PROMETHEUS) ## Redraw the picture of the dashboard, from the answers of Prometheus in the test of the alerts
	DASHBOARD_ANSWERS=$(CURDIR)/target/answers.json cargo test --locked --test cluster each_alert
	cd tests/monitoring/dashboard && go run . $(CURDIR)/target/answers.json > $(CURDIR)/docs/tasks/dashboard.svg.new
	mv docs/tasks/dashboard.svg.new docs/tasks/dashboard.svg

EXAMPLES := deploy/gitops/argocd/resource_customizations/fic.ntt.com/PremiumSupportPlan/testdata

# The examples for the tests of GitOps tools come from a real API server, in the states that the end-to-end tests reach.
.PHONY: examples
examples: build control-plane ## Regenerate the examples of plans in each state, with the end-to-end tests
	rm -f $(EXAMPLES)/*.yaml
	PLAN_EXAMPLES=$(abspath $(EXAMPLES)) cargo test --locked --test e2e -- --test-threads=$(E2E_THREADS)
	cd tests/gitops && go test -count=1 -update ./...

.PHONY: crd
crd: ## Regenerate the CustomResourceDefinition from the types
	cargo run --locked --quiet -- crd > $(CRD).new
	mv $(CRD).new $(CRD)

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all

.PHONY: fmt-check
fmt-check:
	cargo fmt --all --check
	@test -z "$$(gofmt -l tests | tee /dev/stderr)"

.PHONY: clippy
clippy:
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cd tests/gitops && go vet ./...
	cd tests/monitoring/dashboard && go vet ./...
	cd tests/collector && go vet ./...
	cd tests/openapi/validator && go vet ./...

.PHONY: docs
docs:
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --locked --workspace --no-deps --document-private-items

.PHONY: docs-test
docs-test: build control-plane $(HELM) $(HELM3) $(HELM_UNITTEST) ## Run the commands in the documents (PAGE=uninstall for the pages with that name), and follow each link
	cargo test --locked --test docs
	cargo test --locked --test docs_run -- --nocapture

# The pages link to files of the repository, so the source of the site is a copy of all that they link to.
.PHONY: docs-site
docs-site: $(MDBOOK) $(MDBOOK_MERMAID) ## Build the documents as a site, into target/docs-site
	rm -rf target/docs-source && mkdir -p target/docs-source
	git ls-files -z '*.md' docs deploy crds tests/rules/faults | xargs -0 cp --parents --target-directory target/docs-source
	cp docs/book.toml target/docs-source
	sed 's#](#](docs/#g' docs/README.md > target/docs-source/index.md
	sed -e 's#](README.md)#](index.md)#;t' -e 's#](#](docs/#' -e 's#](docs/\.\./#](#' docs/SUMMARY.md > target/docs-source/SUMMARY.md
	$(MDBOOK_MERMAID) install target/docs-source >/dev/null 2>&1
	PATH=$(dir $(MDBOOK_MERMAID)):$$PATH $(MDBOOK) build target/docs-source --dest-dir $(CURDIR)/target/docs-site

$(MDBOOK):
	@echo "building mdBook $(MDBOOK_VERSION), once; this takes about 5 minutes on 2 cores"
	cargo install --locked --quiet --root $(CACHE)/mdbook-$(MDBOOK_VERSION) mdbook@$(MDBOOK_VERSION)

$(MDBOOK_MERMAID):
	@echo "building mdbook-mermaid $(MDBOOK_MERMAID_VERSION), once; this takes about 3 minutes on 2 cores"
	cargo install --locked --quiet --root $(CACHE)/mdbook-mermaid-$(MDBOOK_MERMAID_VERSION) mdbook-mermaid@$(MDBOOK_MERMAID_VERSION)

.PHONY: deny
deny: $(DENY) ## Check licences, bans and sources, and advisories if their database can be fetched
	$(DENY) --locked check bans licenses sources
	@if git ls-remote --quiet --heads https://github.com/rustsec/advisory-db >/dev/null 2>&1; then \
		$(DENY) --locked check advisories; \
	else \
		echo "advisories: not checked, because their database cannot be fetched"; \
	fi

$(DENY):
	@echo "building cargo-deny $(DENY_VERSION), once; this takes about 4 minutes on 2 cores"
	cargo install --locked --quiet --root $(CACHE)/cargo-deny-$(DENY_VERSION) cargo-deny@$(DENY_VERSION)

include release/release.mk
