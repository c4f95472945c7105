# Sourced by deploy.sh: what only a host itself can say. For a moment every host runs a task of each image that it may have to run,
# and the gateway's has its port: who lacks an image, and where another program has the port, is known before anything is deployed.
# shellcheck shell=sh
# shellcheck disable=SC2154  # STACK and `work`, a folder of the script's own, are theirs who source this

# A task is asked for its health, which it has not, and ends; a store's entrypoint knows no such program, and ends, too.
probe() {
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
  turns=0
  while :; do
    probes="$(cut -d ' ' -f 1 "$work/images" | sed "s/^/${STACK}_probe-/")"
    # shellcheck disable=SC2086  # a list
    tasks=$(docker service ps --no-trunc --format '{{.Image}} {{.Node}} {{.CurrentState}} | {{.Error}}' $probes)
    # Until every one is over, whatever has become of it: then it has left the port. A host that is away begins none.
    [ -z "$tasks" ] || echo "$tasks" | grep -qE '^[^ ]* [^ ]* (New|Pending|Assigned|Accepted|Preparing|Ready|Starting|Running) ' || break
    turns=$((turns + 1))
    [ "$turns" -lt 60 ] || break # images that have to be pulled: the tasks themselves will say
    sleep 0.25
  done
  end_probes
  lacking=$(echo "$tasks" | awk '/No such image/ { print "  " $2 ": " $1 }' | sort -u)
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
