#!/bin/sh
# Deploys the shop to the Swarm whose manager `docker` talks to:
#   docker/swarm/deploy.sh                 as the stack `underlay`
#   STACK=second HTTP_PORT=8081 FRONTEND_PREFIX=10.20.0 BACKEND_PREFIX=10.21.0 DATABASE_PREFIX=10.22.0 docker/swarm/deploy.sh
# Mints the secrets once, into a folder of this machine ($SECRETS_DIR), with the same script as the other ways; gives each the name
# that its contents ask for; and chooses the hosts that keep PostgreSQL's and Redis' volumes, unless somebody has. Running it again
# changes what has changed. The images have to be on the hosts, or in a registry that they reach (TAG says which).
# Every other argument goes to `docker stack deploy`.
set -eu
cd "$(dirname "$0")/../.."
export STACK="${STACK:-underlay}"
root=${XDG_STATE_HOME:-$HOME/.local/state}/underlay/$STACK
export SECRETS_DIR="${SECRETS_DIR:-$root/master}"

die() {
  printf 'deploy: %s\n' "$@" >&2
  exit 1
}

[ "$(docker info --format '{{.Swarm.ControlAvailable}}')" = true ] ||
  die 'this is no manager of a Swarm' 'remedy: docker swarm init, or choose a manager with docker context use'

if [ "$SECRETS_DIR" = "$root/master" ]; then
  (umask 077 && mkdir -p "$root")
  for consumer in master postgres redis registry product order; do mkdir -p "$root/$consumer"; done
  SECRETS=$root sh docker/secrets/mint.sh
fi
for file in "$SECRETS_DIR"/*; do
  [ -f "$file" ] || die "there is no secret in $SECRETS_DIR"
  name=$(basename "$file" | tr 'a-z.-' 'A-Z__')
  export "${name}_HASH=$(sha256sum <"$file" | cut -c 1-12)"
done

# A volume is on the host where it was first used: its label stays there, whatever else changes.
for store in postgres redis; do
  [ -z "$(docker node ls --quiet --filter "node.label=underlay.$store=true")" ] || continue
  node=$(docker node ls --quiet --filter role=manager | head -n 1)
  docker node update --label-add "underlay.$store=true" "$node" >/dev/null
  echo "deploy: $store keeps its volume on $(docker node inspect --format '{{.Description.Hostname}}' "$node")"
done

exec docker stack deploy --compose-file docker-compose-swarm.yml "$@" "$STACK"
