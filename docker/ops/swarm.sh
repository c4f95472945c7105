# Sourced by way.sh: what a Swarm is asked and told, by service.
# shellcheck shell=sh
# shellcheck disable=SC2154  # STACK and `work`, a folder of the script's own, are theirs who source this

# Sets `container` to a service's task, and `engine` to where it runs.
reach() { # service
  for engine in '' ${STORES_HOST:-}; do
    container=$(at "$engine" ps --quiet --filter "label=com.docker.swarm.service.name=${STACK}_$1" | head -n 1)
    [ -z "$container" ] || return 0
  done
  where=$(docker service ps --filter desired-state=running --format '{{.Node}}' "${STACK}_$1" | tr '\n' ' ')
  [ -n "$where" ] || die "${STACK}_$1 has no task" "remedy: docker service ps --no-trunc ${STACK}_$1 says why"
  die "the task of ${STACK}_$1 runs on ${where% }, whose engine was not asked" \
    "remedy: name it, as in STORES_HOST=ssh://${where%% *}"
}

replicas() { docker service inspect --format '{{.Spec.Mode.Replicated.Replicas}}' "${STACK}_$1"; }

change() { # service, options of docker service update...
  service=$1
  shift
  docker service update --quiet --detach "$@" "${STACK}_$service" >/dev/null
}

# Tasks that are not over; a host that is down reports no end of its own.
running() { # service
  away=$(docker node ls --format '{{.Hostname}} {{.Status}}' | awk '$2 == "Down" { print $1 }' | tr '\n' ' ')
  tasks=$(docker service ps --format '{{.Node}} {{.CurrentState}}' "${STACK}_$1") || exit 1
  echo "$tasks" | awk -v away=" $away" 'NF && index(away, " " $1 " ") == 0 && $2 !~ /^(Shutdown|Failed|Rejected|Complete|Orphaned|Remove)$/'
}

# A service that has fewer healthy tasks than it should.
missing() { # service
  services=$(docker service ls --filter "name=${STACK}_$1" --format '{{.Name}} {{.Replicas}}') || exit 1
  echo "$services" | awk -v name="${STACK}_$1" '$1 == name { split($2, n, "/"); if (n[1] != n[2]) print $2 }'
}

await_swarm() { # service, what is said when it takes too long, function that prints what is left
  turns=0
  while :; do
    left=$("$3" "$1") || die "${STACK}_$1 $2"
    [ -n "$left" ] || return 0
    turns=$((turns + 1))
    [ "$turns" -lt 360 ] || die "${STACK}_$1 $2:" "$left" "see: docker service ps --no-trunc ${STACK}_$1"
    sleep 0.5
  done
}

# The secrets that a service is given: `NAME FILE UID GID MODE`.
given() { # service
  docker service inspect --format '{{range .Spec.TaskTemplate.ContainerSpec.Secrets}}{{.SecretName}} {{.File.Name}} {{.File.UID}} {{.File.GID}} {{printf "%o" .File.Mode}}
{{end}}' "${STACK}_$1" | sed '/^$/d'
}

# Has a service take its secrets from a folder from now on: each has the name that its contents ask for, as deploy.sh gives it. What
# has not changed stays as it is. Does not wait.
give() { # service, folder
  given "$1" >"$work/given"
  while read -r name file uid gid mode; do
    base=${name#"${STACK}_"}
    new=${STACK}_${base%_*}_$(sha256sum <"$2/${base%_*}" | cut -c 1-12)
    docker secret inspect "$new" >/dev/null 2>&1 ||
      docker secret create --label "com.docker.stack.namespace=$STACK" "$new" "$2/${base%_*}" >/dev/null
    echo "$new $name $file $uid $gid $mode"
  done <"$work/given" | LC_ALL=C sort >"$work/gets"
  cut -d ' ' -f 1 "$work/gets" >"$work/$1.wanted"
  ! awk '$1 != $2 { changed = 1 } END { exit !changed }' "$work/gets" || {
    set -- "$1"
    while read -r new name file uid gid mode; do
      set -- "$@" --secret-rm "$name" --secret-add "source=$new,target=$file,uid=$uid,gid=$gid,mode=0$mode"
    done <"$work/gets"
    change "$@"
  }
}

# Tasks that are not healthy, or have not the secrets that `give` has given their service.
behind() { # service
  wanted=$(cat "$work/$1.wanted")
  [ "$(given "$1" | cut -d ' ' -f 1 | LC_ALL=C sort)" = "$wanted" ] ||
    die "${STACK}_$1 did not get healthy with new secrets, and has gone back to the ones before: $(update "$1")" \
      "see: docker service ps --no-trunc ${STACK}_$1; then run this again"
  tasks=$(docker service ps --quiet --filter desired-state=running "${STACK}_$1") || exit 1
  for task in $tasks; do
    is=$(docker inspect --type task --format '{{range .Spec.ContainerSpec.Secrets}}{{.SecretName}}
{{end}}' "$task" | sed '/^$/d' | LC_ALL=C sort)
    [ "$is" = "$wanted" ] && [ "$(docker inspect --type task --format '{{.Status.State}}' "$task")" = running ] || echo "$task"
  done
  missing "$1"
}

# The same, and it is not watched any more whether they stay so.
unfinished() { # service
  behind "$1"
  [ "$(update "$1")" != updating ] || echo 'is being updated'
}

update() { docker service inspect --format '{{with .UpdateStatus}}{{.State}}{{end}}' "${STACK}_$1"; }

# Removes the secrets of the stack that none of its services has.
forget() {
  for service in $(docker service ls --quiet --filter "label=com.docker.stack.namespace=$STACK"); do
    docker service inspect --format '{{range .Spec.TaskTemplate.ContainerSpec.Secrets}}{{.SecretName}}
{{end}}' "$service"
  done >"$work/used"
  for secret in $(docker secret ls --filter "label=com.docker.stack.namespace=$STACK" --format '{{.Name}}'); do
    grep -qxF "$secret" "$work/used" || docker secret rm "$secret" >/dev/null
  done
}
