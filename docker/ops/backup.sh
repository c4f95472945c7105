#!/bin/sh
# Saves the shop's two databases, while it runs:
#   docker/ops/backup.sh             into $TO (default: ~/.local/state/underlay/backups), in a folder named by the time
#   WAY=compose docker/ops/backup.sh when it is up in more than one way; see way.sh
# The two dumps are of one moment: orders are locked against writing for as long as it takes to note the state of both databases,
# some milliseconds, so that no order is saved whose stock is not. The folder appears under its name when everything in it is on
# the disk, readable by its owner only. Not in it: secrets (a restored shop has its own) and Redis (the cache fills itself; open
# carts live as long as Redis' volume).
set -eu
umask 077
cd "$(dirname "$0")/../.."
. docker/ops/way.sh
. docker/ops/psql.sh

find_way postgres
TO=${TO:-${XDG_STATE_HOME:-$HOME/.local/state}/underlay/backups}
taken=$(date -u +%Y-%m-%dT%H:%M:%SZ)
name=$(echo "$taken" | tr -d ':-')
mkdir -p "$TO"
[ ! -e "$TO/$name" ] || die "$TO/$name is there already" 'remedy: try again in a second'
new=$TO/.$name.partial
work=$(mktemp -d)
trap 'rm -rf "$work" "$new"' EXIT
trap 'exit 130' INT TERM HUP

lock_out_others 3
mkdir "$new"

# Whoever writes orders waits here; in the lock's shadow both databases are noted. An order's stock is reserved after the order is
# written, and returned after it is cancelled, so this moment is one that the services know how to go on from.
open_session orders 5
open_session catalog 7
ask 5 "SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '10s';
  BEGIN ISOLATION LEVEL REPEATABLE READ; SAVEPOINT writers_wait; LOCK TABLE orders, idempotency_keys IN SHARE MODE; SELECT 'noted';"
ask 7 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_export_snapshot();'
catalog=$answer
ask 5 'ROLLBACK TO SAVEPOINT writers_wait; RELEASE SAVEPOINT writers_wait; SELECT pg_export_snapshot();'
orders=$answer
ask 5 "SET idle_in_transaction_session_timeout = 0; SHOW server_version;"
server=$answer

tables() { # descriptor, database: its part of the manifest
  { digests; echo "SELECT '';"; } >&"$1"
  while hear "$1" && [ -n "$answer" ]; do echo "table $2 $answer"; done
}

dump() { # database, snapshot
  inside postgres pg_dump --username postgres --format custom --snapshot "$2" --dbname "$1" </dev/null >"$new/$1.dump"
  sync "$new/$1.dump"
}

dump orders "$orders"
dump catalog "$catalog"
{
  echo 'underlay-backup 1'
  echo "taken $taken"
  echo "way $WAY"
  echo "postgres $server"
  echo "version $(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml 2>/dev/null | head -n 1)"
  for database in orders catalog; do
    echo "file $database.dump $(sha256sum <"$new/$database.dump" | cut -d ' ' -f 1)"
  done
  tables 5 orders
  tables 7 catalog
  echo complete
} >"$new/manifest"
sync "$new/manifest" "$new"
mv "$new" "$TO/$name"
sync "$TO"
sed -n 's/^table \([a-z]*\) \([^ ]*\) \([0-9]*\) .*/\1.\2: \3/p' "$new/manifest" 2>/dev/null || true
say "$(sed -n 's/^table orders orders \([0-9]*\) .*/\1/p' "$TO/$name/manifest") orders and \
$(sed -n 's/^table catalog products \([0-9]*\) .*/\1/p' "$TO/$name/manifest") products of $taken are in $TO/$name"
