# The files of a release, and how they are made and published. Beside the tools of the Makefile this needs Python 3.11 with venv. What needs more says so.

ZIGBUILD_VERSION := 0.24.1
ZIGBUILD := $(CACHE)/cargo-zigbuild-$(ZIGBUILD_VERSION)/bin/cargo-zigbuild
AUDITABLE_VERSION := 0.7.7
AUDITABLE := $(CACHE)/cargo-auditable-$(AUDITABLE_VERSION)/bin/cargo-auditable
# zig, the CA certificates, zizmor, and what validates SBOMs.
RELEASE_PYTHON := $(CACHE)/release-python-$(shell sha256sum release/requirements.txt | cut -c1-12)/bin/python
CRANE_VERSION := 0.22.1
CRANE := $(CACHE)/crane-$(CRANE_VERSION)/crane
SYFT_VERSION := 1.57.1
SYFT := $(CACHE)/syft-$(SYFT_VERSION)/syft
COSIGN_VERSION := 3.1.3
COSIGN := $(CACHE)/cosign-$(COSIGN_VERSION)/cosign
ACTIONLINT_VERSION := 1.7.12
ACTIONLINT := $(CACHE)/actionlint-$(ACTIONLINT_VERSION)/actionlint

VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)

$(ZIGBUILD):
	@echo "building cargo-zigbuild $(ZIGBUILD_VERSION), once; this takes about 3 minutes on 2 cores"
	cargo install --locked --quiet --root $(CACHE)/cargo-zigbuild-$(ZIGBUILD_VERSION) cargo-zigbuild@$(ZIGBUILD_VERSION)

$(AUDITABLE):
	@echo "building cargo-auditable $(AUDITABLE_VERSION), once; this takes about 1 minute on 2 cores"
	cargo install --locked --quiet --root $(CACHE)/cargo-auditable-$(AUDITABLE_VERSION) cargo-auditable@$(AUDITABLE_VERSION)

$(RELEASE_PYTHON):
	@release/install-python $@

$(eval $(call go_tool,$(CRANE),$(call go_install,github.com/google/go-containerregistry/cmd/crane@v$(CRANE_VERSION))))
$(eval $(call go_tool,$(SYFT),$(call go_install,github.com/anchore/syft/cmd/syft@v$(SYFT_VERSION),-ldflags '-s -w -X main.version=$(SYFT_VERSION)')))
$(eval $(call go_tool,$(COSIGN),$(call go_install,github.com/sigstore/cosign/v3/cmd/cosign@v$(COSIGN_VERSION))))
$(eval $(call go_tool,$(ACTIONLINT),$(call go_install,github.com/rhysd/actionlint/cmd/actionlint@v$(ACTIONLINT_VERSION))))

IMAGE := target/image
LAYOUT := target/oci
RELEASE_FILES := target/release-files
# The registry, and the namespace in it.
REPOSITORY ?= registry.example

# The targets find the tools that they depend on by their names, and the time of everything that they make is that of the commit.
empty :=
release_targets := binaries simulator-binaries image simulator-image image-test reproducible sbom release-files publish-rehearsal publish verify \
	registry-login release-lint
$(release_targets): export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)
$(release_targets): export PATH := $(subst $(empty) ,:,$(foreach tool,$(ZIGBUILD) $(AUDITABLE) $(RELEASE_PYTHON) $(CRANE) $(SYFT) $(COSIGN) $(ACTIONLINT) $(HELM),$(patsubst %/,%,$(dir $(tool))))):$(PATH)

# In the workflow: the tag is the version.
.PHONY: release-version
release-version:
	@test "$(GITHUB_REF_NAME)" = "v$(VERSION)" || { echo "error: the tag is $(GITHUB_REF_NAME), and the version in Cargo.toml $(VERSION)"; exit 1; }

.PHONY: image-digest
image-digest:
	@sed 's/.*"digest":"\([^"]*\)".*/\1/' $(LAYOUT)/index.json

.PHONY: binaries
binaries: $(ZIGBUILD) $(AUDITABLE) $(RELEASE_PYTHON) ## Build the static binaries of the operator for amd64 and arm64, into target/image
	release/binaries fic-support-operator $(IMAGE)
	install -m 644 "$$(python -m certifi)" $(IMAGE)/ca-certificates.crt

.PHONY: simulator-binaries
simulator-binaries: $(ZIGBUILD) $(AUDITABLE) $(RELEASE_PYTHON)
	release/binaries fic-simulator $(IMAGE)

.PHONY: image
image: binaries ## Build the image of the operator for amd64 and arm64, into target/oci; needs buildah
	release/image operator $(VERSION) $(IMAGE) $(LAYOUT)

.PHONY: simulator-image
simulator-image: simulator-binaries ## Build the image of the FIC simulator, into target/oci-simulator; needs buildah
	release/image simulator $(VERSION) $(IMAGE) $(LAYOUT)-simulator

.PHONY: image-test
image-test: image build control-plane ## Start the image on a local control plane, and check what it contains; needs buildah, runc, qemu-user-static and root
	release/image-test $(LAYOUT)

.PHONY: reproducible
reproducible: image ## Build the image twice, in two folders, and compare the hashes
	release/reproducible $(VERSION) $(IMAGE) $(LAYOUT)

.PHONY: sbom
sbom: binaries $(SYFT) $(RELEASE_PYTHON) ## Write what the binaries consist of, in SPDX and CycloneDX, into target/sbom
	release/sbom $(VERSION) $(IMAGE) target/sbom

.PHONY: release-files
release-files: image sbom build control-plane $(HELM) ## Write the files of a release into target/release-files, with REPOSITORY=ghcr.io/owner as the place of the image
	rm -rf $(RELEASE_FILES)
	release/files $(REPOSITORY) $(VERSION) $(IMAGE) $(LAYOUT) "$$(target/debug/control-plane build)" $(RELEASE_FILES)
	cp target/sbom/*_$(VERSION)_* $(RELEASE_FILES)
	cd $(RELEASE_FILES) && sha256sum * >../checksums.txt && mv ../checksums.txt .
	@ls -l $(RELEASE_FILES)

.PHONY: publish-rehearsal
publish-rehearsal: release-files $(CRANE) $(COSIGN) ## Publish, sign and verify a release, with a registry on loopback
	release/publish-rehearsal $(VERSION) $(LAYOUT) $(RELEASE_FILES)

# For the workflow: it has made the files in another job.
.PHONY: registry-login
registry-login: $(CRANE)
	@crane auth login $(firstword $(subst /, ,$(REPOSITORY))) --username "$$REGISTRY_USER" --password-stdin <<<"$$REGISTRY_PASSWORD"

.PHONY: publish
publish: $(CRANE) $(COSIGN) $(HELM)
	release/publish $(REPOSITORY) $(VERSION) $(LAYOUT) $(RELEASE_FILES)

.PHONY: verify
verify: $(CRANE) $(COSIGN) $(RELEASE_PYTHON)
	release/verify $(REPOSITORY) $(VERSION) $(RELEASE_FILES) --certificate-oidc-issuer https://token.actions.githubusercontent.com \
		--certificate-identity "$$CERTIFICATE_IDENTITY"

.PHONY: advisories
advisories: $(DENY) ## Check the dependencies for known vulnerabilities; needs the network
	$(DENY) --locked check advisories

.PHONY: release-lint
release-lint: $(ACTIONLINT) $(RELEASE_PYTHON) ## Check the workflows and the scripts
	actionlint
	zizmor --offline --quiet --pedantic .github/workflows
	shellcheck --external-sources --source-path=SCRIPTDIR $$(git grep -lE '^#!/usr/bin/env bash' -- ':!*.md')
