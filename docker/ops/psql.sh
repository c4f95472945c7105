# Sourced by the scripts beside it: PostgreSQL's psql inside its own instance, so that it fits the server, as the superuser over the
# server's socket, so that no password is asked for.
# shellcheck shell=sh
# shellcheck disable=SC2154  # `work`, a folder for pipes, is the sourcing script's

# One command, or a script from standard input.
sql() { # psql's arguments...
  inside postgres psql --no-psqlrc --quiet --no-align --tuples-only --set ON_ERROR_STOP=1 --username postgres "$@"
}

# A session that stays open, beside others: what it prints is read from the descriptor after that of what it is asked.
# Nobody else may hold its input open, or it would outlive it: a session ends, with all that it holds, when this script does.
open_session() { # database, descriptor: 3, 5 or 7
  mkfifo "$work/$2.in" "$work/$2.out"
  sql --dbname "$1" <"$work/$2.in" >"$work/$2.out" 3>&- 4<&- 5>&- 6<&- 7>&- 8<&- &
  eval "exec $2>\"\$work/$2.in\" $(($2 + 1))<\"\$work/$2.out\""
}

# Sets `answer` to the next line that a session prints.
ask() { # descriptor, SQL
  printf '%s\n' "$2" >&"$1"
  hear "$1"
}

hear() { # descriptor
  IFS= read -r answer <&"$(($1 + 1))" || die 'PostgreSQL ended the session; it has said why above'
}

# One backup or restore of a shop at a time: whoever has the lock, for as long as its session is open.
lock_out_others() { # descriptor
  open_session postgres "$1"
  ask "$1" "SELECT pg_try_advisory_lock(hashtext('underlay backup'));"
  [ "$answer" = t ] || die 'another backup or restore of this shop is running' 'remedy: wait for its end'
}

# Of each table of the database: `NAME ROWS DIGEST`, in the names' order. The digest is a sum over the rows, so that it does not
# depend on their order, of what PostgreSQL prints of them under settings that are the same everywhere.
digests() {
  cat <<'SQL'
SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; SET bytea_output = 'hex'; SET extra_float_digits = 1;
SELECT format('SELECT concat_ws('' '', %L, count(*), coalesce(sum((''x'' || left(md5(t::text), 16))::bit(64)::bigint::numeric), 0))
                 FROM public.%I t', relname, relname)
  FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname COLLATE "C" \gexec
SQL
}
