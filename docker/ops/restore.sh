#!/bin/sh
# Puts the shop back to what docker/ops/backup.sh has saved:
#   FROM=FOLDER FORCE=1 docker/ops/restore.sh         FORCE=1: what the shop holds now may go
# Whole or not at all, at whatever point it is interrupted: both databases are filled beside the ones in use while the shop goes
# on, compared with the manifest row by row, and exchanged by their names in one transaction. For that moment order-service and
# product-service stop, and the gateway answers 503. Interrupted between their stop and start, run it again, or start them
# (`make up`, `docker compose start`): they find the old rows or the new ones. Secrets stay the shop's own.
set -eu
umask 077
cd "$(dirname "$0")/../.."
. docker/ops/way.sh
. docker/ops/psql.sh
. docker/ops/redis.sh

backups=${TO:-${XDG_STATE_HOME:-$HOME/.local/state}/underlay/backups}
[ -n "${FROM:-}" ] || die 'which backup? say FROM=FOLDER' "there are: $(find "$backups" -mindepth 2 -maxdepth 2 -name manifest 2>/dev/null |
  sed 's:/manifest$::' | sort | tail -n 5 | tr '\n' ' ')"
manifest=$FROM/manifest
[ -f "$manifest" ] || die "there is no backup in $FROM: no file manifest"
[ "$(head -n 1 "$manifest")" = 'underlay-backup 1' ] || die "$manifest is of another program or version: it begins with $(head -n 1 "$manifest")"
[ "$(tail -n 1 "$manifest")" = complete ] || die "$manifest is cut off: its last line is not 'complete'"

field() { sed -n "s/^$1 //p" "$manifest"; }

for database in orders catalog; do
  wanted=$(field "file $database.dump")
  [ -f "$FROM/$database.dump" ] || die "$FROM/$database.dump is missing; nothing was touched"
  [ "$(sha256sum <"$FROM/$database.dump" | cut -d ' ' -f 1)" = "$wanted" ] ||
    die "$FROM/$database.dump is not what was saved: its SHA-256 differs from the manifest's; nothing was touched"
done

find_way postgres redis
work=$(mktemp -d)
stopped=
end() {
  code=$?
  trap '' INT TERM HUP
  [ -z "$stopped" ] || (go_on product-service order-service) || say 'product-service and order-service could not be started again' >&2
  rm -rf "$work"
  exit "$code"
}
trap end EXIT
trap 'exit 130' INT TERM HUP
lock_out_others 3
echo PING | redis >/dev/null

ask 3 'SHOW server_version;'
theirs=$(field postgres)
[ "${answer%%[!0-9]*}" -ge "${theirs%%[!0-9]*}" ] ||
  die "the backup is PostgreSQL $theirs's, and this server is the older $answer; nothing was touched" 'remedy: restore where PostgreSQL is as new'

# What would be lost.
now=$(for database in orders catalog; do digests | sql --dbname "$database" | sed "s/^/$database /"; done)
held=$(echo "$now" | awk '$2 == "orders" { o = $3 } $2 == "products" { p = $3 } END { print o + 0, "orders and", p + 0, "products" }')
if [ "$held" != '0 orders and 0 products' ] && [ "${FORCE:-}" != 1 ]; then
  die "the shop holds $held, which would be replaced by the backup of $(field taken)" 'remedy: FORCE=1, if they may go; make backup saves them first'
fi

# Beside the databases in use; left-overs of an interrupted run go first.
for database in orders catalog; do
  sql --dbname postgres <<SQL
SET client_min_messages = warning;
DROP DATABASE IF EXISTS ${database}_restored WITH (FORCE);
DROP DATABASE IF EXISTS ${database}_replaced WITH (FORCE);
CREATE DATABASE ${database}_restored OWNER ${database}_owner TEMPLATE template0;
REVOKE ALL ON DATABASE ${database}_restored FROM PUBLIC;
GRANT CONNECT ON DATABASE ${database}_restored TO ${database}_owner, $database;
SQL
  inside postgres pg_restore --username postgres --dbname "${database}_restored" --single-transaction --exit-on-error \
    <"$FROM/$database.dump" || die "PostgreSQL could not read $FROM/$database.dump; the shop is as it was"
  digests | sql --dbname "${database}_restored" >"$work/is"
  field "table $database" >"$work/was"
  diff "$work/was" "$work/is" >"$work/differs" ||
    die "what came out of $FROM/$database.dump is not what was saved; the shop is as it was" "$(cat "$work/differs")"
done

stopped=1
halt order-service product-service
# Nobody else has a connection now but for people, whose sessions end here. A new one would have to be faster than two lines.
sql --dbname postgres <<'SQL' >/dev/null
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname IN ('orders', 'catalog') AND pid <> pg_backend_pid();
BEGIN;
SELECT format('ALTER DATABASE %I RENAME TO %I', datname, datname || '_replaced') FROM pg_database WHERE datname IN ('orders', 'catalog') \gexec
ALTER DATABASE orders_restored RENAME TO orders;
ALTER DATABASE catalog_restored RENAME TO catalog;
COMMIT;
SQL
# The cache knows later revisions than the catalogue now has, and would not let go of them.
redis --scan --pattern 'product:*' </dev/null >"$work/keys"
sed 's/.*/UNLINK "&"/' "$work/keys" | redis >/dev/null
stopped=
go_on product-service order-service
printf 'SET client_min_messages = warning; DROP DATABASE IF EXISTS %s_replaced WITH (FORCE);\n' orders catalog | sql --dbname postgres
say "the shop is as it was at $(field taken): $(awk '$1 == "table" && $3 != "_sqlx_migrations" { printf "%s%d %s", sep, $4, $3; sep = ", " }' "$manifest")"
