#!/bin/sh
# Brings compose.yaml up: builds, starts, waits until everything is healthy, and says what to try.
# Usage: scripts/up.sh [SERVICE...]; UP_SECONDS is how long to wait, 120 by default.
set -eu
cd "$(dirname "$0")/.."
seconds=${UP_SECONDS:-120}
say() { printf 'farseal: %s\n' "$*" >&2; }
compose() { sh scripts/compose.sh "$@"; }

FARSEAL_REVISION=$(sh scripts/revision.sh)
export FARSEAL_REVISION
compose config >/dev/null
for image in python:3.13-slim postgres:18 nginx:stable; do
  docker image inspect "$image" >/dev/null 2>&1 || missing="${missing:-} $image"
done
if [ -n "${missing:-}" ]; then say "not here yet:$missing. They are pulled; where no registry can be reached: make base-images"; fi

say "building the images"
if ! told=$(compose build 2>&1); then
  printf '%s\n' "$told" | tail -n 30 >&2
  say "the images cannot be built"
  exit 1
fi
say "starting"
compose up -d "$@"

# docker-compose 1.29 knows no --wait, so the engine is asked.
state() { # state ID: what a container is, in a word
  docker inspect -f '{{if eq .State.Status "exited"}}exited {{.State.ExitCode}}{{else if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}' "$1" 2>/dev/null || printf gone
}
waited=0
while :; do
  waiting=
  for id in $(compose ps -q); do
    name=$(docker inspect -f '{{index .Config.Labels "com.docker.compose.service"}}' "$id" 2>/dev/null) || continue
    case $(state "$id") in
      healthy | running | 'exited 0') ;;
      exited*) say "$name ended with an error; its last lines:"; docker logs --tail 15 "$id" >&2; exit 1 ;;
      *) waiting="$waiting $name" ;;
    esac
  done
  [ -n "$waiting" ] || break
  if [ "$waited" -ge "$seconds" ]; then
    say "not healthy after $seconds s:$waiting. What they say: make logs"
    exit 1
  fi
  [ $((waited % 5)) -ne 0 ] || say "waiting for$waiting"
  sleep 1
  waited=$((waited + 1))
done

port() { # port SERVICE INSIDE: where it is on this machine
  compose port "$1" "$2" 2>/dev/null | tail -n 1
}
secrets=${FARSEAL_SECRETS:-.secrets}
scheme=http curl=curl
case ${COMPOSE_FILE:-} in *compose.tls.yaml*) scheme=https curl="curl --cacert $secrets/tls/ca.crt" ;; esac
issuer=$scheme://$(port auth_gateway 9000) notes=$scheme://$(port resource_gateway 9001) reports=$scheme://$(port resource_gateway 9002)
cat <<EOF
It is all running: the auth server at $issuer, notes at $notes, reports at $reports.
Paste into a terminal, here:

  TOKEN=\$($curl -s -u "alice:\$(cat $secrets/alice_password)" -X POST $issuer/api/tokens | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
  $curl -H "Authorization: Bearer \$TOKEN" -H 'Content-Type: application/json' -d '{"title": "Hello"}' $notes/notes
  $curl -H "Authorization: Bearer \$TOKEN" $reports/reports/mine

People: alice, bob, carol; passwords in $secrets. make logs, make tour, make down (what is stored stays; VOLUMES=1 make down removes it).
EOF
