#!/bin/sh
# Makes the secrets of compose.yaml: files of chance, mode 0600, in ./.secrets or the folder that is named. What is there
# is never written over: to replace a secret, see docs/operations.md. Usage: scripts/secrets.sh [FOLDER]
#
# The containers run as whoever owns the files. Run by root, they are given to the images' own user, 10001; run by
# somebody else, the user's ids go to the file .env beside compose.yaml, where compose looks for them.
#
# Two runs at once make one set: a secret gets its name when it is whole, by a link, which never replaces another one's.
set -eu
folder=${1:-${FARSEAL_SECRETS:-.secrets}}
user=$(id -u)
images_user=10001:10001
umask 077
say() { printf 'farseal: %s\n' "$*" >&2; }

if ! mkdir -p "$folder" || ! chmod 700 "$folder"; then
  say "$folder cannot be written by the user who runs this"
  exit 1
fi
count() { find "$folder" -maxdepth 1 -type f ! -name '.*' 2>/dev/null | wc -l; }
before=$(count)

chance() { # chance BYTES: so many in hexadecimal digits, or nothing
  digits=$(od -An -v -tx1 -N"$1" /dev/urandom | tr -d ' \n')
  if [ ${#digits} -eq $(($1 * 2)) ]; then printf '%s' "$digits"; fi
}

keep() { # keep NAME: standard input, unless the file is there; whole or not at all
  if [ -e "$folder/$1" ]; then cat >/dev/null; return; fi
  if new=$(mktemp "$folder/.$1.XXXXXX") && cat >"$new" && [ -s "$new" ] \
    && { [ "$user" != 0 ] || chown "$images_user" "$new"; } \
    && { told=$(ln "$new" "$folder/$1" 2>&1) || [ -e "$folder/$1" ]; }; then
    rm -f "$new"
  else
    rm -f "${new:-}"
    [ -z "${told:-}" ] || printf '%s\n' "$told" >&2
    say "$1 cannot be made"
    exit 1
  fi
}

chance 32 | keep kek
for database in auth_db notes_db; do
  chance 32 | keep "${database}_admin_password"
  chance 32 | keep "${database}_password"
done
printf 'postgresql://farseal_auth:%s@auth_db:5432/farseal_auth' "$(cat "$folder/auth_db_password")" | keep auth_database_url
printf 'postgresql://farseal_notes:%s@notes_db:5432/farseal_notes' "$(cat "$folder/notes_db_password")" | keep notes_database_url
for person in alice bob carol; do
  chance 12 | keep "${person}_password"
done

if [ "$user" = 0 ]; then
  chown "$images_user" "$folder"
  # Not what lies deeper: the key of the CA in tls/ is nobody's who serves.
  find "$folder" -maxdepth 1 -type f ! -name '.*' -exec chown "$images_user" {} +
elif [ $# -eq 0 ] && ! grep -qs '^FARSEAL_UID=' .env; then
  # A last line without its end would become one with ours.
  if [ -s .env ] && [ -n "$(tail -c 1 .env)" ]; then echo >>.env; fi
  printf 'FARSEAL_UID=%s\nFARSEAL_GID=%s\n' "$user" "$(id -g)" >>.env
fi
say "$(($(count))) secrets in $folder, $(($(count) - before)) of them new"
