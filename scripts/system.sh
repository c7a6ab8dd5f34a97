#!/bin/sh
# The tests against real containers: builds the images, runs tests/system, removes all that a run makes, and fails if
# something is left. Usage: scripts/system.sh [PYTEST-ARGUMENT...]; WORKERS is how many modules run at a time.
set -eu
cd "$(dirname "$0")/.."
python=.venv/bin/python
say() { printf 'farseal: %s\n' "$*" >&2; }

sh scripts/compose.sh version >/dev/null
$python -m farseal_testing.leftovers

here() { # what the engine has that could be ours: containers, networks, volumes, images
  docker ps --all --format 'container {{.Names}}'
  docker network ls --format 'network {{.Name}}'
  docker volume ls --format 'volume {{.Name}}'
  docker images --format 'image {{.Repository}}:{{.Tag}}' | grep -v '<none>' | grep -vE '^image farseal/[a-z-]+:dev$' || true
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
here | sort >"$work/before"

say "building the images"
if [ ! -d .secrets ]; then
  export FARSEAL_SECRETS="$work/secrets"
  sh scripts/secrets.sh "$FARSEAL_SECRETS" 2>/dev/null
fi
FARSEAL_REVISION=$(sh scripts/revision.sh)
export FARSEAL_REVISION
if ! told=$(FARSEAL_TAG=dev sh scripts/compose.sh build 2>&1); then
  printf '%s\n' "$told" | tail -n 30 >&2
  say "the images cannot be built"
  exit 1
fi

status=0
FARSEAL_SYSTEM=1 FARSEAL_TAG=dev $python -m pytest -n "${WORKERS:-3}" --dist loadfile -o faulthandler_timeout=600 tests/system "$@" || status=$?

$python -m farseal_testing.leftovers
docker image prune --force --filter label=org.opencontainers.image.vendor=Farseal >/dev/null
# Another run may be under way, whose projects are not ours.
$python -m farseal_testing.leftovers --living >"$work/living"
left=$(here | sort | comm -13 "$work/before" - | grep -vF -f "$work/living" || true)
if [ -n "$left" ]; then
  say "left behind:"
  printf '%s\n' "$left" >&2
  [ "$status" -ne 0 ] || status=1
else
  say "nothing is left behind"
fi
exit "$status"
