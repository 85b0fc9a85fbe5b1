#!/bin/bash
# The match index against what else answers the same question: a grid in C that
# does nothing but this (the limit), PostGIS, btrees and a flat table of
# preferences. A million people, dense (half of them in five metropolises) and
# sparse; k = 20, one thread, everything warm, all sides in turns in one run.
# Whoever is to be exact must give the same answer, or the bench fails.
#
#   PEOPLE=1000000  VIEWERS=200  SEED=1
#   ONLY="10 30"    the groups of match/ to run (all)
#   KEEP=DIR        a cluster to make the people in and to leave there, or to use again
#
# A group is match/NN-name.sh, read by this script in the order of the numbers:
# it makes the people it needs, runs the SQL beside it, which prints name=value
# lines, and prints a line for each figure. race.sql is what their SQL shares.
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

database=postgres
run() { "$cluster" exec "$dir" env PGDATABASE="$database" PGOPTIONS='-c client_min_messages=warning' psql -X -q -v ON_ERROR_STOP=1 -v library="$dir/grid.so" -v viewers="$viewers" -v seed="$seed" "$@"; }
exists() { [ "$(database=postgres run -At -c "SELECT count(*) FROM pg_database WHERE datname = '$1'")" = 1 ]; }

# A database of people, dense or sparse, made if it is missing.
name_of() { if [ "$1" = dense ]; then echo "match_${people}_$seed"; else echo "match_${people}_${seed}_$1"; fi; }
make_people() {
	local name database index started=$SECONDS
	name=$(name_of "$1")
	if exists "$name"; then return; fi
	database=postgres
	run -c "DROP DATABASE IF EXISTS ${name}_new" -c "CREATE DATABASE ${name}_new"
	database=${name}_new
	run -c 'CREATE EXTENSION rapport CASCADE'
	run -f test/data/catalogue.sql
	run -v people="$people" -v variant="$1" -f test/data/generate.sql
	# Built at once in the end, as one would before any large import.
	index=$(run -At -c "SELECT pg_get_indexdef('rapport.candidate_key'::regclass)")
	run -c 'DROP INDEX rapport.candidate_key'
	run -c "CALL rapport.import_people('sample.people', '{
		\"external_id\": \"id\", \"display_name\": \"name\", \"birth_date\": \"born\", \"latitude\": \"lat\", \"longitude\": \"lon\",
		\"about\": \"about\", \"tags\": \"tags\", \"active_on\": \"seen\", \"attributes\": \"attrs\", \"preferences\": \"prefs\"}')" >/dev/null
	run -c "$index" -c 'DROP SCHEMA sample CASCADE' -c 'VACUUM (ANALYZE)'
	database=postgres
	run -c "ALTER DATABASE ${name}_new RENAME TO $name"
	echo "made $people people, $1, in $((SECONDS - started)) s"
}

# The work of a group: SQL that prints name=value lines, kept in $measured.
measure() {
	measured=$(run "$@")
	printf '%s\n' "$measured"
}
value() { sed -n "s/^$1=//p" <<<"$measured"; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (!(b > 0)) exit 1; printf "%.2f", a / b }'; }
# These sides gave another answer for no viewer.
exact() {
	local side
	for side; do
		[ "$(value "${side}_wrong")" = 0 ] || { echo "match: $side does not give the same people" >&2; exit 1; }
	done
}
# figure NAME VALUE UNIT BAR: the line of a figure; BAR begins with <= or >=.
figure() {
	[[ $2 =~ ^-?[0-9]+(\.[0-9]+)?$ ]] || { echo "match: no value for $1" >&2; exit 1; }
	echo "bench: match.$1 value=$2 unit=$3 bar=$4 $(awk -v v="$2" -v bar="$4" 'BEGIN { b = substr(bar, 3) + 0; print (substr(bar, 1, 1) == "<" ? v + 0 <= b : v + 0 >= b) ? "ok" : "short" }')"
}
# The quotient of two values of $measured.
figure_ratio() { figure "$1" "$(ratio "$(value "$2")" "$(value "$3")")" x "$4"; }

"$cluster" up "$dir"
"$cluster" install "$dir"
"$cluster" stop "$dir"
"$cluster" up "$dir"
"$cluster" exec "$dir" test/bench/peers/build "$dir/grid.so"
# Roles belong to the cluster: made once, so that databases can be made side by side.
run -c 'CREATE EXTENSION IF NOT EXISTS rapport CASCADE'

for group in "$here"/test/bench/match/*.sh; do
	name=$(basename "$group" .sh)
	[[ -z ${ONLY:-} || " $ONLY " == *" ${name%%-*} "* ]] || continue
	echo "-- $name"
	. "$group"
done
