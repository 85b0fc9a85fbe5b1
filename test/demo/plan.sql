-- How the people of a viewer are found: the plan, and what it reads.
-- Variable: viewer (a person_id).
\set ON_ERROR_STOP on
\set QUIET on
SET search_path = rapport, public;
SET plan_cache_mode = force_generic_plan;
SELECT match_query_for(:viewer, 1::smallint, match_side(:viewer, 1::smallint, 2), today(), seen_by(:viewer, 1::smallint)) AS asked \gset
PREPARE deck (match_query) AS
SELECT person_id
FROM candidate
WHERE key @@ $1
ORDER BY key <-> $1
LIMIT 20;
EXECUTE deck (:'asked') \g /dev/null
EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF)
EXECUTE deck (:'asked');
