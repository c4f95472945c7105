# Sourced by the scripts beside it: Redis' own client inside its instance, as the user `operator`, whose password lies nowhere else.
# Commands come from standard input: what they carry is in no list of arguments. An error of Redis ends it with another code than 0.
# shellcheck shell=sh

# In the middle of a rotation Redis may know the new password or the one before.
# shellcheck disable=SC2016  # for the shell inside
as_operator='for password in /run/secrets/operator-password /run/secrets/.operator-password.before; do
  [ -s "$password" ] || continue
  REDISCLI_AUTH=$(cat "$password")
  export REDISCLI_AUTH
  said=$(redis-cli --user operator --no-auth-warning ping </dev/null 2>&1)
  [ "$said" != PONG ] || exec redis-cli --user operator --no-auth-warning -e "$@"
done
echo "${said:-there is no operator-password}" >&2
exit 1'

redis() { # redis-cli's arguments...
  inside redis sh -c "$as_operator" redis "$@" ||
    die 'Redis has refused its operator' 'remedy, if what runs is of a version without an operator: start the shop anew once (down, up)'
}
