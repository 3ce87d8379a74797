# The first stage builds a static binary. The image contains only this binary and the CA certificates: no shell, no root user.
#
#   docker build -t fic-support-operator .
#
# To use a mirror or a hardened base image, set the build arguments:
#   docker build --build-arg BUILD_IMAGE=mirror.example/rust:1.95-alpine --build-arg RUN_IMAGE=mirror.example/static .
ARG BUILD_IMAGE=rust:1.95-alpine
ARG RUN_IMAGE=scratch

FROM ${BUILD_IMAGE} AS build
WORKDIR /source
# The crate ring needs a C compiler. The second stage copies the CA certificates.
RUN if command -v apk >/dev/null; then apk add --no-cache build-base ca-certificates; fi
COPY . .
RUN cargo build --release --locked --package fic-support-operator --bin fic-support-operator \
    && cp target/release/fic-support-operator /fic-support-operator

# For the rehearsal: docker build --target simulator -t fic-simulator .
FROM build AS build-simulator
RUN cargo build --release --locked --package fic-simulator && cp target/release/fic-simulator /fic-simulator

FROM ${RUN_IMAGE} AS simulator
COPY --from=build-simulator /fic-simulator /fic-simulator
USER 65532:65532
EXPOSE 8081
ENTRYPOINT ["/fic-simulator"]

FROM ${RUN_IMAGE}
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /fic-support-operator /fic-support-operator
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/fic-support-operator"]
CMD ["run"]
