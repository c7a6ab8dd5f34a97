#!/bin/sh
# Begins as root, without most of its powers, for one thing: the secrets belong to whoever made them, and PostgreSQL
# must read its own. Copies them into memory, for the user postgres alone, and hands over to the image's own entrypoint,
# which becomes that user.
set -eu
secrets=/run/farseal-postgres
mkdir -p "$secrets"
chmod 700 "$secrets"
for name in admin_password password; do
  (umask 077 && cat "/run/secrets/$name" >"$secrets/$name")
done
chown -R postgres:postgres "$secrets"
export POSTGRES_USER=postgres POSTGRES_DB=postgres POSTGRES_PASSWORD_FILE="$secrets/admin_password"
exec docker-entrypoint.sh "$@"
