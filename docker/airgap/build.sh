#!/bin/sh
# Builds stand-ins for the public base images out of Debian packages and this machine's Rust toolchain, under the public names,
# for machines that reach a Debian mirror and crates.io but no image registry. See README.md beside this file.
#   docker/airgap/build.sh              what is missing; an image that is there, whoever made it, is kept
#   FORCE=1 docker/airgap/build.sh      the stand-ins again; never what is no stand-in
#   BUILD_NETWORK=host                  the network of the builds, where Docker's own does not lead out
# Needs an engine, root (for debootstrap) and rustc.
set -eu
cd "$(dirname "$0")"
network=${BUILD_NETWORK:-default}
debian=underlay/airgap-debian:bookworm

die() {
  printf 'airgap: %s\n' "$@" >&2
  exit 1
}

ours() { [ "$(docker image inspect --format '{{index .Config.Labels "underlay.stand-in"}}' "$1" 2>/dev/null)" = true ]; }

# Whether there is something to build; says so.
wanted() {
  if docker image inspect "$1" >/dev/null 2>&1 && ! { [ -n "${FORCE:-}" ] && ours "$1"; }; then
    echo "airgap: $1 is there"
    return 1
  fi
  echo "airgap: building $1"
}

build() { # image Dockerfile context [argument...]
  image=$1 file=$2 context=$3
  shift 3
  ! wanted "$image" ||
    DOCKER_BUILDKIT=1 docker build --quiet --network "$network" --label underlay.stand-in=true --build-arg "DEBIAN=$debian" \
      "$@" --tag "$image" --file "$file" "$context" >/dev/null
}

bootstrap() {
  [ "$(id -u)" = 0 ] || die 'debootstrap needs root' "remedy: sudo -E env PATH=\"\$PATH\" $0"
  command -v debootstrap >/dev/null || {
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
  }
  root=$(mktemp -d)
  trap 'rm -rf "$root"' EXIT
  # shellcheck disable=SC2016  # apt's own variable
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -v security | head -n 1)
  debootstrap --variant=minbase --include=ca-certificates bookworm "$root/fs" "${mirror:-http://deb.debian.org/debian}" >"$root/log" ||
    { tail -n 5 "$root/log" >&2; die 'debootstrap failed; its last words are above'; }
  rm -rf "$root"/fs/var/cache/apt/archives/*.deb "$root"/fs/var/lib/apt/lists/*
  tar -C "$root/fs" -c . | docker import --change 'LABEL underlay.stand-in=true' - "$debian" >/dev/null
}

docker version --format '{{.Server.Version}}' >/dev/null || die 'no Docker engine answers' 'remedy: sudo sh docker/engine.sh'
! wanted "$debian" || bootstrap

# How crates.io is reached is this machine's affair: the builder trusts whom it trusts and goes where its cargo is told to go.
trust=/etc/ssl/certs/ca-certificates.crt
[ -f "$trust" ] || die "there is no $trust" 'remedy: install ca-certificates'
command -v rustc >/dev/null || die 'there is no rustc to take into the builder' 'remedy: https://rustup.rs'
set -- --secret "id=trust,src=$trust"
cargo_config=${CARGO_HOME:-$HOME/.cargo}/config.toml
[ ! -f "$cargo_config" ] || set -- "$@" --secret "id=cargo,src=$cargo_config"
build rust:1-bookworm rust.Dockerfile "$(rustc --print sysroot)" "$@"

build gcr.io/distroless/cc-debian12:nonroot distroless.Dockerfile .
build postgres:17-alpine postgres.Dockerfile ../postgres
build redis:8-alpine redis.Dockerfile .
