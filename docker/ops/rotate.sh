#!/bin/sh
# Gives the shop new passwords and tokens while it serves:
#   docker/ops/rotate.sh                                    all of them
#   ONLY="admin-token registry-token" docker/ops/rotate.sh  these
# Interrupted, it is run again, and goes on. What was valid before is refused in the end. Where two can be valid at a time (Redis'
# users, the registry's token), nobody notices. A role of PostgreSQL has one password: from its change until the last old instance
# has been replaced, some seconds, connections that are open go on, and a request for which one more would be needed is answered
# 503. The admin token is the new one from then on (`netns-setup secret admin-token`).
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
  esac
}

# Of the two services that have users in Redis, as its ACL file says now; `how` comes before their passwords.
users() { # how
  # shellcheck disable=SC2016  # for the shell inside
  inside redis cat /run/secrets/users.acl </dev/null >"$work/users"
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
      printf "'%s';\n" "$(inside postgres cat "/run/secrets/$(echo "$role" | tr _ -)-password" </dev/null)"
    done
    echo 'COMMIT;'
  } | sql --dbname postgres
}

instances() { # service
  case $WAY in
    raw) netns_setup ps --quiet "$1" ;;
    compose) compose ps --quiet "$1" ;;
  esac
}

number() { # service, how many; returns when they are healthy
  case $WAY in
    raw) netns_setup scale "$1=$2" ;;
    compose) compose up --detach --no-build --no-recreate --no-deps --wait --scale "$1=$2" "$1" ;;
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

find_way
[ "$WAY" != swarm ] || die 'a Swarm does not change the secrets of what runs: see docs/operations.md'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
lock_out_others 3

mint "${ONLY:-all}"
users ''
for registry in $(instances service-registry); do anew "$registry"; done
roles
# One more instance, which has the new ones from the start, then the others in turn: somebody always serves.
for service in product-service order-service; do
  old=$(instances "$service")
  count=$(echo "$old" | wc -l)
  number "$service" $((count + 1))
  for instance in $old; do anew "$instance"; done
  number "$service" "$count"
done
mint end
users ' resetpass'
for registry in $(instances service-registry); do anew "$registry"; done
say 'every secret that was to be rotated is new, and the one before it is refused'
