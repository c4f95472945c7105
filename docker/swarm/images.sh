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
else
  # shellcheck disable=SC2086  # a list
  docker compose build $services
fi
[ "$images" != underlay ] || exit 0
for service in $services; do
  # What is in a registry has a digest there: one that was built earlier and not pushed has none yet.
  digest=$(docker image inspect --format '{{join .RepoDigests " "}}' "$images/$service:${TAG:-dev}")
  if [ -n "$lacking" ] || [ -z "$digest" ]; then docker compose push "$service"; fi
done
