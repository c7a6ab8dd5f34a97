#!/bin/sh
# Prints what the images are made of: the last commit that changed it, with -dirty where the checkout differs from it, and
# `unknown` where there is no history. A commit that changes no image leaves the images, and what runs, as they are.
# FARSEAL_REVISION says another, where it is set.
set -eu
if [ -n "${FARSEAL_REVISION:-}" ]; then
  echo "$FARSEAL_REVISION"
  exit
fi
cd "$(dirname "$0")/.."
set -- Dockerfile .dockerignore requirements shared auth_server resource_a resource_b deploy
commit=$(git log -1 --format=%H -- "$@" 2>/dev/null) || commit=
if [ -z "$commit" ]; then
  echo unknown
elif [ -n "$(git status --porcelain -- "$@")" ]; then
  echo "$commit-dirty"
else
  echo "$commit"
fi
