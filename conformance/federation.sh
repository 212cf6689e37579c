#!/usr/bin/env bash
# Judges a region of this repository by the specification of the federation: conformance/federation.sh
# [options of `posthouse-conformance federation`], for example --only keys.
#
# A new region, its database and a private authority live in a temporary directory; the server is
# stopped by its process id. PEERS is where the suite's peers listen: the region is told so in
# advance. BIN is where the two programs are.
set -euo pipefail

peers=${PEERS:-127.0.0.1:7444}
bin=${BIN:-${CARGO_TARGET_DIR:-target}/debug}
directory=$(mktemp -d /tmp/posthouse-federation.XXXXXX)

server=
finish() {
    if [ -n "$server" ] && kill -0 "$server" 2>/dev/null; then
        kill -INT "$server"
        wait "$server" || true
    fi
    rm -rf "$directory"
}
trap finish EXIT

overrides=
for role in honest witness hostile forger keys expired; do
    overrides+="${overrides:+,}$role.peer.test=$peers"
done
"$bin/posthouse" certificate authority --dir "$directory/ca" >/dev/null
"$bin/posthouse" init --domain north.test --dir "$directory/region" --registration open \
    --authority "$directory/ca" >/dev/null
"$bin/posthouse" serve --config "$directory/region/posthouse.toml" \
    --set client.tls=false --listen 127.0.0.1:0 --operator-listen off \
    --set federation.listen=127.0.0.1:0 --set federation.private_addresses=true \
    --set "federation.overrides=$overrides" >"$directory/out" 2>"$directory/log" &
server=$!
for _ in $(seq 300); do
    grep -q '^ready ' "$directory/out" && break
    sleep 0.1
done
told() { sed -n "s/^listening $1 //p" "$directory/out"; }
if [ -z "$(told federation)" ]; then
    cat "$directory/log" >&2
    exit 1
fi
"$bin/posthouse-conformance" federation --subject north.test --federation "$(told federation)" \
    --client "$(told client)" --ca "$directory/ca/ca.pem" --ca-key "$directory/ca/ca.key" \
    --listen "$peers" "$@"
