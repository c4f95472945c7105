# The builder is the same in every Dockerfile of this folder, to the letter: BuildKit builds all services in it, once.
ARG BUILDER_IMAGE=rust:1-bookworm
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILDER_IMAGE} AS builder
RUN --mount=type=bind,target=/context \
    --mount=type=cache,id=underlay-cargo,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=underlay-work,target=/work,sharing=locked \
    sh /context/docker/build.sh /context /work /out

FROM ${RUNTIME_IMAGE}
COPY --from=builder /out/service-registry /app/service-registry
USER 65532:65532
WORKDIR /app
EXPOSE 8500
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=2s --timeout=2s --start-period=30s --retries=5 CMD ["/app/service-registry", "healthcheck"]
ENTRYPOINT ["/app/service-registry"]
ARG VERSION=dev
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="underlay/service-registry" \
      org.opencontainers.image.description="Underlay's service registry: leases, probes and watches" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
