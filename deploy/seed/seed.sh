#!/bin/sh
# Makes the resources, clients and people of manifest.yaml, for the audiences NOTES and REPORTS, and gives the people
# their passwords: /run/secrets/NAME_password. What is there already is left as it is, a changed password too.
set -eu
here=$(dirname "$0")
sed -e "s|NOTES|$NOTES|g" -e "s|REPORTS|$REPORTS|g" "$here/manifest.yaml" >/tmp/manifest.yaml
# The program's secret is shown to nobody: farseal-auth client rotate-secret nightly, when it is wanted.
mkdir -p /tmp/unused
farseal-auth apply --yes --secrets-dir /tmp/unused /tmp/manifest.yaml
for person in alice bob carol; do
  case $(farseal-auth user show "$person" --json) in
    *'"has_password": true'*) ;;
    *) farseal-auth user set-password "$person" --stdin <"/run/secrets/${person}_password" ;;
  esac
done
