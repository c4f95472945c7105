# Sourced by preflight.sh and swarm/deploy.sh.
# shellcheck shell=sh

# Of the lines `SUBNET NAME...` that are read the first whose subnet overlaps with the one that is given.
overlapping() {
  awk -v wanted="$1" '
    function parse(cidr) { split(cidr, at, "[./]"); size = 2 ^ (32 - (at[5] == "" ? 32 : at[5])); start = ((at[1] * 256 + at[2]) * 256 + at[3]) * 256 + at[4] }
    BEGIN { parse(wanted); first = start; length_ = size }
    $1 ~ /^[0-9.]+(\/[0-9]+)?$/ { parse($1); if (start < first + length_ && first < start + size) { print; exit } }'
}

# Whether it is four numbers up to 255 and a prefix length.
is_subnet() {
  echo "$1" | awk -F '[./]' '!/^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+\/[0-9]+$/ { exit 1 } { for (i = 1; i <= 4; i++) if ($i > 255) exit 1; exit $5 > 32 }'
}
