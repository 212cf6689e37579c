#!/usr/bin/env bash
# Runs a command with a throw-away PostgreSQL: storage/sql/tests/postgres.sh cargo test …
#
# The server listens on a socket in a temporary directory only, and is stopped by its process id
# when the command ends. Its address is in POSTHOUSE_TEST_POSTGRES. Installs PostgreSQL where it is
# missing (Debian, root). PostgreSQL refuses to run as root: it runs as the user `postgres` then.
set -euo pipefail

binaries() { ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1; }
if [ -z "$(binaries)" ]; then
    apt-get update -q >&2
    # No cluster of its own: only the programs are wanted.
    mkdir -p /etc/postgresql-common
    echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends postgresql >&2
fi
bin=$(binaries)
directory=$(mktemp -d /tmp/posthouse-postgres.XXXXXX)
as() { "$@"; }
if [ "$(id -u)" = 0 ]; then
    chown postgres "$directory"
    # --preserve-environment would leave HOME at root's.
    as() { (cd "$directory" && exec runuser -u postgres -- "$@"); }
fi

server=
finish() {
    if [ -n "$server" ] && kill -0 "$server" 2>/dev/null; then
        kill -INT "$server"
        wait "$runner" 2>/dev/null || true
    fi
    rm -rf "$directory"
}
trap finish EXIT

as "$bin/initdb" -D "$directory/data" -U posthouse -A trust -E UTF8 --locale=C >/dev/null
# fsync stays on: durability is what is tested.
as "$bin/postgres" -D "$directory/data" -k "$directory" -c listen_addresses= \
    -c max_connections=300 >"$directory/log" 2>&1 &
runner=$!
for _ in $(seq 100); do
    if as "$bin/pg_isready" -q -h "$directory" -U posthouse; then
        server=$(head -n 1 "$directory/data/postmaster.pid")
        break
    fi
    sleep 0.1
done
if [ -z "$server" ]; then
    cat "$directory/log" >&2
    echo "PostgreSQL did not start within 10 s" >&2
    exit 1
fi
# Tests of two regions need a database each.
as "$bin/createdb" -h "$directory" -U posthouse second
url() { echo "postgres://posthouse@localhost/$1?host=$directory"; }
POSTHOUSE_TEST_POSTGRES=$(url postgres) POSTHOUSE_TEST_POSTGRES_SECOND=$(url second) "$@"
