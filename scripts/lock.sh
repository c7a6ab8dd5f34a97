#!/bin/sh
# Writes requirements/*.txt: hashed, for every Python and platform we support, naming no package index.
# The versions are the newest that the members' pyproject.toml allow; `git diff requirements` shows what moved.
set -eu
cd "$(dirname "$0")/.."
uv=.venv/bin/uv
# shellcheck disable=SC2016 # no command, but a name
header='# Made by `make lock`. Install with: pip install --require-hashes -r THIS, then the members with --no-deps.'

write() { # write NAME EXPORT-ARGUMENT...
  name=$1; shift
  { printf '%s\n' "$header"; "$uv" export --quiet --frozen --no-emit-workspace --no-header --no-annotate "$@"; } >"requirements/$name.txt.new"
  mv "requirements/$name.txt.new" "requirements/$name.txt"
  printf 'requirements/%s.txt: %s packages\n' "$name" "$(grep -c == "requirements/$name.txt")"
}

"$uv" lock --quiet --upgrade
write farseal --package farseal --no-dev
write auth-server --package farseal-auth-server --no-dev
write resource-a --package farseal-resource-a --no-dev
write resource-b --package farseal-resource-b --no-dev
write testing --package farseal-testing --no-dev
write demo --all-packages --all-extras --no-default-groups --group demo
write dev --all-packages --all-extras --no-default-groups --group dev
# What the images are built with, and do not hold.
{ printf '%s\n' "$header"; sed -n 's/^requires = \["\(uv_build.*\)"\]$/\1/p' shared/pyproject.toml \
  | "$uv" pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 -; } >requirements/build.txt.new
mv requirements/build.txt.new requirements/build.txt
rm -f uv.lock
