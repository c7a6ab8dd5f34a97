#!/bin/bash
# Understands what the official entrypoint does: POSTGRES_USER, _PASSWORD, _DB and _INITDB_ARGS, each also with _FILE,
# POSTGRES_HOST_AUTH_METHOD, and at the very first start the scripts of /docker-entrypoint-initdb.d.
set -euo pipefail

fail() { printf 'Error: %s\n' "$*" >&2; exit 1; }

from_file() { # from_file NAME: its value is in the file that NAME_FILE names
  local file=${1}_FILE
  [ -n "${!file:-}" ] || return 0
  [ -z "${!1:-}" ] || fail "$1 and $file are both set"
  export "$1=$(<"${!file}")"
  unset "$file"
}

[ "${1:0:1}" != - ] || set -- postgres "$@"
[ "${1:-}" = postgres ] || exec "$@"
for name in POSTGRES_PASSWORD POSTGRES_USER POSTGRES_DB POSTGRES_INITDB_ARGS; do from_file "$name"; done

# Secrets are read by whoever begins, which is root; then this begins anew as postgres.
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA" /var/run/postgresql
  chmod 700 "$PGDATA"
  chmod 3775 /var/run/postgresql || true
  find "$PGDATA" /var/run/postgresql \! -user postgres -exec chown postgres '{}' +
  exec setpriv --reuid=postgres --regid=postgres --init-groups -- "${BASH_SOURCE[0]}" "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  : "${POSTGRES_USER:=postgres}"
  : "${POSTGRES_DB:=$POSTGRES_USER}"
  method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
  [ -n "${POSTGRES_PASSWORD:-}" ] || [ "$method" = trust ] || fail "POSTGRES_PASSWORD must be set"
  read -ra more <<<"${POSTGRES_INITDB_ARGS:-}"
  initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "${POSTGRES_PASSWORD:-}") -E UTF8 --locale=C.UTF-8 "${more[@]}"
  printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
  printf "\nlisten_addresses = '*'\nunix_socket_directories = '/var/run/postgresql'\n" >>"$PGDATA/postgresql.conf"
  PGPASSWORD=${PGPASSWORD:-${POSTGRES_PASSWORD:-}} pg_ctl -D "$PGDATA" -w start -o "-c listen_addresses=''"
  ask=(psql -v ON_ERROR_STOP=1 --no-psqlrc --host=/var/run/postgresql --username "$POSTGRES_USER")
  [ "$POSTGRES_DB" = postgres ] || printf 'CREATE DATABASE :"name";\n' | "${ask[@]}" --dbname postgres --set name="$POSTGRES_DB"
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sh)
        # shellcheck disable=SC1090
        if [ -x "$file" ]; then "$file"; else . "$file"; fi
        ;;
      *.sql) "${ask[@]}" --dbname "$POSTGRES_DB" --file "$file" ;;
      *.sql.gz) gunzip --stdout "$file" | "${ask[@]}" --dbname "$POSTGRES_DB" ;;
    esac
  done
  pg_ctl -D "$PGDATA" -m fast -w stop
fi
exec "$@"
