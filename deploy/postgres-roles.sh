#!/bin/sh
# Runs once in a new PostgreSQL container: the owner migrates, the application may only read and write rows.
set -eu
psql -v ON_ERROR_STOP=1 -v owner="$OPENSOAR_OWNER_PASSWORD" -v app="$OPENSOAR_APP_PASSWORD" \
    --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE opensoar_owner LOGIN PASSWORD :'owner';
CREATE ROLE opensoar_app LOGIN PASSWORD :'app';
CREATE DATABASE opensoar OWNER opensoar_owner;
REVOKE CONNECT, TEMPORARY ON DATABASE opensoar FROM PUBLIC;
GRANT CONNECT ON DATABASE opensoar TO opensoar_app;
\connect opensoar
ALTER DEFAULT PRIVILEGES FOR ROLE opensoar_owner GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO opensoar_app;
ALTER DEFAULT PRIVILEGES FOR ROLE opensoar_owner GRANT USAGE, SELECT ON SEQUENCES TO opensoar_app;
SQL
