#!/bin/sh
# Makes the secrets of compose.yaml: files of chance, mode 0600, in ./.secrets or the folder that is named. What is there
# is never written over: to replace a secret, see docs/operations.md. Usage: scripts/secrets.sh [FOLDER]
#
# The containers run as whoever owns the files. Run by root, they are given to the images' own user, 10001; run by
# somebody else, the user's ids go to the file .env beside compose.yaml, where compose looks for them.
set -eu
folder=${1:-${FARSEAL_SECRETS:-.secrets}}
umask 077
mkdir -p "$folder"
chmod 700 "$folder"
before=$(find "$folder" -type f ! -name '.*' | wc -l)

chance() { od -An -v -tx1 -N"$1" /dev/urandom | tr -d ' \n'; }

keep() { # keep NAME: standard input, unless the file is there; whole or not at all
  if [ -e "$folder/$1" ]; then cat >/dev/null; return; fi
  cat >"$folder/.$1.new"
  ln "$folder/.$1.new" "$folder/$1"
  rm -f "$folder/.$1.new"
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

if [ "$(id -u)" = 0 ]; then
  chown -R 10001:10001 "$folder"
elif [ $# -eq 0 ] && ! grep -qs '^FARSEAL_UID=' .env; then
  printf 'FARSEAL_UID=%s\nFARSEAL_GID=%s\n' "$(id -u)" "$(id -g)" >>.env
fi
after=$(find "$folder" -type f ! -name '.*' | wc -l)
printf 'farseal: %s secrets in %s, %s of them new\n' "$((after))" "$folder" "$((after - before))" >&2
