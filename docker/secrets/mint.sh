#!/bin/sh
# Mints every password and token of the shop, once, and hands each consumer its own.
#
# Masters live in $SECRETS/master; every other folder below $SECRETS is the volume of one consumer and holds only what that
# consumer may know. Running it again changes nothing; a secret that is missing (a new one in a later version) is minted, a
# copy that is missing is copied again. Needs nothing but a POSIX shell with od, tr, cut, cmp and sha256sum, and no privilege:
# it runs as root in a container whose capabilities are dropped, and as an ordinary user in a sandbox. Files are 0444 because
# the consumers run under other uids; the volume they lie in is what keeps others out.
#
# docker/ops/rotate.sh has it mint anew, in two runs: ROTATE="NAME..." (or all) mints these and goes on accepting the ones before
# where two can be valid at a time, which are Redis' users and the registry's token; ROTATE=end stops that.
set -eu
umask 022
secrets=${SECRETS:-/secrets}
names='postgres-password catalog-owner-password catalog-password orders-owner-password orders-password
  redis-product-password redis-order-password operator-password registry-token admin-token'
minted=0

# Files appear whole or not at all: written under another name beside their place, then renamed. One left by a run that was
# killed in between is not writable any more.
put() { # folder name < content
  rm -f "$secrets/$1/.$2.new"
  cat >"$secrets/$1/.$2.new"
  chmod 0444 "$secrets/$1/.$2.new"
  mv -f "$secrets/$1/.$2.new" "$secrets/$1/$2"
}

random() { od -An -v -N32 -tx1 /dev/urandom | tr -d ' \n'; } # 32 bytes in hex

mint() { # name: unless it is there already
  [ -s "$secrets/master/$1" ] || { random | put master "$1"; minted=$((minted + 1)); }
}

# Mints anew and keeps the one before. Of a rotation that was interrupted the one before is there already, and the new one may be
# in use: that one stays.
renew() { # name
  before=$secrets/master/.$1.before
  [ ! -s "$before" ] || cmp -s "$before" "$secrets/master/$1" || return 0
  put master ".$1.before" <"$secrets/master/$1"
  case $1 in
    registry-token) { random; echo; cat "$before"; } | put master "$1" ;; # the first is shown, each opens
    *) random | put master "$1" ;;
  esac
  minted=$((minted + 1))
}

end_rotation() {
  head -n 1 "$secrets/master/registry-token" | tr -d '\n' | put master registry-token
  for name in $names; do rm -f "$secrets/master/.$name.before"; done
  rm -f "$secrets/redis/.operator-password.before"
}

give() { # consumer name...
  consumer=$1
  shift
  for name in "$@"; do
    cmp -s "$secrets/master/$name" "$secrets/$consumer/$name" || put "$consumer" "$name" <"$secrets/master/$name"
  done
}

hashes() { # name: SHA-256 in hex, as Redis stores passwords, of it and of the one before
  for file in "$secrets/master/$1" "$secrets/master/.$1.before"; do
    [ ! -s "$file" ] || printf '#%s ' "$(sha256sum <"$file" | cut -d ' ' -f 1)"
  done
}

for name in $names; do mint "$name"; done
case ${ROTATE:-} in
  '') ;;
  end) end_rotation ;;
  all) for name in $names; do renew "$name"; done ;;
  *)
    for name in $ROTATE; do
      [ -s "$secrets/master/$name" ] || { echo "secrets: there is no $name; there are: $names" >&2; exit 64; }
    done
    for name in $ROTATE; do renew "$name"; done
    ;;
esac

# Redis: a user per service, held to its own keys and channels, without the commands that reach everybody's data; one who may only
# ask for a sign of life; and the operator of docker/ops, who empties the cache and changes passwords, from inside Redis' own sandbox.
# Nobody can be the default user, yet it must be allowed everything: Redis 7 replays the append-only file in its name, and refuses
# the transactions (every script that writes twice) of one who may not.
put master users.acl <<ACL
user default off resetkeys allkeys allchannels +@all
user health on nopass resetkeys resetchannels -@all +ping
user operator on $(hashes operator-password)resetkeys ~product:* resetchannels -@all +ping +scan +unlink +acl|setuser
user product on $(hashes redis-product-password)resetkeys ~product:* resetchannels &product:* +@all -@admin -@dangerous
user order on $(hashes redis-order-password)resetkeys ~cart:* resetchannels &cart:* +@all -@admin -@dangerous
ACL

give postgres postgres-password catalog-owner-password catalog-password orders-owner-password orders-password
give redis users.acl operator-password
[ ! -s "$secrets/master/.operator-password.before" ] || give redis .operator-password.before
give registry registry-token
give product catalog-owner-password catalog-password registry-token admin-token
give order orders-owner-password orders-password registry-token admin-token
for service in product order; do
  cmp -s "$secrets/master/redis-$service-password" "$secrets/$service/redis-password" ||
    put "$service" redis-password <"$secrets/master/redis-$service-password"
done

# What was minted is about to become somebody's password: it must not be lost by a power cut that the password survives.
[ "$minted" -eq 0 ] || sync
echo "secrets: minted $minted new, the rest was there"
