#!/bin/sh
# Sees to it that the engine that `docker` talks to has the images of the four services, of version $TAG (dev): builds them where
# one is lacking, or with BUILD=1 in any case. A Swarm notices a new image by its tag only: a new version wants a new TAG.
set -eu
cd "$(dirname "$0")/../.."
lacking=${BUILD:-}
for service in service-registry product-service order-service api-gateway; do
  docker image inspect "underlay/$service:${TAG:-dev}" >/dev/null 2>&1 || lacking=1
done
if [ -n "$lacking" ]; then docker compose build; else echo "images: taken as they are, of version ${TAG:-dev} (BUILD=1 builds them anew)"; fi
