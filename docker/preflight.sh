#!/bin/sh
# Says, before anything is up, what would stop `docker compose up` half-way: no engine or too old a one, too old a Compose, a port
# or a subnet that is taken, named twice or none, a file that a container could not read. Changes nothing. `make docker-up` asks
# it first; COMPOSE_FILE, -p's COMPOSE_PROJECT_NAME and the file's variables count as they do for docker compose.
set -eu
cd "$(dirname "$0")/.."
. docker/subnets.sh
found=$(mktemp)
trap 'rm -f "$found"' EXIT

complain() { # what remedy
  printf 'preflight: %s\n  remedy: %s\n' "$1" "$2" | tee -a "$found" >&2
}

die() {
  complain "$@"
  exit 69
}

# Whether version $1 is $2 or newer; both as MAJOR.MINOR or longer.
reaches() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

command -v docker >/dev/null || die 'docker is not installed' 'on Debian: sudo sh docker/engine.sh; elsewhere: https://docs.docker.com/engine/install/'
engine=$(docker version --format '{{.Server.Version}}' 2>&1) || {
  said=$(echo "$engine" | tail -n 1)
  # shellcheck disable=SC2016  # for the reader's shell
  case $engine in
    *'permission denied'*) die "no engine answers you: $said" 'it answers its own group: sudo usermod -aG docker $USER, and log in again; or run this as root' ;;
    *) die "no engine answers: $said" 'start it: sudo systemctl start docker; on a Debian without systemd: sudo sh docker/engine.sh' ;;
  esac
}
reaches "$engine" 20.10 || die "Docker Engine is $engine; 20.10 or newer is wanted" 'https://docs.docker.com/engine/install/'
compose=$(docker compose version --short 2>/dev/null) || die 'docker has no Compose plugin' \
  'on Debian: sudo sh docker/engine.sh; elsewhere: https://docs.docker.com/compose/install/; or, with docker-compose 1.29: DOCKER_BUILDKIT=1 docker-compose up -d --build'
# What overrides a list is younger than the rest.
case ${COMPOSE_FILE:-} in *compose.flat.yml*) wanted=2.24.4 ;; *) wanted=2.20 ;; esac
reaches "${compose#v}" "$wanted" || die "Docker Compose is $compose; $wanted or newer is wanted" 'https://docs.docker.com/compose/install/'

config=$(docker compose config)
project=$(echo "$config" | sed -n 's/^name: //p')
own() { docker ps --filter "label=com.docker.compose.project=$project" "$@"; }

# Ports: the file itself, another container, or another program of this machine.
published() { # PORT ADDRESS
  echo "$config" | awk '$1 == "-" { ip = "" } $1 == "host_ip:" { ip = $2 } $1 == "published:" { gsub("\"", "", $2); print $2, (ip == "" ? "0.0.0.0" : ip) }'
}
published | awk '{ for (i = 1; i < NR; i++) if (port[i] == $1 && (ip[i] == $2 || ip[i] == "0.0.0.0" || $2 == "0.0.0.0")) print $1; port[NR] = $1; ip[NR] = $2 }' |
sort -u | while read -r port; do
  complain "port $port is to be published twice" 'choose another ADMIN_PORT than HTTP_PORT and GATEWAY_PORT, as in ADMIN_PORT=3003 make docker-up'
done
listeners=$(ss -Hltnp 2>/dev/null || true)
published | while read -r port ip; do
  [ -z "$(own --filter "publish=$port" --quiet)" ] || continue
  by=$(docker ps --filter "publish=$port" --format 'the container {{.Names}}' | head -n 1)
  [ -n "$by" ] || by=$(echo "$listeners" | awk -v port="$port" -v ip="$ip" '
    { at = $4; sub(/:[0-9]+$/, "", at); own = $4; sub(/.*:/, "", own) }
    own == port && (ip == "0.0.0.0" || at == ip || at == "0.0.0.0" || at == "*" || at == "[::]") { print $6; exit }' | sed 's/^users:(("\([^"]*\)",pid=\([0-9]*\).*/\1 (process \2)/; s/^$/another program/')
  [ -z "$by" ] || complain "port $port is taken, by $by" \
    'stop that (a lab of make up: make down); or choose another: HTTP_PORT, GATEWAY_PORT, ADMIN_PORT, as in HTTP_PORT=8081 make docker-up'
done

# Subnets: the file itself, another network of the engine, or a network of this machine. A lab of `make up` gives way by itself (metric 9999).
ids=$(docker network ls --quiet)
# shellcheck disable=SC2086  # a list of words
taken=$(docker network inspect $ids --format "{{if ne (index .Labels \"com.docker.compose.project\") \"$project\"}}{{\$n := .Name}}{{range .IPAM.Config}}{{.Subnet}} the Docker network {{\$n}}{{\"\\n\"}}{{end}}{{end}}")
bridges=$(docker network ls --quiet --filter driver=bridge | sed 's/^/br-/')
taken="$taken
$(ip -4 route 2>/dev/null | awk -v bridges="$bridges" '
  BEGIN { split(bridges, list); for (i in list) is_docker[list[i]] = 1 }
  / metric 9999/ { next } { for (i = 2; i < NF; i++) if ($i == "dev" && !is_docker[$(i + 1)]) print $1, "the route to", $1, "by", $(i + 1) }')"
prefixes='FRONTEND_PREFIX, BACKEND_PREFIX, DATABASE_PREFIX (compose.flat.yml: APP_PREFIX)'
earlier=''
subnets=$(echo "$config" | awk '$1 == "-" && $2 == "subnet:" { gsub("\"", "", $3); print $3 }')
for subnet in $subnets; do
  is_subnet "$subnet" || {
    complain "$subnet is no subnet" "each of $prefixes is three numbers up to 255, as in FRONTEND_PREFIX=10.20.0 make docker-up"
    continue
  }
  by=$(echo "$earlier" | overlapping "$subnet")
  [ -z "$by" ] || complain "the subnet $subnet overlaps with ${by%% *} of the same file" "each network wants its own: $prefixes"
  earlier="$earlier
$subnet earlier"
  by=$(echo "$taken" | overlapping "$subnet")
  [ -z "$by" ] || complain "the subnet $subnet is taken, by ${by#* } (${by%% *})" \
    "remove that; or choose others: $prefixes, as in FRONTEND_PREFIX=10.20.0 make docker-up"
done

# What containers are given of this folder they read as users of their own: a clone made under umask 077 is shut to them.
find docker/postgres/initdb docker/redis/redis.conf docker/secrets/mint.sh \( -type d ! -perm -o=rx -o -type f ! -perm -o=r \) | while read -r shut; do
  complain "$shut is not for everybody to read, and a container has to" 'chmod -R o+rX docker/postgres/initdb docker/redis docker/secrets'
done

[ ! -s "$found" ] || exit 69
