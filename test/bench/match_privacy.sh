#!/bin/bash
# match.trilateration_*: where the attack of test/lib/trilateration.sql puts
# people, in towns, in the country, around the poles and at the date line: how
# far off in the middle, for how many within 50 m; and the control, the same
# people without a grid, by the worst of the oracles.
#
#   TARGETS=240  SEED=0.5
#   CLUSTER=DIR  a running cluster with the extension staged, to use a database of; else one is made
set -euo pipefail

here=$(cd "$(dirname "$0")/../.." && pwd)
cluster=$here/test/cluster
targets=${TARGETS:-240} seed=${SEED:-0.5}
if [ -n "${CLUSTER:-}" ]; then
	dir=$CLUSTER
	trap '"$cluster" psql "$dir" -q -d postgres -c "DROP DATABASE IF EXISTS match_privacy"' EXIT
else
	dir=$(mktemp -d "${TMPDIR:-/tmp}/rapport-bench.XXXXXX")
	: >"$dir/rapport-cluster"
	trap '"$cluster" down "$dir"' EXIT
	FSYNC=off "$cluster" up "$dir"
	"$cluster" install "$dir"
fi
trap 'exit 130' INT TERM

"$cluster" psql "$dir" -q -d postgres -c 'DROP DATABASE IF EXISTS match_privacy' -c 'CREATE DATABASE match_privacy' 2>/dev/null
summary=$("$cluster" exec "$dir" env PGDATABASE=match_privacy psql -XAtq -v ON_ERROR_STOP=1 -v targets="$targets" -v seed="$seed" <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION rapport CASCADE;
\i test/lib/trilateration.sql
\copy attack.city FROM 'test/data/cities.tsv' WITH (FORMAT csv, DELIMITER E'\t', HEADER, QUOTE E'\b')
\o /dev/null
SELECT attack.make_targets(:targets, :seed);
SELECT attack.run();
SET attack.grid = off;
SELECT attack.run();
\o
SELECT concat_ws(' ', CASE WHEN grid THEN 'grid' ELSE 'exact' END, oracle, targets, median_m, p90_m, within50_pct, questions)
FROM attack.summary
ORDER BY grid, oracle;
SQL
)
awk '{ printf "%s, oracle %s: %d people, median %s m, 90 %% within %s m, %s %% within 50 m, %s questions each\n", $1, $2, $3, $4, $5, $6, $7 }' <<<"$summary"
awk '
	function bench(name, value, unit, bar, ok) {
		printf "bench: match.trilateration_%s value=%s unit=%s bar=%s %s\n", name, value, unit, bar, ok ? "ok" : "short"
	}
	# The attacker takes the best oracle there is, and shows in the control that each works.
	$1 == "grid" { if (median == "" || $4 < median) median = $4; if ($6 > near) near = $6 }
	$1 == "exact" && $4 > control { control = $4 }
	END {
		bench("median_m", median, "m", ">=300", median >= 300)
		bench("within50_pct", near + 0, "%", "<=2", near <= 2)
		bench("control_m", control, "m", "<=10", control <= 10)
	}' <<<"$summary"
