# Sourced by the scripts beside it: finds the shop that runs, whichever way it does, and speaks to it.
#   WAY=raw|compose|swarm    which one is meant, when more than one is up
#   COMPOSE_PROJECT_NAME     its name on the raw way and under Compose (default: the folder's); STACK on a Swarm (underlay)
#   NETNS_SETUP              the program of the raw way (default: the one that `make up` has built, else the PATH's)
# shellcheck shell=sh

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


is_up() { # way
  case $1 in
    raw) [ -n "$(netns_setup ps --quiet postgres 2>/dev/null)" ] ;;
    compose) [ -n "$(compose ps --quiet postgres 2>/dev/null)" ] ;;
    swarm) docker service inspect "${STACK}_postgres" >/dev/null 2>&1 ;;
    *) die "WAY is $1: it can be raw, compose or swarm" ;;
  esac
}

# Sets WAY to the one way that PostgreSQL runs.
find_way() {
  STACK=${STACK:-underlay}
  if [ -n "${WAY:-}" ]; then
    is_up "$WAY" || die "PostgreSQL does not run the $WAY way" "remedy: $(how_to_start "$WAY")"
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
    0) die 'no shop is up here: PostgreSQL runs neither raw nor by Compose nor on a Swarm' \
      "remedy: $(how_to_start raw); or $(how_to_start compose); another name than the folder's is given by COMPOSE_PROJECT_NAME" ;;
    *) die "a shop is up in more than one way:$found" "remedy: say which one is meant, as in WAY=$1" ;;
  esac
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
      container=$(the_task "$service") || exit 1
      docker exec -i "$container" "$@"
      ;;
  esac
}

the_task() { # service: its container, or where to look for it
  container=$(docker ps --quiet --filter "label=com.docker.swarm.service.name=${STACK}_$1" | head -n 1)
  [ -n "$container" ] || die "no task of ${STACK}_$1 runs on this host, but on: $(docker service ps --filter desired-state=running \
    --format '{{.Node}}' "${STACK}_$1" | tr '\n' ' ')" 'remedy: run this there, or set DOCKER_HOST=ssh://THAT-HOST'
  echo "$container"
}

# Ends every instance of services in order; returns when they have ended.
halt() { # service...
  case $WAY in
    raw) netns_setup stop "$@" ;;
    compose) compose stop "$@" ;;
    swarm) for service in "$@"; do
      # How many there were is kept where the next `go_on` finds it, should this script be killed.
      count=$(docker service inspect --format '{{.Spec.Mode.Replicated.Replicas}}' "${STACK}_$service")
      [ "$count" = 0 ] || docker service update --quiet --label-add "underlay.replicas=$count" --replicas 0 "${STACK}_$service" >/dev/null
    done ;;
  esac
}

# Starts what `halt` has ended, and waits until it is healthy.
go_on() { # service...
  case $WAY in
    raw) netns_setup start "$@" ;;
    compose) compose start "$@" && await_healthy "$@" ;;
    swarm) for service in "$@"; do
      count=$(docker service inspect --format '{{index .Spec.Labels "underlay.replicas"}}' "${STACK}_$service")
      [ -z "$count" ] || docker service update --quiet --label-rm underlay.replicas --replicas "$count" "${STACK}_$service" >/dev/null
    done ;;
  esac
}

# An older Compose starts and does not wait.
await_healthy() { # service...
  for container in $(compose ps --quiet "$@"); do await_container "$container"; done
}

await_container() { # container
  turns=0
  while [ "$(docker inspect --format '{{.State.Health.Status}}' "$1")" != healthy ]; do
    turns=$((turns + 1))
    [ "$turns" -lt 240 ] || die "$(docker inspect --format '{{.Name}}' "$1") is not healthy" "see: docker logs $1"
    sleep 0.5
  done
}
