#!/bin/bash
# match.demo_vs_postgis: the best 20 for a viewer, through the match index and
# through PostGIS as a person who knows it well would do it; both must give the
# same people. A million people, half of them in five metropolises; the ratio
# of the means over the viewers. It takes some minutes to make the people.
#
#   PEOPLE=1000000  VIEWERS=200  SEED=1
#   KEEP=DIR        a cluster to make the people in and to leave there, or to use again
set -euo pipefail

here=$(cd "$(dirname "$0")/../.." && pwd)
cluster=$here/test/cluster
people=${PEOPLE:-1000000} viewers=${VIEWERS:-200} seed=${SEED:-1}
export FSYNC=off SHARED_BUFFERS=${SHARED_BUFFERS:-2GB}

if [ -n "${KEEP:-}" ]; then
	dir=$KEEP
else
	dir=$(mktemp -d "${TMPDIR:-/tmp}/rapport-bench.XXXXXX")
	: >"$dir/rapport-cluster"
	trap '"$cluster" down "$dir"' EXIT
	trap 'exit 130' INT TERM
fi
database=match_${people}_$seed
run() { "$cluster" exec "$dir" env PGDATABASE="$database" psql -X -q -v ON_ERROR_STOP=1 "$@"; }

"$cluster" up "$dir"
"$cluster" install "$dir"
"$cluster" stop "$dir"
"$cluster" up "$dir"
if [ "$(run -d postgres -At -c "SELECT count(*) FROM pg_database WHERE datname = '$database'")" = 0 ]; then
	echo "making $people people"
	run -d postgres -c "CREATE DATABASE ${database}_new"
	database=${database}_new
	run -c 'SET client_min_messages = warning' -c 'CREATE EXTENSION rapport CASCADE'
	run -f test/data/catalogue.sql
	run -v people="$people" -v seed="$seed" -v variant=dense -f test/data/generate.sql
	started=$SECONDS
	run -c 'SET client_min_messages = warning' -c "CALL rapport.import_people('sample.people', '{
		\"external_id\": \"id\", \"display_name\": \"name\", \"birth_date\": \"born\", \"latitude\": \"lat\", \"longitude\": \"lon\",
		\"about\": \"about\", \"tags\": \"tags\", \"active_on\": \"seen\", \"attributes\": \"attrs\", \"preferences\": \"prefs\"}')" >/dev/null
	echo "imported in $((SECONDS - started)) s"
	# As after any large import: rows that came one by one leave an index less well packed than one built at once.
	run -c 'REINDEX INDEX rapport.candidate_key' -c 'VACUUM (ANALYZE)' -c 'DROP SCHEMA sample CASCADE' 2>/dev/null
	run -d postgres -c "ALTER DATABASE $database RENAME TO ${database%_new}"
	database=${database%_new}
fi

measured=$(run -v viewers="$viewers" -v seed="$seed" -v plan=1 -f test/bench/match_vs_postgis.sql)
printf '%s\n' "$measured"
value() { sed -n "s/^$1=//p" <<<"$measured"; }
[ "$(value same)" = yes ] || { echo 'match.demo_vs_postgis: the two do not give the same people' >&2; exit 1; }
ratio=$(value ratio)
echo "bench: match.demo_vs_postgis value=$ratio unit=x bar=>=15 $(awk -v ratio="$ratio" 'BEGIN { print (ratio >= 15 ? "ok" : "short") }')"
