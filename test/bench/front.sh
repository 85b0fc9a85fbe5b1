#!/bin/bash
# What rapportd costs: a GET over REST, with token and role, against pgbench
# running the same two statements in a pipeline as the same role.
#
#   front.sh [ROUNDS] [SECONDS]     median of interleaved rounds: short ones, so that
#                                   both sides of each see the machine alike
set -euo pipefail

here=$(cd "$(dirname "$0")/../.." && pwd)
rounds=${1:-21} seconds=${2:-1}
cluster=$here/test/cluster
dir=$(mktemp -d "${TMPDIR:-/tmp}/rapport-bench.XXXXXX")
: >"$dir/rapport-cluster"
front=
finish() {
	[ -z "$front" ] || kill "$front" 2>/dev/null || true
	"$cluster" down "$dir"
}
trap finish EXIT

FSYNC=off "$cluster" up "$dir"
"$cluster" install "$dir"
"$cluster" psql "$dir" -q -c 'CREATE DATABASE bench'
"$cluster" psql "$dir" -q -d bench -c 'SET client_min_messages = warning' -c 'CREATE EXTENSION rapport CASCADE'
gcc -O2 -Wall -Wextra -o "$dir/httpload" "$here/test/bench/httpload.c"

# Both sides write their log away; neither prints.
port=$(perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")->sockport')
"$cluster" exec "$dir" env PGDATABASE=bench RAPPORT_LISTEN="127.0.0.1:$port" sh -c 'echo $$ >../front.pid; exec api/rapportd >../front.log 2>&1' &
for _ in $(seq 100); do
	curl -fs -o /dev/null "http://127.0.0.1:$port/health/ready" && break
	sleep 0.1
done
front=$(cat "$dir/front.pid")

post() { curl -fs -H 'Content-Type: application/json' -d '{"email":"bench@example.org","password":"a long enough password"}' "http://127.0.0.1:$port$1"; }
post /v1/sign-up
token=$(post /v1/sign-in | sed 's/.*"access_token" *: *"\([^"]*\)".*/\1/')
printf 'GET /v1/account HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n\r\n' "$token" >"$dir/request"
{
	echo '\startpipeline'
	echo 'SELECT rapport.request_begin(:token, true, 5000);'
	"$cluster" psql "$dir" -d bench -XAtc "SELECT statement || ';' FROM rapport.routes() WHERE method = 'GET' AND path = '/v1/account'"
	echo '\endpipeline'
} >"$dir/pgbench.sql"
chmod 644 "$dir/pgbench.sql"

# CPU seconds of a process and of the backends that serve a database, in ticks.
ticks() { awk '{ sum += $14 + $15 } END { print sum }' "$@"; }
backends() { "$cluster" psql "$dir" -d postgres -XAtc "SELECT string_agg('/proc/' || pid || '/stat', ' ') FROM pg_stat_activity WHERE application_name = 'rapportd'"; }

ratios=() rest=() peer=() front_us=() server_us=() p50=() p99=()
hz=$(getconf CLK_TCK)
stats=$(backends)
for _ in $(seq "$rounds"); do
	front_before=$(ticks "/proc/$front/stat") server_before=$(ticks $stats)
	read -r a median tail refused < <("$dir/httpload" 127.0.0.1 "$port" 64 "$seconds" <"$dir/request")
	front_after=$(ticks "/proc/$front/stat") server_after=$(ticks $stats)
	[ "$refused" -eq 0 ] || { echo "front: $refused requests were refused" >&2; exit 1; }
	b=$("$cluster" exec "$dir" env PGUSER=rapport_api PGDATABASE=bench pgbench \
		-n -M prepared -c "${PGBENCH_CLIENTS:-8}" -j 2 -T "$seconds" -D token="$token" -f ../pgbench.sql 2>&1 |
		sed -n 's/^tps = \([0-9.]*\).*/\1/p')
	ratios+=("$(awk -v a="$a" -v b="$b" 'BEGIN { print a / b }')")
	rest+=("$a") peer+=("$b") p50+=("$median") p99+=("$tail")
	front_us+=("$(awk -v t=$((front_after - front_before)) -v hz="$hz" -v n="$a" -v s="$seconds" 'BEGIN { print t / hz / n / s * 1e6 }')")
	server_us+=("$(awk -v t=$((server_after - server_before)) -v hz="$hz" -v n="$a" -v s="$seconds" 'BEGIN { print t / hz / n / s * 1e6 }')")
done

median() { printf '%s\n' "$@" | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
printf 'GET /v1/account: rapportd %.0f/s (p50 %.1f ms, p99 %.1f ms, 64 connections), pgbench %.0f/s; CPU a request: rapportd %.0f us, server %.0f us; rapportd %d kB\n' \
	"$(median "${rest[@]}")" "$(median "${p50[@]}")" "$(median "${p99[@]}")" "$(median "${peer[@]}")" \
	"$(median "${front_us[@]}")" "$(median "${server_us[@]}")" "$(awk '/^VmRSS/ { print $2 }' "/proc/$front/status")"
value=$(median "${ratios[@]}")
awk -v v="$value" 'BEGIN { printf "bench: front.get_vs_pgbench value=%.2f unit=x bar=>=0.60 %s\n", v, (v >= 0.60 ? "ok" : "short") }'
