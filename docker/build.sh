#!/bin/sh
# Builds the four services inside `docker build`: docker/build.sh SOURCES WORK OUT
#
# WORK is a cache that outlives the build. Cargo tells by modification times what to compile again, which mislead it here: the sources
# may be another clone's or an unpacked archive's, older than what the cache was built from and yet different. So files whose
# content differs are copied over, and thereby are new; all others keep the time that the cache knows them by.
set -eu
sources=$1 work=$2 out=$3

cd "$sources"
find . -type d -exec mkdir -p "$work/{}" \;
find . -type f | while read -r file; do
  cmp -s "$file" "$work/$file" || cp "$file" "$work/$file"
done
cd "$work"
find . -path ./target -prune -o -type f -print | while read -r file; do
  [ -f "$sources/$file" ] || rm "$file"
done

set -- service-registry product-service order-service api-gateway
cargo build --profile dist --locked --package "$1" --package "$2" --package "$3" --package "$4"
for service in "$@"; do install -D "target/dist/$service" "$out/$service"; done
