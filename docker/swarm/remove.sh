#!/bin/sh
# Removes the stack, its networks, secrets and configs from the Swarm whose manager `docker` talks to, and waits until they are
# gone. The volumes stay on their hosts, and so do the labels that say which, and the minted secrets: the next deployment finds
# its data. STACK (underlay) names it.
set -eu
stack=${STACK:-underlay}

[ "$(docker info --format '{{.Swarm.ControlAvailable}}' 2>/dev/null)" = true ] || {
  printf 'remove: %s\n' 'this is no manager of a Swarm' 'remedy: choose one with docker context use' >&2
  exit 1
}
ours="label=com.docker.stack.namespace=$stack"
docker stack rm "$stack"
for _ in $(seq 120); do
  left=$(docker stack ps --quiet "$stack" 2>/dev/null || true; docker network ls --quiet --filter "$ours")
  [ -n "$left" ] || exit 0
  sleep 0.5
done
echo "remove: after 60 s there are still: $left" >&2
exit 1
