#!/bin/sh
# Sees to it that a Docker engine with Compose v2 and buildx answers on this machine, a Debian 12 without an init system (a CI
# container) included: installs what is missing, starts what does not run, touches nothing that is there. Idempotent; needs root.
#   engine    Debian's docker.io
#   plugins   Debian 12 has neither: the next release's packages, unpacked as plugins of the command line, not installed
# An engine that was started here goes on running: kill "$(cat /var/run/docker.pid)" ends it.
set -eu
export DEBIAN_FRONTEND=noninteractive
plugins=/usr/local/lib/docker/cli-plugins
log=/var/log/dockerd.log

die() {
  printf 'engine: %s\n' "$@" >&2
  exit 1
}

answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

install_engine() {
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends docker.io iptables ca-certificates >/dev/null
}

start_engine() {
  if [ -d /run/systemd/system ]; then
    systemctl start docker || die 'the engine does not start' 'look at it: journalctl -u docker'
    return
  fi
  setsid dockerd >"$log" 2>&1 </dev/null &
  daemon=$!
  for _ in $(seq 300); do
    ! answers || return 0
    kill -0 "$daemon" 2>/dev/null || break
    sleep 0.1
  done
  tail -n 5 "$log" >&2
  die "the engine does not answer; its last words are above" "look at it: less $log"
}

# Packages of the next Debian release, from the mirror that apt uses, with lists of their own: this machine's apt sees none of it.
install_plugins() {
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  # shellcheck disable=SC2016  # apt's own variable
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
  [ -n "$mirror" ] || die 'apt names no Debian mirror to take Compose and buildx from' \
    'remedy: install docker-compose-plugin and docker-buildx-plugin: https://docs.docker.com/engine/install/debian/'
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$work/list"
  mkdir -p "$work/lists/partial" "$work/root"
  set -- -qq -o Dir::Etc::sourcelist="$work/list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::Lists="$work/lists" \
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root
  apt-get "$@" update
  (cd "$work" && apt-get "$@" download docker-compose docker-buildx)
  for deb in "$work"/*.deb; do dpkg -x "$deb" "$work/root"; done
  install -D -t "$plugins" "$work"/root/usr/libexec/docker/cli-plugins/*
}

has_plugins() { docker compose version >/dev/null 2>&1 && docker buildx version >/dev/null 2>&1; }

if ! answers || ! has_plugins; then
  [ "$(id -u)" = 0 ] || die 'no engine answers you, or it lacks Compose or buildx' "remedy: sudo sh $0; or, to use one that runs: usermod -aG docker $(id -un)"
  answers || { command -v dockerd >/dev/null || install_engine; }
  answers || start_engine
  has_plugins || install_plugins
fi
docker version --format 'engine {{.Server.Version}}'
docker compose version
docker buildx version
