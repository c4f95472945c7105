#!/bin/sh
# Mints every password and token of the shop, once, and hands each consumer its own.
#
# Masters live in $SECRETS/master; every other folder below $SECRETS is the volume of one consumer and holds only what that
# consumer may know. Running it again changes nothing; a secret that is missing (a new one in a later version) is minted, a
# copy that is missing is copied again. Needs nothing but a POSIX shell with od, tr, cut, cmp and sha256sum, and no privilege:
# it runs as root in a container whose capabilities are dropped, and as an ordinary user in a sandbox. Files are 0444 because
# the consumers run under other uids; the volume they lie in is what keeps others out.
set -eu
umask 022
secrets=${SECRETS:-/secrets}
minted=0

# Files appear whole or not at all: written under another name beside their place, then renamed. One left by a run that was
# killed in between is not writable any more.
put() { # folder name < content
  rm -f "$secrets/$1/.$2.new"
  cat >"$secrets/$1/.$2.new"
  chmod 0444 "$secrets/$1/.$2.new"
  mv -f "$secrets/$1/.$2.new" "$secrets/$1/$2"
}

mint() { # name: 32 random bytes in hex, unless there already
  [ -s "$secrets/master/$1" ] || { od -An -v -N32 -tx1 /dev/urandom | tr -d ' \n' | put master "$1"; minted=$((minted + 1)); }
}

give() { # consumer name...
  consumer=$1
  shift
  for name in "$@"; do
    cmp -s "$secrets/master/$name" "$secrets/$consumer/$name" || put "$consumer" "$name" <"$secrets/master/$name"
  done
}

hash() { # name: SHA-256 in hex, as Redis stores passwords
  sha256sum <"$secrets/master/$1" | cut -d ' ' -f 1
}

for name in postgres-password catalog-owner-password catalog-password orders-owner-password orders-password \
            redis-product-password redis-order-password registry-token admin-token; do
  mint "$name"
done

# Redis: a user per service, held to its own keys and channels, without the commands that reach everybody's data, and one who
# may only ask for a sign of life. Nobody can be the default user, yet it must be allowed everything: Redis 7 replays the
# append-only file in its name, and refuses the transactions (every script that writes twice) of one who may not.
put master users.acl <<ACL
user default off resetkeys allkeys allchannels +@all
user health on nopass resetkeys resetchannels -@all +ping
user product on #$(hash redis-product-password) resetkeys ~product:* resetchannels &product:* +@all -@admin -@dangerous
user order on #$(hash redis-order-password) resetkeys ~cart:* resetchannels &cart:* +@all -@admin -@dangerous
ACL

give postgres postgres-password catalog-owner-password catalog-password orders-owner-password orders-password
give redis users.acl
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
