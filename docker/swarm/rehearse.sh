#!/usr/bin/env bash
# The shop on a Swarm of several hosts that are all on this machine:
#   docker/swarm/rehearse.sh [HOSTS]     3 by default; again: deploys what has changed
#   docker/swarm/hosts.sh down           ends it and leaves nothing
# Takes the images from the engine that `docker` talks to, and builds those that it lacks (BUILD=1: all of them anew). REHEARSAL=NAME
# keeps several apart, TAG chooses the version; ONLY=images brings hosts and images up, and deploys nothing yet.
set -euo pipefail
cd "$(dirname "$0")/../.."
hosts=docker/swarm/hosts.sh
export REHEARSAL=${REHEARSAL:-rehearsal} TAG=${TAG:-dev}
unset IMAGES # the hosts get copies, and nothing is pushed for a rehearsal

die() {
  printf 'rehearse: %s\n' "$@" >&2
  exit 1
}

docker version --format '{{.Server.Version}}' >/dev/null 2>&1 || die 'no Docker engine answers that has or builds the images' 'remedy: docker/engine.sh installs and starts one'

services=()
for service in service-registry product-service order-service api-gateway; do services+=("underlay/$service:$TAG"); done
stores=("${POSTGRES_IMAGE:-postgres:17-alpine}" "${REDIS_IMAGE:-redis:8-alpine}")
lacks() { ! docker image inspect "$@" >/dev/null 2>&1; }
docker/swarm/images.sh
for image in "${stores[@]}"; do
  ! lacks "$image" || docker pull --quiet "$image" ||
    die "there is no $image, and it cannot be pulled" 'remedy: docker/airgap/build.sh makes stand-ins without a registry'
done

"$hosts" up "${1:-3}"
"$hosts" load "${services[@]}"
"$hosts" load --only 1 "${stores[@]}" # the first manager keeps the volumes
[ "${ONLY:-}" != images ] || exit 0
# Secrets of a rehearsal end with it, like its volumes.
state=/var/lib/underlay-swarm/$REHEARSAL
DOCKER_HOST=unix://$state/1/docker.sock XDG_STATE_HOME=$state/secrets docker/swarm/deploy.sh --resolve-image=never

network=$(<"$state/network")
port=${HTTP_PORT:-8080}
echo
echo 'Every host answers:'
for i in $(seq "$(<"$state/count")"); do
  code=$(curl --silent --output /dev/null --max-time 10 --write-out '%{http_code}' "http://$network.$i:$port/api/products" || true)
  echo "  curl http://$network.$i:$port/api/products        # $code from host$i"
done
cat <<END
and takes commands, yours and those of make, which find its secrets with the second variable:
  export DOCKER_HOST=unix://$state/1/docker.sock XDG_STATE_HOME=$state/secrets
  docker stack ps ${STACK:-underlay}
  $hosts kill 3                          # a host is lost: look where its tasks go
  make swarm-rehearse-down
END
