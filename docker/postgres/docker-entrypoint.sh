#!/bin/sh
# Starts PostgreSQL the way the official image does, on any machine that has the server installed:
#   POSTGRES_USER (postgres), POSTGRES_DB (= user), POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE, POSTGRES_INITDB_ARGS,
#   POSTGRES_HOST_AUTH_METHOD (scram-sha-256), PGDATA, /docker-entrypoint-initdb.d/*.{sh,sql,sql.gz} on a new data directory.
# As root it hands over to the user postgres; as anybody else it is that user. Where it does better than the image:
# initialisation happens in a folder of its own and is moved into place at the end, so that one that was interrupted is begun
# again, never taken for a database; no health check is answered before it has ended; and the data of another major version is
# refused with the way out.
set -eu

: "${PGDATA:=/var/lib/postgresql/data}" "${POSTGRES_USER:=postgres}"
: "${POSTGRES_DB:=$POSTGRES_USER}" "${POSTGRES_HOST_AUTH_METHOD:=scram-sha-256}"
: "${TZ:=UTC}"
export PGDATA POSTGRES_USER POSTGRES_DB TZ
sockets=/var/run/postgresql
new=$PGDATA/.new

die() {
  printf 'postgres: %s\n' "$@" >&2
  exit 1
}

# Debian keeps each major version in a folder of its own: the one of the data, else the newest.
use_binaries() {
  data_version=$(cat "$PGDATA/PG_VERSION" 2>/dev/null || true)
  found=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -t / -k 5 -n | tail -n 1)
  [ -z "$data_version" ] || [ ! -x "/usr/lib/postgresql/$data_version/bin/postgres" ] || found=/usr/lib/postgresql/$data_version/bin
  [ -z "$found" ] || PATH=$found:$PATH
  command -v postgres >/dev/null || die 'no PostgreSQL server found in /usr/lib/postgresql/*/bin or on the PATH' 'install it: apt-get install postgresql'
  server_version=$(postgres --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
  [ -z "$data_version" ] || [ "$data_version" = "$server_version" ] || die \
    "the data in $PGDATA was written by PostgreSQL $data_version, this server is PostgreSQL $server_version" \
    "remedy: install PostgreSQL $data_version beside it; or dump with $data_version and restore into a new volume; or, if the data may go, remove the volume (down --volumes)"
}

# Before anything is made: scripts that cannot be read would be taken for none, and the data directory for filled.
want_init_scripts() {
  folder=/docker-entrypoint-initdb.d
  [ ! -d "$folder" ] || { [ -r "$folder" ] && [ -x "$folder" ]; } || shut "$folder"
  for file in "$folder"/*; do [ ! -e "$file" ] || [ -r "$file" ] || shut "$file"; done
}

shut() {
  die "$1 cannot be read by the user $(id -un): nothing was initialised" \
    'remedy: chmod -R o+rX what is mounted there, as in chmod -R o+rX docker/postgres/initdb'
}

# The server without the network, for the scripts that fill a new data directory.
run_init_scripts() {
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sh) if [ -x "$file" ]; then "$file"; else sh "$file"; fi ;;
      *.sql) sql -d "$POSTGRES_DB" -f "$file" ;;
      *.sql.gz) gunzip -c "$file" | sql -d "$POSTGRES_DB" ;;
      *) continue ;;
    esac
    echo "postgres: ran $file"
  done
}

sql() { psql --no-psqlrc --quiet -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" "$@"; }

initialise() {
  # A folder of ours left behind without PG_VERSION beside it is an initialisation that did not end: nothing in it is data yet.
  [ ! -d "$new" ] || find "$PGDATA" -mindepth 1 -delete
  password=${POSTGRES_PASSWORD:-}
  [ -z "${POSTGRES_PASSWORD_FILE:-}" ] || password=$(cat "$POSTGRES_PASSWORD_FILE")
  [ -n "$password" ] || [ "$POSTGRES_HOST_AUTH_METHOD" = trust ] ||
    die 'POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE is required for a new data directory'
  want_init_scripts
  mkdir -m 0700 "$new"
  pwfile=$(mktemp)
  printf '%s\n' "$password" >"$pwfile"
  # Nothing is worth syncing before it is complete: everything is, at once, at the end.
  # shellcheck disable=SC2086  # POSTGRES_INITDB_ARGS is a list of words
  initdb -D "$new" -U "$POSTGRES_USER" ${password:+--pwfile="$pwfile"} --auth-local=trust --auth-host="$POSTGRES_HOST_AUTH_METHOD" \
    --encoding=UTF8 --locale=C --no-sync --no-instructions ${POSTGRES_INITDB_ARGS:-} >/dev/null
  rm -f "$pwfile"
  printf '\nhost all all all %s\n' "$POSTGRES_HOST_AUTH_METHOD" >>"$new/pg_hba.conf"

  # In a folder that nobody else looks into: a health check that asks the socket must not take this server for the one to come.
  own=$(mktemp -d)
  PGDATA=$new pg_ctl -s -w -o "-c listen_addresses='' -c fsync=off -c full_page_writes=off -c unix_socket_directories=$own" start
  trap 'PGDATA=$new pg_ctl -s -m immediate stop' EXIT
  export PGHOST="$own"
  [ "$POSTGRES_DB" = postgres ] || createdb -U "$POSTGRES_USER" "$POSTGRES_DB"
  run_init_scripts
  unset PGHOST
  PGDATA=$new pg_ctl -s -m fast -w stop
  trap - EXIT
  rmdir "$own"
  initdb -D "$new" --sync-only >/dev/null

  # Into place, the file that makes it a database last.
  find "$new" -mindepth 1 -maxdepth 1 ! -name PG_VERSION -exec mv {} "$PGDATA/" \;
  mv "$new/PG_VERSION" "$PGDATA/"
  rmdir "$new"
  echo 'postgres: data directory initialised'
}

case ${1:-} in '' | -*) set -- postgres "$@" ;; esac
if [ "$1" = postgres ]; then
  if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" "$sockets"
    chmod 0700 "$PGDATA"
    find "$PGDATA" "$sockets" ! -user postgres -exec chown postgres: {} +
    for su in gosu su-exec; do
      command -v "$su" >/dev/null && exec "$su" postgres sh "$0" "$@"
    done
    exec setpriv --reuid=postgres --regid=postgres --init-groups sh "$0" "$@"
  fi
  mkdir -p "$PGDATA"
  chmod 0700 "$PGDATA"
  use_binaries
  [ -s "$PGDATA/PG_VERSION" ] || initialise
  shift
  set -- postgres -c listen_addresses='*' -c unix_socket_directories="$sockets" "$@"
fi
exec "$@"
