-- Partitions of candidates, the map of shards, and what a shard answers: values
-- that do not fit, and small cases; test/tap/shards.pl compares with one table.
BEGIN;
DELETE FROM rapport.candidate;
\set VERBOSITY terse

-- The curve. Without a place all are at one position; beyond the poles and the date line it goes on.
SELECT place, rapport.curve_position(rapport.match_key(1, lat, lon))
FROM (VALUES (1, 52.52, 13.405), (2, 52.53, 13.41), (3, 90, 0), (4, 90, 77), (5, -90, 0), (6, 0, 180), (7, 0, -180), (8, NULL, NULL)) AS p (place, lat, lon);
SELECT rapport.match_query_reaches(q, p, p) AS here, rapport.match_query_reaches(q, 0, p - 1) AS before, rapport.match_query_reaches(q, p + 1, 9223372036854775807) AS after,
	   rapport.match_query_reaches(q, 0, 9223372036854775807) AS whole, rapport.match_query_reaches(q, p - 100, p - 100) AS near
FROM (SELECT rapport.match_query(k, '2026-01-01', radius_km => 0) AS q, rapport.curve_position(k) AS p FROM rapport.match_key(1, 52.52, 13.405) AS k) AS x;
SELECT rapport.match_query_reaches(rapport.match_query(rapport.match_key(1, NULL, NULL, max_distance_km => r), '2026-01-01'), 0, 10) FROM unnest(ARRAY[10, NULL]) AS r;
SAVEPOINT s;
SELECT rapport.match_query_reaches(rapport.match_query(rapport.match_key(1, 0, 0), '2026-01-01'), 5, 4);
ROLLBACK TO s;
SELECT rapport.match_query_reaches(rapport.match_query(rapport.match_key(1, 0, 0), '2026-01-01'), -1, 4);
ROLLBACK TO s;

-- Cuts: equal load, those of one position together, a position at least in each.
SELECT rapport.curve_cuts(n) FROM unnest(ARRAY[1]) AS n;
SELECT n, rapport.curve_cuts(n, '{50,10,20,30,40,10}', '{1,1,1,1,1,1}') FROM generate_series(1, 5) AS n;
SELECT rapport.curve_cuts(2, '{10,20,30}', loads) FROM (VALUES ('{1,1,100}'::float8[]), ('{100,1,1}'), ('{0,0,0}'), ('{0.1,0.1,0.3}'), ('{1e300,1e300,1e300}')) AS l (loads);
SELECT rapport.curve_cuts(3, '{10,20,30}', '{100,1,1}'), rapport.curve_cuts(3, '{10,20,30}', '{1,1,100}');
CREATE FUNCTION pg_temp.error_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	EXECUTE statement;
	RETURN 'none';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(': ', SQLSTATE, SQLERRM, nullif(detail, ''));
END $$;
SELECT args, pg_temp.error_of('SELECT rapport.curve_cuts(' || args || ')')
FROM unnest(ARRAY['0', 'NULL', '-1', '1001', '2', $$4, '{1,2,3}', '{1,1,1}'$$, $$2, '{1,2}', '{1}'$$, $$2, '{1,2}'$$, $$2, NULL, '{1}'$$, $$2, '{1,-2}', '{1,1}'$$,
	$$2, '{1,NULL}', '{1,1}'$$, $$2, '{1,2}', '{1,-1}'$$, $$2, '{1,2}', '{1,NaN}'$$, $$2, '{1,2}', '{1,Infinity}'$$, $$2, '{1,2}', '{1,NULL}'$$]) AS args;
SELECT bits, pg_temp.error_of(format('SELECT rapport.curve_load(%L)', bits)) FROM unnest(ARRAY[NULL, 2, 64, 3, 63]) AS bits;

-- The map.
SELECT lows, pg_temp.error_of(format('SELECT rapport.set_shards(%L)', lows))
FROM unnest(ARRAY[NULL, '{}', '{0}', '{0,5,7}', '{1}', '{0,5,5}', '{0,7,5}', '{0,NULL}', '{NULL}', '{-1,0}', '{{0,1},{2,3}}']) AS lows;
SELECT pg_temp.error_of('SELECT rapport.set_shards(ARRAY(SELECT generate_series(0, 1000)))');
SELECT rapport.set_shards('{}');
SELECT rapport.shard_of(rapport.match_key(1, 1, 1)) AS shard, rapport.query_shards(rapport.match_query(rapport.match_key(1, 1, 1), '2026-01-01')) AS asked, (SELECT count(*) FROM rapport.shards());
SELECT pg_temp.error_of('SELECT rapport.query_shards(NULL)'), rapport.shard_of(NULL);

-- Three people in Berlin, two in Sydney, one nowhere.
INSERT INTO rapport.candidate (person_id, mode, key)
SELECT i, 1, rapport.match_key(i, lat, lon, max_distance_km => CASE WHEN lat IS NOT NULL THEN 20000 END)
FROM (VALUES (1, 52.52, 13.405), (2, 52.53, 13.41), (3, 52.51, 13.39), (4, -33.87, 151.2), (5, -33.87, 151.2), (6, NULL, NULL)) AS p (i, lat, lon);
SELECT rapport.set_shards(rapport.curve_cuts(3));
SELECT shard, people FROM rapport.shards();
SELECT sum(people), count(*) FROM rapport.curve_load();
SELECT array_agg(rapport.shard_of(key) ORDER BY person_id) FROM rapport.candidate;
SELECT r AS radius, rapport.query_shards(q) AS asked, (SELECT array_agg(d.person_id ORDER BY d.ordinality) FROM rapport.discover_shard(q, 10) WITH ORDINALITY AS d) AS found
FROM (VALUES (0), (5), (16000), (17000), ('infinity'::float8)) AS x (r), rapport.match_query(rapport.match_key(9, 52.52, 13.405), '2026-01-01', radius_km => r) AS q;
SELECT person_id, round(cost::numeric, 6) AS cost, score, distance_km
FROM rapport.discover_shard(rapport.match_query(rapport.match_key(9, 52.52, 13.405), '2026-01-01'), 4);
SELECT k, pg_temp.error_of(format('SELECT rapport.discover_shard(rapport.match_query(rapport.match_key(9, 1, 1), ''2026-01-01''), %L)', k)) FROM unnest(ARRAY[NULL, 0, -1, 1000000, 10001, 10000]) AS k;
SELECT pg_temp.error_of('SELECT rapport.discover_shard(NULL, 5)');
SELECT pg_temp.error_of(format('SELECT rapport.discover_shard(%L, 5)', q))
FROM (SELECT rapport.match_query(rapport.match_key(9, 1, 1), '2026-01-01')::text) AS good (text),
	LATERAL unnest(ARRAY['', '1', left(good.text, 500), replace(good.text, '1;today', '2;today'), replace(good.text, 'scale_km=25', 'scale_km=nan'),
						 replace(good.text, 'after_cost=0', 'after_cost=nan'), replace(good.text, 'mode=1', 'mode=300'), good.text]) AS q;

-- Merging.
SELECT * FROM rapport.merge_shards('{7,5,3,9,4}', '{0.1,0.3,0.5,0.3,0.3}', 3);
SELECT count(*) FROM rapport.merge_shards('{}', '{}', 3);
SELECT count(*) FROM rapport.merge_shards(NULL, NULL, 3);
-- Whoever is in two lists comes once.
SELECT * FROM rapport.merge_shards('{7,5,7}', '{0.4,0.3,0.2}', 3);
SELECT args, pg_temp.error_of('SELECT rapport.merge_shards(' || args || ')')
FROM unnest(ARRAY[$$'{1}', '{1}', 0$$, $$'{1}', '{1}', NULL$$, $$'{1}', '{1}', 10001$$, $$'{1,2}', '{1}', 1$$, $$'{1}', NULL, 1$$, $$'{NULL}', '{1}', 1$$, $$'{1}', '{NULL}', 1$$, $$'{1}', '{NaN}', 1$$]) AS args;

-- Partitions.
SELECT n, pg_temp.error_of(format('SELECT rapport.partition_candidates(%L)', n)) FROM unnest(ARRAY[NULL, 0, 129, 5]) AS n;
SELECT leaf, people FROM rapport.partition_candidates(3);
SELECT tableoid::regclass, array_agg(person_id ORDER BY person_id) FROM rapport.candidate GROUP BY 1 ORDER BY 1;
UPDATE rapport.candidate SET key = rapport.match_key(4, 52.52, 13.405) WHERE person_id = 4;
SELECT tableoid::regclass, array_agg(person_id ORDER BY person_id) FROM rapport.candidate GROUP BY 1 ORDER BY 1;
SELECT leaf, people FROM rapport.partition_candidates(2);
SELECT leaf, people FROM rapport.partition_candidates(1);
SELECT * FROM rapport.candidate_indexes();
SELECT rows, problems FROM rapport.match_index_check('rapport.candidate_key');

-- Only for services.
SELECT f.proname, r.rolname
FROM pg_proc AS f, pg_roles AS r
WHERE f.proname IN ('curve_cuts', 'curve_load', 'partition_candidates', 'set_shards', 'shards', 'shard_of', 'query_shards', 'discover_query_for', 'discover_shard', 'merge_shards')
AND r.rolname IN ('rapport_anon', 'rapport_user', 'rapport_admin', 'rapport_service', 'rapport_api')
AND has_function_privilege(r.oid, f.oid, 'EXECUTE')
ORDER BY 1, 2;
ROLLBACK;
