#!/bin/sh
# Runs once, when the database is made: one database named by FARSEAL_DATABASE, owned by a role of the same name that is
# no superuser and may do nothing else. psql reads the password itself: it is in no command line and in no log.
set -eu
: "${FARSEAL_DATABASE:?names the database and its owner}"
psql -v ON_ERROR_STOP=1 --no-psqlrc --quiet -U postgres -d postgres -v name="$FARSEAL_DATABASE" <<'SQL'
\set password `cat /run/farseal-postgres/password`
SET password_encryption = 'scram-sha-256';
SET log_min_error_statement = panic;
CREATE ROLE :"name" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name" TEMPLATE template0 ENCODING 'UTF8';
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
