-- Two tables of the same people: keys of rapport, and all that PostGIS needs for
-- the same question, with a GiST index of the place alone.
-- Variables: library, viewers, seed, updates (how many rows change in all).
\ir ../race.sql
SELECT to_regclass('peer.person_gender_place') IS NULL AS fresh \gset
\ir ../peers/postgis.sql
CREATE FUNCTION bench.count_leaves(consistent regprocedure) RETURNS bigint
	LANGUAGE c STRICT VOLATILE AS :'library', 'peer_count_leaves';
COMMENT ON FUNCTION bench.count_leaves(regprocedure) IS
'Makes counted_consistent() call that function; how many leaf tuples it was called for since this was called last.';
CREATE FUNCTION bench.counted_consistent(internal, rapport.match_key, smallint, oid, internal) RETURNS boolean
	LANGUAGE c STRICT AS :'library', 'peer_counted_consistent';

SELECT 'index_bytes_vs_key=' || round(pg_relation_size('rapport.candidate_key')::numeric / sum(pg_column_size(key) + 12), 3)
FROM rapport.candidate;

-- The default operator class, but that it counts.
SELECT format('CREATE OPERATOR CLASS bench.counted_ops FOR TYPE rapport.match_key USING match_gist AS %s',
	(SELECT string_agg(format('OPERATOR %s %s %s', o.amopstrategy, o.amopopr::regoperator,
							  CASE o.amoppurpose WHEN 'o' THEN (SELECT format('FOR ORDER BY %I.%I', n.nspname, f.opfname)
															   FROM pg_opfamily AS f JOIN pg_namespace AS n ON n.oid = f.opfnamespace
															   WHERE f.oid = o.amopsortfamily) END), ', ')
	 FROM pg_amop AS o WHERE o.amopfamily = c.opcfamily)
	|| ', ' || (SELECT string_agg(format('FUNCTION %s (%s, %s) %s', p.amprocnum, p.amproclefttype::regtype, p.amprocrighttype::regtype,
										 CASE p.amprocnum WHEN 1 THEN 'bench.counted_consistent(internal, rapport.match_key, smallint, oid, internal)'
											 ELSE p.amproc::regprocedure::text END), ', ')
			  FROM pg_amproc AS p WHERE p.amprocfamily = c.opcfamily)) AS statement,
	(SELECT p.amproc::regprocedure::text FROM pg_amproc AS p WHERE p.amprocfamily = c.opcfamily AND p.amprocnum = 1) AS consistent
FROM pg_opclass AS c
WHERE c.opcname = 'match_key_ops' \gset
:statement;

CREATE TABLE bench.keys WITH (autovacuum_enabled = off) AS
SELECT c.person_id, c.key FROM rapport.candidate AS c WHERE c.mode = 1 ORDER BY hashint8(c.person_id);
CREATE TABLE bench.places WITH (autovacuum_enabled = off) AS
SELECT p.* FROM peer.person AS p ORDER BY hashint8(p.person_id);
ALTER TABLE bench.keys ADD PRIMARY KEY (person_id);
ALTER TABLE bench.places ADD PRIMARY KEY (person_id);
VACUUM (ANALYZE) bench.keys;
VACUUM (ANALYZE) bench.places;

-- Building, in turns.
CREATE TEMPORARY TABLE built (side text, ms double precision);
DO $$
DECLARE
	began double precision;
BEGIN
	FOR turn IN 1 .. 2
	LOOP
		DROP INDEX IF EXISTS bench.keys_key, bench.places_place;
		began := bench.cpu_ms();
		CREATE INDEX keys_key ON bench.keys USING match_gist (key);
		INSERT INTO pg_temp.built VALUES ('rapport', bench.cpu_ms() - began);
		began := bench.cpu_ms();
		CREATE INDEX places_place ON bench.places USING gist (place);
		INSERT INTO pg_temp.built VALUES ('postgis', bench.cpu_ms() - began);
	END LOOP;
END;
$$;
SELECT side || '_build=' || round(min(ms)) FROM built GROUP BY side;

-- Leaf tuples that the best 20 of a viewer take.
INSERT INTO bench.viewer
SELECT k.person_id, rapport.match_query(key => k.key, today => rapport.today(), continuation => rapport.lane_continuation(map.lane_of, map.lanes_of))
FROM (SELECT * FROM bench.keys ORDER BY hashint8extended(person_id, :seed) LIMIT :viewers) AS k
CROSS JOIN rapport.attribute_map() AS map;
CREATE FUNCTION bench.leaf_tuples(consistent regprocedure) RETURNS double precision
LANGUAGE plpgsql AS $$
DECLARE
	v record;
	n integer := 0;
BEGIN
	PERFORM bench.count_leaves(consistent);
	FOR v IN SELECT * FROM bench.viewer
	LOOP
		PERFORM k.person_id FROM bench.keys AS k WHERE k.key OPERATOR(rapport.@@) v.asked ORDER BY k.key OPERATOR(rapport.<->) v.asked LIMIT 20;
		n := n + 1;
	END LOOP;
	RETURN bench.count_leaves(consistent)::double precision / n;
END;
$$;

-- In a share of the rows, drawn anew each time, the values change places: as
-- random as updates can be, and afterwards the same people as before.
CREATE PROCEDURE bench.churn(share double precision, draw bigint)
LANGUAGE plpgsql AS $$
BEGIN
	CREATE TEMPORARY TABLE moved AS
	SELECT a.person_id, b.person_id AS gets
	FROM (SELECT person_id, row_number() OVER (ORDER BY hashint8extended(person_id, 2 * draw)) AS n FROM bench.keys
		  WHERE hashint8extended(person_id, 1000 + draw) & 1048575 < share * 1048576) AS a
	JOIN (SELECT person_id, row_number() OVER (ORDER BY hashint8extended(person_id, 2 * draw + 1)) AS n FROM bench.keys
		  WHERE hashint8extended(person_id, 1000 + draw) & 1048575 < share * 1048576) AS b USING (n)
	ORDER BY hashint8(a.person_id);
	ANALYZE moved;
	UPDATE bench.keys AS k SET key = o.key FROM pg_temp.moved AS m JOIN bench.keys AS o ON o.person_id = m.gets WHERE k.person_id = m.person_id;
END;
$$;
DROP INDEX bench.keys_key;
CREATE INDEX keys_key ON bench.keys USING match_gist (key bench.counted_ops);
SELECT 'packed_leaf_tuples=' || round(bench.leaf_tuples(:'consistent'));

-- A tenth has changed; then one row at a time, in turns.
CALL bench.churn(0.1, 0);
UPDATE bench.places AS k SET place = o.place FROM moved AS m JOIN bench.places AS o ON o.person_id = m.gets WHERE k.person_id = m.person_id;
DROP TABLE moved;
VACUUM bench.keys;
VACUUM bench.places;
CREATE TEMPORARY TABLE updated (side text, us double precision, wal double precision);
DO $$
DECLARE
	ids bigint[];
	keys rapport.match_key[];
	places geography[];
	one text;
	began double precision;
	wal pg_lsn;
BEGIN
	FOR turn IN 1 .. 40
	LOOP
		-- They move to where another one is.
		SELECT array_agg(d.person_id), array_agg(d.key), array_agg(d.place) INTO ids, keys, places
		FROM (SELECT k.person_id, lead(p.place) OVER w AS place,
				regexp_replace(k.key::text, ';at=[^;]*', substring(lead(k.key::text) OVER w, ';at=[^;]*'))::rapport.match_key AS key
			  FROM (SELECT * FROM bench.keys ORDER BY hashint8extended(person_id, 5000 + turn) LIMIT 501) AS k
			  JOIN bench.places AS p USING (person_id)
			  WINDOW w AS (ORDER BY hashint8(k.person_id))) AS d
		WHERE d.place IS NOT NULL;
		-- Each is the first after all that in half of the turns.
		FOREACH one IN ARRAY CASE turn % 2 WHEN 0 THEN ARRAY['rapport', 'postgis'] ELSE ARRAY['postgis', 'rapport'] END
		LOOP
			wal := pg_current_wal_insert_lsn();
			began := bench.cpu_ms();
			IF one = 'rapport' THEN
				FOR i IN 1 .. 500
				LOOP
					UPDATE bench.keys AS k SET key = keys[i] WHERE k.person_id = ids[i];
				END LOOP;
			ELSE
				FOR i IN 1 .. 500
				LOOP
					UPDATE bench.places AS k SET place = places[i] WHERE k.person_id = ids[i];
				END LOOP;
			END IF;
			INSERT INTO pg_temp.updated VALUES (one, (bench.cpu_ms() - began) * 1000 / 500, (pg_current_wal_insert_lsn() - wal) / 500);
		END LOOP;
	END LOOP;
END;
$$;
SELECT unnest(ARRAY[
	side || '_update_us=' || round((percentile_cont(0.5) WITHIN GROUP (ORDER BY us))::numeric, 2),
	side || '_update_wal=' || round((percentile_cont(0.5) WITHIN GROUP (ORDER BY wal))::numeric)])
FROM updated
GROUP BY side;

-- The rest of the updates, with a vacuum after each fifth, as autovacuum has it.
SELECT format('CALL bench.churn(0.2, %s)', n), 'DROP TABLE moved', 'VACUUM bench.keys'
FROM generate_series(1, round(0.9 * :updates / (SELECT 0.2 * count(*) FROM bench.keys))::integer) AS n \gexec
SELECT 'churned_leaf_tuples=' || round(bench.leaf_tuples(:'consistent'));
SELECT 'churned_bytes_a_row=' || pg_relation_size('bench.keys_key') / (SELECT count(*) FROM bench.keys);
REINDEX INDEX bench.keys_key;
SELECT 'fresh_leaf_tuples=' || round(bench.leaf_tuples(:'consistent'));
SELECT 'fresh_bytes_a_row=' || pg_relation_size('bench.keys_key') / (SELECT count(*) FROM bench.keys);
DROP TABLE bench.keys, bench.places;
