#!/bin/sh
# Runs compose, whichever there is: `docker compose` (v2) or docker-compose (1.29). FARSEAL_COMPOSE names another.
# Usage: scripts/compose.sh ARGUMENT...
set -eu
cd "$(dirname "$0")/.."
say() { printf 'farseal: %s\n' "$*" >&2; }

if ! command -v docker >/dev/null 2>&1; then
  say "Docker is not here: see https://docs.docker.com/engine/install/. Without it there is make demo, which needs Python alone"
  exit 1
elif [ -n "${FARSEAL_COMPOSE:-}" ]; then
  compose=$FARSEAL_COMPOSE
elif docker compose version >/dev/null 2>&1; then
  compose='docker compose'
elif command -v docker-compose >/dev/null 2>&1; then
  compose=docker-compose
else
  say "docker is here and compose is not: install Docker's compose plugin, or docker-compose 1.29 or newer"
  exit 1
fi
if ! told=$(docker info 2>&1 >/dev/null); then
  say "no Docker engine answers: $(printf '%s' "$told" | tail -n 1)"
  say "start it, or get the right to use it (on Debian: adduser $(id -un) docker); make demo needs none"
  exit 1
fi
exec $compose "$@"
