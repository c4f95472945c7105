#!/bin/sh
# The shop's databases: one a service, each with two roles. Run once by the entrypoint on a new data directory (ours or the
# official image's, which sources it when it is not executable), and harmless when run again.
#
#   <db>_owner   owns the database and its schema: migrates
#   <db>         reads and writes rows, nothing else: serves
#
# Neither can connect to any other database. Passwords are read by psql itself, so that they are in no argument list.
# In a subshell: whoever sources this keeps their own shell options.
(
set -eu

for db in catalog orders; do
  psql --no-psqlrc --quiet -v ON_ERROR_STOP=1 -v db="$db" -v owner="${db}_owner" --username "$POSTGRES_USER" --dbname postgres <<SQL
\set owner_password \`cat ${SECRETS_DIR:-/run/secrets}/$db-owner-password\`
\set password \`cat ${SECRETS_DIR:-/run/secrets}/$db-password\`

SELECT format('CREATE ROLE %I', name) FROM (VALUES (:'owner'), (:'db')) AS wanted (name)
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE :"owner" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'owner_password';
ALTER ROLE :"db" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'password';

SELECT format('CREATE DATABASE %I OWNER %I', :'db', :'owner')
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'db') \gexec
REVOKE ALL ON DATABASE :"db" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"db" TO :"owner", :"db";
REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC;

\connect :"db"
ALTER SCHEMA public OWNER TO :"owner";
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO :"db";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"db";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO :"db";
SQL
done
)
