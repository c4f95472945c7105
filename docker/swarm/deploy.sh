#!/bin/sh
# Deploys the shop to the Swarm whose manager `docker` talks to, and waits until every task is healthy:
#   docker/swarm/deploy.sh                 as the stack `underlay`; again: changes what has changed
#   TAG=v2 docker/swarm/deploy.sh          rolls an update out, task by task
#   IMAGES=registry.example.org/shop docker/swarm/deploy.sh   from a registry that all hosts reach
#   REGISTRIES=3 docker/swarm/deploy.sh     so many registries; else two, or one where there is one host
#   SERVICES="order-service" TAG=v2 docker/swarm/deploy.sh     of these services only
#   STACK=second HTTP_PORT=8081 FRONTEND_PREFIX=10.20.0 BACKEND_PREFIX=10.21.0 DATABASE_PREFIX=10.22.0 docker/swarm/deploy.sh
# Mints the secrets once, into a folder of this machine ($SECRETS_DIR), with the same script as the other ways; gives each the name
# that its contents ask for; and chooses the hosts that keep PostgreSQL's and Redis' volumes, unless somebody has. Whatever can be
# known to fail beforehand is said before anything is deployed. WAIT=SECONDS (180) is how long tasks may take; every other argument
# goes to `docker stack deploy`.
set -eu
cd "$(dirname "$0")/../.."
. docker/subnets.sh
. docker/swarm/probe.sh
export STACK="${STACK:-underlay}"
file=docker-compose-swarm.yml
root=${XDG_STATE_HOME:-$HOME/.local/state}/underlay/$STACK
export SECRETS_DIR="${SECRETS_DIR:-$root/master}"

die() {
  printf 'deploy: %s\n' "$@" >&2
  exit 1
}

# Sets WORK to the file as far as it is meant: all of it, or the services that are named.
choose() {
  work=$(mktemp -d)
  trap 'end' EXIT
  trap 'exit 130' INT TERM HUP
  for service in ${SERVICES:-}; do
    declared services | grep -qxF "$service" || die "SERVICES: there is no $service; nothing was deployed" "there are: $(declared services | tr '\n' ' ')"
  done
  awk -v chosen=" ${SERVICES:-} " '/^[^ #]/ { inside = $1 == "services:"; skip = 0 }
    inside && /^  [^ #]/ { name = $1; sub(":", "", name); skip = chosen !~ /^ +$/ && index(chosen, " " name " ") == 0 }
    !skip' "$file" >"$work/stack.yml"
}

end() {
  rm -rf "$work"
  [ -z "${probing:-}" ] || end_probes
}

# What stands at the margin below `$1:` in the file.
declared() { awk -v section="$1:" '/^[^ #]/ { inside = $1 == section } inside && /^  [^ #]/ { gsub(/[":]/, "", $1); print $1 }' "$file"; }

engines() {
  docker version --format '{{.Server.Version}}' >/dev/null 2>&1 ||
    die "no Docker engine answers at ${DOCKER_HOST:-the current context ($(docker context show 2>/dev/null))}" \
      'remedy: docker/engine.sh installs and starts one; docker context use chooses another'
  case $(docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}') in
    *true) ;;
    active*) die 'this engine is a worker of its Swarm; nothing was deployed' 'remedy: choose a manager, with docker context use or DOCKER_HOST' ;;
    *) die 'this engine is in no Swarm; nothing was deployed' \
      'remedy: docker swarm init, choose a manager with docker context use, or make swarm-rehearse for a Swarm on this machine' ;;
  esac
  for node in $(docker node ls --quiet); do docker node inspect --format '{{.Description.Hostname}} {{.Description.Engine.EngineVersion}}' "$node"; done |
    while read -r name version; do
      major=${version%%.*} rest=${version#*.}
      [ "$major" -gt 20 ] || { [ "$major" -eq 20 ] && [ "${rest%%.*}" -ge 10 ]; } ||
        die "the Docker engine of $name is $version, too old; nothing was deployed" 'remedy: Docker Engine 20.10 or newer on every host'
    done
}

# Two registries on one host would be lost with it: a second one would wait for another host, and never be healthy.
registries() {
  [ -z "${REGISTRIES:-}" ] || return 0
  case " ${SERVICES:-service-registry} " in *' service-registry '*) ;; *) return 0 ;; esac
  hosts=$(docker node ls --format '{{.Status}} {{.Availability}}' | grep -c '^Ready Active' || true)
  [ "$hosts" -gt 1 ] || {
    export REGISTRIES=1
    echo 'deploy: on one host there is one registry; deploy again when there are more hosts (REGISTRIES=2: now)'
  }
}

# Each network wants a subnet of its own.
subnets() {
  earlier=
  for name in FRONTEND_PREFIX:172.20.0 BACKEND_PREFIX:172.21.0 DATABASE_PREFIX:172.22.0; do
    eval "subnet=\${${name%:*}:-${name#*:}}.0/24"
    name=${name%:*}
    # shellcheck disable=SC2154  # assigned by eval
    is_subnet "$subnet" || die "$name: $subnet is no subnet; nothing was deployed" "remedy: three numbers up to 255, as in $name=10.20.0"
    by=$(echo "$earlier" | overlapping "$subnet")
    [ -z "$by" ] || die "$name: $subnet is that of ${by#* }, too; nothing was deployed" 'remedy: each of FRONTEND_PREFIX, BACKEND_PREFIX and DATABASE_PREFIX wants its own'
    earlier="$earlier
$subnet $name"
  done
}

# Other stacks' networks and ports: a Swarm notices when half of ours is up.
collisions() {
  # shellcheck disable=SC2046  # a list
  others=$(docker network inspect --format '{{$n := .}}{{range .IPAM.Config}}{{.Subnet}} {{$n.Name}} {{index $n.Labels "com.docker.stack.namespace"}}
{{end}}' $(docker network ls --quiet --filter scope=swarm) | awk -v ours="$STACK" '$3 != ours')
  for prefix in "${FRONTEND_PREFIX:-172.20.0}" "${BACKEND_PREFIX:-172.21.0}" "${DATABASE_PREFIX:-172.22.0}"; do
    taken=$(echo "$others" | overlapping "$prefix.0/24")
    [ -z "$taken" ] || die "the subnet $prefix.0/24 is taken, by the network $(echo "$taken" | cut -d ' ' -f 2) (${taken%% *}); nothing was deployed" \
      'remedy: other FRONTEND_PREFIX, BACKEND_PREFIX and DATABASE_PREFIX, such as 10.20.0'
  done
  services=$(docker service ls --quiet)
  [ -z "$services" ] || {
    # shellcheck disable=SC2086  # a list
    taken=$(docker service inspect --format '{{index .Spec.Labels "com.docker.stack.namespace"}}/{{.Spec.Name}} {{range .Endpoint.Ports}}{{.PublishedPort}} {{end}}' $services |
      awk -v ours="$STACK/" -v port="${HTTP_PORT:-8080}" 'index($1, ours) != 1 { for (i = 2; i <= NF; i++) if ($i == port) print substr($1, index($1, "/") + 1) }')
    [ -z "$taken" ] || die "$taken publishes port ${HTTP_PORT:-8080} already; nothing was deployed" 'remedy: another HTTP_PORT'
  }
}

# Each image is on this manager, or comes here.
images() {
  unregistered=
  for image in $(declared_images | cut -d ' ' -f 2 | sort -u); do
    docker image inspect "$image" >/dev/null 2>&1 || docker pull --quiet "$image" >/dev/null 2>&1 ||
      die "the image $image is not on this manager, and cannot be pulled; nothing was deployed" \
        "remedy: build it (docker compose build; docker/airgap/build.sh for PostgreSQL and Redis without a registry), or choose another TAG"
    [ -n "$(docker image inspect --format '{{join .RepoDigests " "}}' "$image")" ] || unregistered="$unregistered $image"
  done
}

# The services that are meant: `NAME IMAGE --constraint=...`.
declared_images() {
  awk '/^[^ #]/ { inside = $1 == "services:" }
    inside && /^  [^ #]/ { name = $1; sub(":", "", name) }
    inside && $1 == "image:" { image[name] = $2; gsub("\"", "", image[name]) }
    inside && match($0, /constraints: \[[^]]*\]/) {
      count = split(substr($0, RSTART + 14, RLENGTH - 15), constraints, ",")
      for (i = 1; i <= count; i++) { gsub(/[ "]/, "", constraints[i]); constrained[name] = constrained[name] " --constraint=" constraints[i] }
    }
    END { for (name in image) print name, image[name] constrained[name] }' "$work/stack.yml" | sort |
    while read -r name image constraints; do
      eval "echo $name \"$image\" '$constraints'" # the file's ${NAME:-default} mean the same here
    done
}

secrets() {
  if [ "$SECRETS_DIR" = "$root/master" ]; then
    # Others than the stack was begun with would not open its volumes.
    [ -s "$SECRETS_DIR/admin-token" ] || [ -z "$(docker secret ls --quiet --filter "label=com.docker.stack.namespace=$STACK")" ] ||
      die "the secrets of the stack $STACK are not on this machine: there is no $SECRETS_DIR; nothing was deployed" \
        'remedy: deploy from where it was first deployed, as the same user; or bring that folder here; or make swarm-down, if its volumes may go, too'
    (umask 077 && mkdir -p "$root")
    for consumer in master postgres redis registry product order; do mkdir -p "$root/$consumer"; done
    SECRETS=$root sh docker/secrets/mint.sh
  fi
  for name in $(declared secrets); do
    [ -s "$SECRETS_DIR/$name" ] || die "there is no secret $SECRETS_DIR/$name; nothing was deployed" \
      'remedy: leave SECRETS_DIR out, and they are minted; or put a file there for each of:' "$(declared secrets | tr '\n' ' ')"
    variable=$(printf %s "$name" | tr 'a-z.-' 'A-Z__')_HASH
    export "$variable=$(sha256sum <"$SECRETS_DIR/$name" | cut -c 1-12)"
  done
}

# A volume is on the host where it was first used: its label stays there, whatever else changes.
volumes() {
  for store in postgres redis; do
    [ -z "$(docker node ls --quiet --filter "node.label=underlay.$store=true")" ] || continue
    node=$(docker node ls --quiet --filter role=manager | head -n 1)
    docker node update --label-add "underlay.$store=true" "$node" >/dev/null
    echo "deploy: $store keeps its volume on $(docker node inspect --format '{{.Description.Hostname}}' "$node")"
  done
}

unsettled() { # services that are not what they should be yet; a task runs once it is healthy
  all=$(docker service ls --filter "label=com.docker.stack.namespace=$STACK" --format '{{.Name}} {{.Replicas}}')
  printf '%s\n' "$all" | while read -r name replicas _; do
    update=$(docker service inspect --format '{{with .UpdateStatus}}{{.State}}{{end}}' "$name")
    case $update in
      '' | completed) [ "${replicas%/*}" = "${replicas#*/}" ] || echo "$name $replicas" ;;
      updating) echo "$name $replicas, being updated" ;;
      *) echo "$name $replicas, $update" ;;
    esac
  done
}

troubles() { docker stack ps --no-trunc --format '{{.Name}} on {{.Node}}: {{.CurrentState}} {{.Error}}' "$STACK" 2>/dev/null | grep -E "$1" | sort -u | head -n 12; }

settle() {
  began=$(date +%s) well=0
  # Twice in a row: an update begins a moment after it was asked for.
  while [ "$well" -lt 2 ]; do
    sleep 1
    left=$(unsettled)
    [ -n "$left" ] || { well=$((well + 1)) && continue; }
    well=0
    # Not before all others have been carried to their end, too.
    case $left in
      *', being updated'* | *rollback_started*) ;;
      *paused*) die 'what was deployed does not keep well, and a Swarm could not go back to what was there' "$left" "$(troubles 'Failed|Rejected')" ;;
      *rollback_completed*) die 'what was deployed does not keep well; a Swarm has gone back to what was there' "$left" "$(troubles 'Failed|Rejected')" ;;
    esac
    missing=$(troubles 'No such image')
    [ -z "$missing" ] || die 'a host lacks an image, and there is no registry that has it' "$missing" \
      'remedy: docker save IMAGE | docker -H ssh://HOST load; the task starts by itself then'
    [ $(($(date +%s) - began)) -lt "${WAIT:-180}" ] ||
      die "not healthy within ${WAIT:-180} s:" "$left" "$(troubles 'Failed|Rejected|Pending|Starting|Preparing')" "look further: docker stack ps --no-trunc $STACK; docker service logs NAME"
  done
  echo "deploy: every task is healthy, after $(($(date +%s) - began)) s"
}

choose
subnets
engines
registries
collisions
images
secrets
volumes
probe
if [ -n "$unregistered" ]; then
  case "$*" in *--resolve-image*) ;; *)
    set -- --resolve-image=never "$@" ;;
  esac
fi
# Hosts that pull show what this machine has been let in with (docker login).
[ -z "${IMAGES:-}" ] || set -- --with-registry-auth "$@"
# Newer clients want to be told that nobody waits here; older ones know nothing else.
! docker stack deploy --help | grep -q -- --detach || set -- --detach=true "$@"
docker stack deploy --compose-file - "$@" "$STACK" <"$work/stack.yml" # paths in it are the folder's here
settle
docker stack ps --filter desired-state=running --format 'table {{.Name}}\t{{.Image}}\t{{.Node}}\t{{.CurrentState}}' "$STACK"
