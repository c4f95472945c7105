# Sourced by deploy.sh: what only a host itself can say. For a moment every host runs a task of each image that it may have to run,
# and the gateway's has its port: who lacks an image, and where another program has the port, is known before anything is deployed.
# shellcheck shell=sh
# shellcheck disable=SC2034  # `probing` is deploy.sh's to read
# shellcheck disable=SC2154  # STACK and `work`, a folder of the script's own, are theirs who source this

# A task is asked for its health, which it has not, and ends; a store's entrypoint knows no such program, and ends, too.
probe() {
  probing=1 # until its tasks are gone
  end_probes # of one that was killed
  port=${HTTP_PORT:-8080}
  published=$(docker service inspect --format '{{range .Endpoint.Ports}}{{.PublishedPort}} {{end}}' "${STACK}_api-gateway" 2>/dev/null || true)
  declared_images >"$work/images"
  while read -r service image constraints; do
    # shellcheck disable=SC2086  # a list
    set -- $constraints --quiet --detach --name "${STACK}_probe-$service" --label "underlay.probe=$STACK" --mode global --restart-condition none \
      --no-resolve-image --no-healthcheck --limit-memory 64M
    case $service" $published" in
      *" $port "*) ;; # it is ours already
      api-gateway*) set -- "$@" --publish "mode=host,published=$port,target=3000" ;;
    esac
    [ -z "${IMAGES:-}" ] || set -- --with-registry-auth "$@"
    docker service create "$@" "$image" healthcheck </dev/null >/dev/null
  done <"$work/images"
  probes=$(cut -d ' ' -f 1 "$work/images" | sed "s/^/${STACK}_probe-/")
  turns=0
  while :; do
    sleep 0.25
    # shellcheck disable=SC2086  # a list
    tasks=$(docker service ps --no-trunc --format '{{.Image}} {{.Node}} {{.CurrentState}} | {{.Error}}' $probes)
    # Until every one is over, whatever has become of it: then it has left the port. A host that is away begins none.
    left=$(echo "$tasks" | grep -E '^[^ ]* [^ ]* (New|Pending|Assigned|Accepted|Preparing|Ready|Starting|Running) ' || true)
    turns=$((turns + 1))
    # Not in the first second, in which some have no task yet.
    [ "$turns" -lt 4 ] || [ -z "$tasks" ] || [ -n "$left" ] || break
    # A minute for tasks to end, or a quarter of one where hosts pull: those tasks will say themselves how that ends.
    if [ "$turns" -gt 240 ] || { [ "$turns" -gt 60 ] && [ -n "$left" ] && ! echo "$left" | grep -qv ' Preparing '; }; then
      echo "deploy: these hosts have not answered, and are deployed to all the same; docker stack ps --no-trunc $STACK will say how they fare:"
      echo "$left" | awk -F '[ ]' '{ print "  " ($2 == "" ? "(no host yet)" : $2) ": " $1 " is " tolower($3) }'
      break
    fi
  done
  end_probes
  probing=
  lacking=$(echo "$tasks" | awk '/No such image/ { print "  " $2 ": " $1 }' | sort -u)
  [ -z "$lacking" ] || [ -z "${IMAGES:-}" ] || die 'hosts have not these images, and cannot pull them; nothing was deployed' "$lacking" \
    "remedy: every host has to reach and trust ${IMAGES%%/*}; this machine is let in by docker login; BUILD=1 pushes anew"
  [ -z "$lacking" ] || die 'hosts lack images, and there is no registry that has them; nothing was deployed' "$lacking" \
    'remedy: docker save IMAGE | docker -H ssh://HOST load, for each; or IMAGES=REGISTRY/FOLDER make swarm-up, with a registry that all reach'
  taken=$(echo "$tasks" | awk '/address already in use|port is already allocated|host-mode port already in use/ { print $2 }' | sort -u | tr '\n' ' ')
  [ -z "$taken" ] || die "port $port is taken on ${taken% }; nothing was deployed" \
    "remedy: see there who has it (ss -ltnp 'sport = :$port') and stop that; or another HTTP_PORT"
}

end_probes() {
  probes=$(docker service ls --quiet --filter "label=underlay.probe=$STACK" 2>/dev/null || true)
  # shellcheck disable=SC2086  # a list
  [ -z "$probes" ] || docker service rm $probes >/dev/null
}
