#!/usr/bin/env bash
# Several Docker hosts on one machine, to rehearse on what is meant for a Swarm:
#   docker/swarm/hosts.sh up [N]            N hosts (3) that are one Swarm: host1 manages, the others work
#   docker/swarm/hosts.sh load [--only N] IMAGE...   copies images from the engine that `docker` talks to, to every host or one
#   docker/swarm/hosts.sh docker N ARGS...  runs docker against host N: `docker 1 node ls`
#   docker/swarm/hosts.sh exec N COMMAND... runs a program of this machine in host N's network
#   docker/swarm/hosts.sh status            which hosts there are, and where
#   docker/swarm/hosts.sh cut|mend N        pulls host N's cable, plugs it in again
#   docker/swarm/hosts.sh kill N            host N loses its power
#   docker/swarm/hosts.sh down              ends all of it and leaves nothing
# REHEARSAL=NAME keeps several apart, each with its own /24 (HOSTS_NETWORK=10.99.7 chooses one, else the first that is free).
# Needs root, dockerd, iproute2 and util-linux.
#
# A host is a network namespace with a cable to one switch (a bridge in a namespace of its own), and in it a PID, mount and UTS
# namespace with its own dockerd: its own /run and /etc, so that nothing of this machine's engine is seen or touched. Whatever
# runs there ends with the first process of its PID namespace. This machine has a cable to the switch too, with a route that
# gives way to any other (metric 9999); the hosts have none out of their network, so that asking for a name or a registry fails
# at once instead of after 20 seconds.
set -euo pipefail

rehearsal=${REHEARSAL:-rehearsal}
base=/var/lib/underlay-swarm
state=$base/$rehearsal
group=underlay-swarm/$rehearsal
switch=underlay-$rehearsal-switch

die() {
  printf 'hosts: %s\n' "$@" >&2
  exit 1
}

[[ $rehearsal =~ ^[a-z][a-z0-9-]{0,23}$ ]] || die "REHEARSAL=$rehearsal: want 1 to 24 small letters, digits and dashes"

space() { echo "underlay-$rehearsal-host$1"; }
socket() { echo "$state/$1/docker.sock"; }
address() { echo "$(<"$state/network").$1"; }
on() { local host=$1; shift; docker -H "unix://$(socket "$host")" "$@"; }
answers() { on "$1" info --format '{{.ID}}' >/dev/null 2>&1; }
count() { cat "$state/count" 2>/dev/null || echo 0; }
existing() { ip netns list | cut -d ' ' -f 1; }

host() { # N: insists that there is one
  [[ ${1:-} =~ ^[1-9][0-9]*$ && $1 -le $(count) ]] || die "there is no host ${1:-without a number} ($(count) in the rehearsal \`$rehearsal\`)"
}

# Up and down exclude each other, and two rehearsals choose their networks one after the other. A lock that leaves no file.
lock() { exec 9</var/lib; flock 9; }

check() {
  [ "$(id -u)" = 0 ] || die 'hosts of their own need root' 'remedy: sudo, or a machine of your own'
  for program in dockerd docker ip nsenter unshare flock; do
    command -v "$program" >/dev/null || die "there is no $program" 'remedy: apt-get install docker.io iproute2 util-linux'
  done
  local version
  version=$(dockerd --version | sed 's/^Docker version \([0-9]*\)\.\([0-9]*\).*/\1 \2/')
  read -r major minor <<<"$version"
  ((major > 20 || (major == 20 && minor >= 10))) || die "dockerd is $major.$minor, too old" 'remedy: Docker Engine 20.10 or newer'
}

# The first network that this machine does not use itself, and no other rehearsal.
choose_network() {
  local taken wanted=${HOSTS_NETWORK:-}
  taken=$(ip -4 route show table all; cat "$base"/*/network 2>/dev/null || true)
  if [ -n "$wanted" ]; then
    [[ $wanted =~ ^([0-9]+\.){2}[0-9]+$ ]] || die "HOSTS_NETWORK=$wanted: want the first three numbers of a /24, such as 10.99.0"
    ! grep -qF "$wanted." <<<"$taken." || die "HOSTS_NETWORK=$wanted: this machine uses it already"
    echo "$wanted"
    return
  fi
  for third in $(seq 0 63); do
    grep -qE "(^|[^0-9.])10\.99\.$third(\.|$)" <<<"$taken" || { echo "10.99.$third"; return; }
  done
  die 'all of 10.99.0.0/18 is in use' 'remedy: HOSTS_NETWORK=192.168.77, the first three numbers of a /24 that is free'
}

plug() { # N: the cable of a host, with its end there
  local in
  in=$(space "$1")
  ip netns add "$in"
  ip link add "host$1" netns "$switch" type veth peer name eth0 netns "$in"
  ip -n "$switch" link set "host$1" master switch up
  ip -n "$in" link set lo up
  ip -n "$in" address add "$(address "$1")/24" dev eth0
  ip -n "$in" link set eth0 up
}

power_on() { # N
  mkdir -p "$state/$1"
  setsid nsenter --net="/run/netns/$(space "$1")" \
    unshare --mount --uts --ipc --pid --fork --kill-child --mount-proc bash "$0" engine "$1" >"$state/$1/log" 2>&1 </dev/null 9<&- &
}

# The first process of a host. It stays to reap whatever loses its parent there, and its end is the end of everything.
engine() { # N
  hostname "host$1"
  mount -t tmpfs -o mode=0755 tmpfs /run
  for shared in /etc /opt; do # dockerd writes a key to the one, containerd a folder to the other
    mkdir -p "/run/private$shared/upper" "/run/private$shared/work"
    mount -t overlay -o "lowerdir=$shared,upperdir=/run/private$shared/upper,workdir=/run/private$shared/work" overlay "$shared"
  done
  rm -f /etc/resolv.conf /etc/docker/daemon.json
  echo 'nameserver 127.0.0.1' >/etc/resolv.conf # nobody listens there: refused at once
  dockerd --data-root "$state/$1/data" --exec-root /run/docker --pidfile /run/docker.pid -H "unix://$(socket "$1")" \
    --cgroup-parent "/$group/host$1" --exec-opt native.cgroupdriver=cgroupfs &
  wait $!
}

# All containers of all hosts are one group to this machine, and would get as much of a busy processor as one of its processes.
weigh() {
  local v1=/sys/fs/cgroup/cpu v2=/sys/fs/cgroup
  if [ -e $v1/cpu.shares ]; then
    mkdir -p "$v1/$group"
    echo 8192 | tee "$v1/${group%/*}/cpu.shares" >"$v1/$group/cpu.shares"
  elif grep -qw cpu $v2/cgroup.controllers 2>/dev/null; then
    mkdir -p "$v2/$group"
    for parent in "$v2" "$v2/${group%/*}"; do echo +cpu >"$parent/cgroup.subtree_control"; done
    echo 800 | tee "$v2/${group%/*}/cpu.weight" >"$v2/$group/cpu.weight"
  fi
}

await() { # N: until its engine answers
  for _ in $(seq 300); do
    if answers "$1"; then return; fi
    [ -n "$(ip netns pids "$(space "$1")")" ] || break
    sleep 0.2
  done
  tail -n 20 "$state/$1/log" >&2
  die "host$1's engine does not answer; above is what it wrote"
}

up() { # N
  local n=$1 network token
  [[ $n =~ ^[1-9][0-9]?$ ]] || die "up $n: want a number of hosts from 1 to 99"
  check
  lock
  if [ -e "$state/ready" ]; then
    local lost=0
    for i in $(seq "$(count)"); do answers "$i" || lost=1; done
    if [ $lost = 0 ]; then
      [ "$(count)" = "$n" ] || die "the rehearsal \`$rehearsal\` has $(count) hosts, not $n" 'remedy: docker/swarm/hosts.sh down, or another REHEARSAL=NAME'
      status
      return
    fi
  fi
  sweep # what an interrupted one has left
  trap 'trap - EXIT; sweep' EXIT
  trap 'exit 130' INT TERM HUP
  network=$(choose_network)
  mkdir -p "$state"
  chmod 0700 "$state"
  echo "$network" >"$state/network"
  echo "$n" >"$state/count"

  ip netns add "$switch"
  ip -n "$switch" link add switch type bridge
  ip -n "$switch" link set switch up
  local uplink="uswarm${network##*.}"
  ip link add "$uplink" type veth peer name uplink netns "$switch"
  ip link set "$uplink" alias "underlay-swarm $rehearsal"
  ip -n "$switch" link set uplink master switch up
  ip address add "$network.254/24" dev "$uplink" noprefixroute
  ip link set "$uplink" up
  ip route add "$network.0/24" dev "$uplink" src "$network.254" metric 9999

  weigh
  for i in $(seq "$n"); do plug "$i"; done
  for i in $(seq "$n"); do power_on "$i"; done
  for i in $(seq "$n"); do await "$i"; done
  on 1 swarm init --advertise-addr "$(address 1)" --listen-addr "$(address 1):2377" --data-path-addr "$(address 1)" >/dev/null
  token=$(on 1 swarm join-token --quiet worker)
  for i in $(seq 2 "$n"); do
    on "$i" swarm join --token "$token" --advertise-addr "$(address "$i")" --data-path-addr "$(address "$i")" "$(address 1):2377" >/dev/null
  done
  : >"$state/ready"
  trap - EXIT INT TERM HUP
  status
}

# Every process of a host ends with the first one of its PID namespace, which is in the host's network like dockerd.
power_off() { # namespace
  local pids
  for _ in $(seq 150); do
    pids=$(ip netns pids "$1") # all of them ours: nobody else is in a namespace of ours
    [ -n "$pids" ] || return 0
    # shellcheck disable=SC2086  # a list
    kill -KILL $pids 2>/dev/null || true
    sleep 0.2
  done
  die "processes in $1 do not end: $pids"
}

# The last processes, which are in networks of their own, may still be on their way out.
remove_groups() { # root
  local left
  for _ in $(seq 150); do
    [ -d "$1" ] || return 0
    left=$(find "$1" -depth -type d -exec rmdir {} + 2>&1) || true
    [ -n "$left" ] || return 0
    sleep 0.2
  done
  die "control groups stay: $left"
}

# Removes what there is, whatever there is.
sweep() {
  local in link
  for in in $(existing | grep -E "^underlay-$rehearsal-(host[0-9]+|switch)$" || true); do power_off "$in"; done
  for link in /sys/class/net/uswarm*; do
    [ "$(cat "$link/ifalias" 2>/dev/null)" != "underlay-swarm $rehearsal" ] || ip link delete "${link##*/}"
  done
  for in in $(existing | grep -E "^underlay-$rehearsal-(host[0-9]+|switch)$" || true); do ip netns delete "$in"; done
  # Control groups: of each hierarchy of version 1, or the one of version 2, deepest first.
  # cpu and cpuacct may be two names of one.
  for root in /sys/fs/cgroup/*/"$group" /sys/fs/cgroup/"$group"; do
    remove_groups "$root"
    [ ! -d "${root%/*}" ] || rmdir "${root%/*}" 2>/dev/null || true # other rehearsals may have theirs there
  done
  rm -rf "$state"
  rmdir "$base" 2>/dev/null || true
}

load() { # [--only N] IMAGE...
  local hosts wanted image id missing process loading=()
  hosts=$(seq "$(count)")
  [ "${1:-}" != --only ] || { host "${2:-}"; hosts=$2; shift 2; }
  [ $# -gt 0 ] || die 'load: which images?'
  wanted=$(mktemp -d "$state/load.XXXXXX")
  # shellcheck disable=SC2064  # the folder as it is now
  trap "rm -rf '$wanted'" EXIT
  for image in "$@"; do
    id=$(docker image inspect --format '{{.Id}}' "$image") || die "$image is not on the engine that docker talks to" 'remedy: build or pull it'
    for i in $hosts; do
      [ "$(on "$i" image inspect --format '{{.Id}}' "$image" 2>/dev/null || true)" = "$id" ] || echo "$image" >>"$wanted/$i"
    done
  done
  missing=$(find "$wanted" -type f -exec cat {} + | sort -u)
  [ -n "$missing" ] || return 0
  # shellcheck disable=SC2086  # a list
  docker save --output "$wanted/images" $missing
  for i in $hosts; do
    [ ! -e "$wanted/$i" ] || { on "$i" load --quiet --input "$wanted/images" >/dev/null & loading+=($!); }
  done
  for process in "${loading[@]}"; do wait "$process"; done
}

status() {
  [ -e "$state/network" ] || { echo "there is no rehearsal \`$rehearsal\`"; return 3; }
  printf '%-7s %-13s %-10s %s\n' HOST ADDRESS ENGINE DOCKER_HOST
  for i in $(seq "$(count)"); do
    printf '%-7s %-13s %-10s %s\n' "host$i" "$(address "$i")" "$(on "$i" version --format '{{.Server.Version}}' 2>/dev/null || echo away)" "unix://$(socket "$i")"
  done
}

verb=${1:-help}
shift || true
case $verb in
up) up "${1:-3}" ;;
load) load "$@" ;;
docker) host "${1:-}"; on "$@" ;;
exec) host "${1:-}"; i=$1; shift; exec nsenter --net="/run/netns/$(space "$i")" "$@" ;;
status) status ;;
cut) host "${1:-}"; ip -n "$switch" link set "host$1" down ;;
mend) host "${1:-}"; ip -n "$switch" link set "host$1" up ;;
kill) host "${1:-}"; power_off "$(space "$1")" ;;
down) [ "$(id -u)" = 0 ] || die 'root made it and has to end it'; lock; sweep ;;
engine) engine "$1" ;; # of `up`, inside a host
*) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
