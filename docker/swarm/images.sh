#!/bin/sh
# Sees to it that the engine that `docker` talks to has the images of the four services, of version $TAG (dev): builds them where
# one is lacking, or with BUILD=1 in any case. A Swarm notices a new image by its tag only: a new version wants a new TAG.
# IMAGES=REGISTRY/FOLDER names a place from which every host can pull: what is there is pulled, and what was built is pushed.
set -eu
cd "$(dirname "$0")/../.."
images=${IMAGES:-underlay}
services='service-registry product-service order-service api-gateway'
lacking=${BUILD:-}
for service in $services; do
  image=$images/$service:${TAG:-dev}
  [ -n "$lacking" ] || docker image inspect "$image" >/dev/null 2>&1 ||
    { [ "$images" != underlay ] && docker pull --quiet "$image" >/dev/null 2>&1; } || lacking=1
done
if [ -z "$lacking" ]; then
  echo "images: taken as they are, of version ${TAG:-dev} (BUILD=1 builds them anew)"
  exit
fi
# shellcheck disable=SC2086  # a list
docker compose build $services
# shellcheck disable=SC2086
[ "$images" = underlay ] || docker compose push $services
