# rust:1-bookworm: Debian 12, a C compiler, and the Rust toolchain of the machine that builds this (the build context).
ARG DEBIAN
FROM ${DEBIAN}
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends gcc libc6-dev pkg-config >/dev/null \
 && rm -rf /var/lib/apt/lists/*
COPY . /usr/local/rust
ENV PATH=/usr/local/cargo/bin:/usr/local/rust/bin:$PATH CARGO_HOME=/usr/local/cargo
RUN --mount=type=secret,id=trust --mount=type=secret,id=cargo \
    cp /run/secrets/trust /etc/ssl/certs/ca-certificates.crt \
 && mkdir -p "$CARGO_HOME" \
 && if [ -f /run/secrets/cargo ]; then cp /run/secrets/cargo "$CARGO_HOME/config.toml"; fi
