# Sourced by the scripts beside it: finds the shop that runs, whichever way it does, and speaks to it.
#   WAY=raw|compose|swarm    which one is meant, when more than one is up
#   COMPOSE_PROJECT_NAME     its name on the raw way and under Compose (default: the folder's); STACK on a Swarm (underlay)
#   STORES_HOST              on a Swarm: engines (as in DOCKER_HOST) to look for the tasks of PostgreSQL and Redis on, beside docker's own
#   NETNS_SETUP              the program of the raw way (default: the one that `make up` has built, else the PATH's)
# shellcheck shell=sh
. docker/ops/swarm.sh

# Says what is wrong, and what to do, and ends.
die() { # line...
  say "$@" >&2
  exit 1
}

say() { # line...
  for line; do printf '%s: %s\n' "$(basename "$0" .sh)" "$line"; done
}

netns_setup() {
  if [ -z "${NETNS_SETUP:-}" ]; then
    NETNS_SETUP=${CARGO_TARGET_DIR:-target}/release/netns-setup
    [ -x "$NETNS_SETUP" ] || NETNS_SETUP=netns-setup
  fi
  "$NETNS_SETUP" "$@"
}

# The plugin, or the older program of its own.
compose() {
  if docker compose version >/dev/null 2>&1; then docker compose "$@"; else docker-compose "$@"; fi
}

# The containers of a service that run. An older Compose lists those that are stopped, too, and those of `run`.
running() { # service
  listed=$(compose ps --quiet "$1") || return
  [ -z "$listed" ] || docker ps --no-trunc --quiet --filter label=com.docker.compose.oneoff=False | grep -Fx "$listed" || true
}

is_up() { # way
  case $1 in
    raw) [ -n "$(netns_setup ps --quiet postgres 2>/dev/null)" ] ;;
    compose) [ -n "$(running postgres 2>/dev/null)" ] ;;
    swarm) docker service inspect "${STACK}_postgres" >/dev/null 2>&1 ;;
    *) die "WAY is $1: it can be raw, compose or swarm" ;;
  esac
}

# Sets WAY to the one way that PostgreSQL runs, and sees that the insides of services are in reach.
find_way() { # service...
  STACK=${STACK:-underlay}
  choose_way
  [ "$WAY" != swarm ] || for service; do reach "$service"; done
}

choose_way() {
  if [ -n "${WAY:-}" ]; then
    is_up "$WAY" || { [ "$WAY" != swarm ] || want_manager; die "PostgreSQL does not run the $WAY way" "remedy: $(how_to_start "$WAY")"; }
    return
  fi
  found=
  for way in raw compose swarm; do
    # An engine that is not there is no shop; netns-setup that is not there is none either.
    if is_up "$way" 2>/dev/null; then found="$found $way"; fi
  done
  # shellcheck disable=SC2086  # a list of words
  set -- $found
  case $# in
    1) WAY=$1 ;;
    0)
      [ "$(docker info --format '{{.Swarm.LocalNodeState}}' 2>/dev/null)" != active ] || want_manager
      die 'no shop is up here: PostgreSQL runs neither raw nor by Compose nor on a Swarm' \
        "remedy: $(how_to_start raw); or $(how_to_start compose); another name than the folder's is given by COMPOSE_PROJECT_NAME"
      ;;
    *) die "a shop is up in more than one way:$found" "remedy: say which one is meant, as in WAY=$1" ;;
  esac
}

want_manager() {
  [ "$(docker info --format '{{.Swarm.ControlAvailable}}' 2>/dev/null)" = true ] ||
    die 'this engine is no manager of a Swarm, and only one can be asked' \
      'remedy: choose a manager with docker context use or DOCKER_HOST; STORES_HOST names the host of PostgreSQL and Redis, if that is another'
}

how_to_start() { # way
  case $1 in
    raw) echo 'make up' ;;
    compose) echo 'docker compose up -d --build --wait' ;;
    swarm) echo 'docker/swarm/deploy.sh' ;;
  esac
}

# Runs a program beside a service's own, with this script's standard streams.
inside() { # service command...
  service=$1
  shift
  case $WAY in
    raw) netns_setup exec -T "$service" "$@" ;;
    compose) compose exec -T "$service" "$@" ;;
    swarm)
      reach "$service"
      at "$engine" exec -i "$container" "$@"
      ;;
  esac
}

at() { # engine, or nothing for docker's own; docker's arguments...
  engine=$1
  shift
  if [ -n "$engine" ]; then docker --host "$engine" "$@"; else docker "$@"; fi
}

# Ends every instance of services in order; returns when they have ended.
halt() { # service...
  case $WAY in
    raw) netns_setup stop "$@" ;;
    compose) compose stop "$@" ;;
    swarm)
      for service; do
        # How many there were is kept where the next `go_on` finds it, should this script be killed.
        count=$(replicas "$service")
        [ "$count" = 0 ] || change "$service" --label-add "underlay.replicas=$count" --replicas 0
      done
      for service; do await_swarm "$service" 'has not ended' running; done
      ;;
  esac
}

# Starts what `halt` has ended, and waits until it is healthy.
go_on() { # service...
  case $WAY in
    raw) netns_setup start "$@" ;;
    compose) compose start "$@" && await_healthy "$@" ;;
    swarm)
      for service; do
        count=$(docker service inspect --format '{{index .Spec.Labels "underlay.replicas"}}' "${STACK}_$service")
        [ -z "$count" ] || [ "$(replicas "$service")" != 0 ] || change "$service" --replicas "$count"
      done
      for service; do await_swarm "$service" 'is not healthy' missing; done
      # Last, so that `docker service rollback` goes to what runs, and not to none.
      for service; do change "$service" --label-rm underlay.replicas; done
      ;;
  esac
}

# An older Compose starts and does not wait.
await_healthy() { # service...
  for each; do
    containers=$(running "$each")
    [ -n "$containers" ] || die "$each does not run" "see: docker compose logs $each"
    for container in $containers; do await_container "$container"; done
  done
}

await_container() { # container
  turns=0
  while [ "$(docker inspect --format '{{.State.Health.Status}}' "$1")" != healthy ]; do
    turns=$((turns + 1))
    [ "$turns" -lt 240 ] || die "$(docker inspect --format '{{.Name}}' "$1") is not healthy" "see: docker logs $1"
    sleep 0.5
  done
}
