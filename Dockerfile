# An image contains one static binary and nothing else, but that of the operator has the CA certificates too: no shell, no root user. The binaries are
# built before, so the build needs no network and no base image:
#
#   make binaries && docker build -f Dockerfile -t fic-support-operator target/image
#
# `make image` does the same without a container engine.

# For the rehearsal: make simulator-binaries && docker build -f Dockerfile -t fic-simulator --target simulator target/image
FROM scratch AS simulator
ARG TARGETARCH
COPY ${TARGETARCH}/fic-simulator /fic-simulator
USER 65532:65532
EXPOSE 8081
ENTRYPOINT ["/fic-simulator"]

FROM scratch AS operator
ARG TARGETARCH
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY ${TARGETARCH}/fic-support-operator /fic-support-operator
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/fic-support-operator"]
CMD ["run"]
