# Two stages: the first builds a static binary, the second holds nothing but it and the roots it trusts: no shell, no root user.
#
#   docker build -t fic-support-operator .
#
# Both base images can be replaced, for a mirror or a hardened one:
#   docker build --build-arg BUILD_IMAGE=mirror.example/rust:1.95-alpine --build-arg RUN_IMAGE=mirror.example/static .
ARG BUILD_IMAGE=rust:1.95-alpine
ARG RUN_IMAGE=scratch

FROM ${BUILD_IMAGE} AS build
WORKDIR /source
# ring compiles a little C; the roots are copied into the end.
RUN if command -v apk >/dev/null; then apk add --no-cache build-base ca-certificates; fi
COPY . .
RUN cargo build --release --locked --package fic-support-operator --bin fic-support-operator \
    && cp target/release/fic-support-operator /fic-support-operator

FROM ${RUN_IMAGE}
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /fic-support-operator /fic-support-operator
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/fic-support-operator"]
CMD ["run"]
