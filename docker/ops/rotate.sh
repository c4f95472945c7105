#!/bin/sh
# Gives the shop new passwords and tokens while it serves:
#   docker/ops/rotate.sh                                    all of them
#   ONLY="admin-token registry-token" docker/ops/rotate.sh  these
# Interrupted, it is run again, and goes on. What was valid before is refused in the end. Where two can be valid at a time (Redis'
# users, the registry's token), nobody notices. A role of PostgreSQL has one password: from its change until the last old instance
# has been replaced, some seconds, connections that are open go on, and a request for which one more would be needed is answered
# 503. The admin token is the new one from then on (`netns-setup secret admin-token`).
#   On a Swarm what runs keeps the secrets that it was started with: Redis and PostgreSQL start anew in the end, if theirs are among
# these, and for some seconds each carts and orders are answered 503. Run it where the shop was deployed from: the secrets lie there.
set -eu
umask 077
cd "$(dirname "$0")/../.."
. docker/ops/way.sh
. docker/ops/psql.sh
. docker/ops/redis.sh

mint() { # what to rotate
  case $WAY in
    raw) netns_setup run --no-deps -T -e "ROTATE=$1" secrets ;;
    compose) compose run --rm --no-deps -T -e "ROTATE=$1" secrets ;;
    swarm) ROTATE=$1 SECRETS=$state sh docker/secrets/mint.sh ;;
  esac
}

# A file that the mint has given to a consumer. What runs in a Swarm has the one before until it is started anew.
minted() { # service, name
  case $WAY in
    swarm) cat "$state/$1/$2" ;;
    *) inside "$1" cat "/run/secrets/$2" </dev/null ;;
  esac
}

# Of the two services that have users in Redis, as its ACL file says now; `how` comes before their passwords.
users() { # how
  minted redis users.acl >"$work/users"
  awk -v how="$1" '$2 ~ /^(operator|product|order)$/ {
    line = "ACL SETUSER " $2 how
    for (i = 4; $i ~ /^#/; i++) line = line " " $i
    print line
  }' "$work/users" >"$work/commands"
  # shellcheck disable=SC2119  # not this script's arguments
  redis <"$work/commands" >/dev/null
}

# Every role of PostgreSQL gets the password that its instance has been given. Hex: there is nothing to quote. On standard input: in
# no list of arguments, and in no log either, should the server log statements.
roles() {
  {
    echo 'SET log_statement = none; SET log_min_error_statement = panic; SET log_min_duration_statement = -1; BEGIN;'
    for role in postgres catalog_owner catalog orders_owner orders; do
      printf 'ALTER ROLE %s PASSWORD ' "$role"
      printf "'%s';\n" "$(minted postgres "$(echo "$role" | tr _ -)-password")"
    done
    echo 'COMMIT;'
  } | sql --dbname postgres
}

instances() { # service
  case $WAY in
    raw) netns_setup ps --quiet "$1" ;;
    compose) running "$1" ;;
  esac
}

number() { # service, how many; returns when they are healthy
  case $WAY in
    raw) netns_setup scale "$1=$2" ;;
    compose)
      compose up --detach --no-build --no-recreate --no-deps --scale "$1=$2" "$1"
      await_healthy "$1"
      ;;
  esac
}

anew() { # instance; returns when it is healthy
  case $WAY in
    raw) netns_setup restart "$1" ;;
    compose)
      docker restart --time 15 "$1" >/dev/null
      await_container "$1"
      ;;
  esac
}

registries() {
  case $WAY in
    swarm) renew "$state/master" service-registry ;;
    *) for registry in $(instances service-registry); do anew "$registry"; done ;;
  esac
}

# One more instance, which has the new ones from the start, then the others in turn: somebody always serves.
services() {
  if [ "$WAY" = swarm ]; then
    # What they will have in the end: they show one token, and need not accept the one before.
    cp -R "$state" "$work/end"
    ROTATE=end SECRETS=$work/end sh docker/secrets/mint.sh >/dev/null
    renew "$work/end/master" product-service order-service
    return
  fi
  for service in product-service order-service; do
    old=$(instances "$service")
    count=$(echo "$old" | wc -l)
    number "$service" $((count + 1))
    for instance in $old; do anew "$instance"; done
    number "$service" "$count"
  done
}

# Has the ones before refused.
refuse() {
  case $WAY in
    swarm)
      renew "$state/master" service-registry redis
      renew "$state/master" postgres # after the cache is back, which answers meanwhile
      for service in service-registry product-service order-service redis postgres; do
        await_swarm "$service" 'is still being updated' unfinished
      done
      forget
      ;;
    *)
      users ' resetpass'
      registries
      ;;
  esac
}

# Gives services of a Swarm what is in a folder; returns when their tasks have it and are healthy.
renew() { # folder, service...
  from=$1
  shift
  for service; do give "$service" "$from"; done
  for service; do await_swarm "$service" 'has not been renewed' behind; done
}

find_way postgres redis
state=${XDG_STATE_HOME:-$HOME/.local/state}/underlay/$STACK
if [ "$WAY" = swarm ]; then
  [ -s "$state/master/admin-token" ] || die "the secrets of the stack $STACK are not on this machine: there is no $state/master" \
    'remedy: run this where docker/swarm/deploy.sh was, as the same user; secrets from elsewhere (SECRETS_DIR) are changed there, and deployed'
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
lock_out_others 3

mint "${ONLY:-all}"
users ''
registries
roles
services
mint end
refuse
say 'every secret that was to be rotated is new, and the one before it is refused'
