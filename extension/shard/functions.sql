-- shard: candidates in several partitions, and on several clusters.

INSERT INTO rapport.distribution (tab, grp, col) VALUES
	('rapport.shard', 'R', NULL);

INSERT INTO rapport.personal_data (tab, col, class, on_erase, reason) VALUES
	('rapport.shard', 'shard', 'none', 'keep', 'about nobody'),
	('rapport.shard', 'low', 'none', 'keep', 'a place on the earth');

-- Where to cut

CREATE OR REPLACE FUNCTION rapport.match_query_reaches(query rapport.match_query, low bigint, high bigint) RETURNS boolean
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_query_reaches';
COMMENT ON FUNCTION rapport.match_query_reaches(rapport.match_query, bigint, bigint) IS
'Whether a query looks as far as the stretch of the curve from low to high, both included: when false, it accepts nobody whose curve_position() is in it. Raises 22023.';

CREATE OR REPLACE FUNCTION rapport.match_query_viewer(query rapport.match_query) RETURNS rapport.match_key
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_query_viewer';
COMMENT ON FUNCTION rapport.match_query_viewer(rapport.match_query) IS 'The key that a query was made of.';

CREATE OR REPLACE FUNCTION rapport.curve_cuts(n integer, positions bigint[] DEFAULT NULL, loads double precision[] DEFAULT NULL) RETURNS bigint[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp SET jit = off
AS $$
DECLARE
	places bigint[];
	before double precision[];
	total double precision;
	target double precision;
	place integer;
	last integer := 1;
	lows bigint[] := '{0}';
BEGIN
	IF n IS NULL OR n NOT BETWEEN 1 AND 1000 THEN
		PERFORM rapport.fail('out_of_range', 'n takes 1 to 1000.');
	END IF;
	IF positions IS NULL AND loads IS NULL THEN
		SELECT array_agg(w.place ORDER BY w.place), array_agg(w.people ORDER BY w.place) INTO positions, loads
		FROM (SELECT rapport.curve_position(c.key) AS place, count(*)::double precision AS people
			  FROM rapport.candidate AS c GROUP BY 1) AS w;
	ELSIF cardinality(positions) IS DISTINCT FROM cardinality(loads) THEN
		PERFORM rapport.fail('invalid_value', 'positions and loads are of one length.');
	ELSIF EXISTS (SELECT FROM unnest(positions, loads) AS w (place, load)
				  -- NaN is greater than infinity.
				  WHERE (w.place >= 0 AND w.load >= 0 AND w.load < 'infinity') IS NOT TRUE) THEN
		PERFORM rapport.fail('out_of_range', 'Positions and loads are 0 or more, and loads are finite.');
	END IF;
	SELECT array_agg(w.place ORDER BY w.place), array_agg(w.before ORDER BY w.place), coalesce(max(w.before + w.load), 0)
	INTO places, before, total
	FROM (SELECT g.place, g.load, coalesce(sum(g.load) OVER (ORDER BY g.place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
		  FROM (SELECT u.place, sum(u.load) AS load FROM unnest(positions, loads) AS u (place, load) GROUP BY u.place) AS g) AS w;
	IF n > greatest(cardinality(places), 1) THEN
		PERFORM rapport.fail('out_of_range', format('There are %s positions, too few for %s parts.', coalesce(cardinality(places), 0), n));
	END IF;
	FOR part IN 1 .. n - 1 LOOP
		target := total / n * part;
		place := width_bucket(target, before);
		IF before[place + 1] - target < target - before[place] THEN
			place := place + 1;
		END IF;
		-- At least one position a part.
		last := least(greatest(place, last + 1), cardinality(places) - (n - 1 - part));
		lows := lows || places[last];
	END LOOP;
	RETURN lows;
END;
$$;
COMMENT ON FUNCTION rapport.curve_cuts(integer, bigint[], double precision[]) IS
'Cuts the curve into n stretches (1 to 1000) of equal load, as far as people at one position stay together; returns where each begins, 0 first. The load is a number, 0 or more, for each of positions, which may repeat and be in any order, say from several clusters; without them every candidate here counts once. For operators. Errors: out_of_range (n beyond the number of positions as well), invalid_value.';
GRANT EXECUTE ON FUNCTION rapport.curve_cuts(integer, bigint[], double precision[]) TO rapport_service;

CREATE OR REPLACE FUNCTION rapport.curve_load(bits integer DEFAULT 30) RETURNS TABLE ("position" bigint, people bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp SET jit = off
AS $$
BEGIN
	IF bits IS NULL OR bits NOT BETWEEN 3 AND 63 THEN
		PERFORM rapport.fail('out_of_range', 'bits takes 3 to 63.');
	END IF;
	RETURN QUERY
	SELECT rapport.curve_position(c.key) >> (63 - bits) << (63 - bits), count(*)
	FROM rapport.candidate AS c
	GROUP BY 1
	ORDER BY 1;
END;
$$;
COMMENT ON FUNCTION rapport.curve_load(integer) IS
'How many candidates of this cluster are on each stretch of the curve, by its first position: what curve_cuts() takes. bits (3 to 63) is how fine: three more make a stretch half as wide; 30 are 12 km. For operators. Errors: out_of_range.';
GRANT EXECUTE ON FUNCTION rapport.curve_load(integer) TO rapport_service;

-- Partitions

CREATE OR REPLACE FUNCTION rapport.partition_candidates(n integer) RETURNS TABLE (leaf regclass, low bigint, people bigint)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, rapport, pg_temp SET jit = off SET client_min_messages = warning
	-- Who waits for a lock on a table holds up everyone who comes after.
	SET lock_timeout = '5s'
AS $$
DECLARE
	lows bigint[];
	everybody regclass;
	others regclass;
	key_index text := pg_get_indexdef('rapport.candidate_key'::regclass);
	lane smallint := rapport.index_lane('rapport.candidate_key');
BEGIN
	IF n IS NULL OR n NOT BETWEEN 1 AND 128 THEN
		PERFORM rapport.fail('out_of_range', 'n takes 1 to 128.');
	END IF;
	LOCK TABLE rapport.candidate IN ACCESS EXCLUSIVE MODE;
	lows := rapport.curve_cuts(n);
	CREATE TEMPORARY TABLE candidate_parted ON COMMIT DROP AS SELECT c.* FROM rapport.candidate AS c;
	FOR others IN SELECT h.inhrelid FROM pg_inherits AS h WHERE h.inhparent = 'rapport.candidate'::regclass AND h.inhrelid <> 'rapport.candidate_1'::regclass LOOP
		EXECUTE format('DROP TABLE %s', others);
	END LOOP;
	TRUNCATE rapport.candidate_1;
	-- A table that is filled first gets its indexes faster, and packed.
	DROP INDEX rapport.candidate_key;
	FOR part IN 2 .. n LOOP
		EXECUTE format('CREATE TABLE rapport.candidate_%s PARTITION OF rapport.candidate FOR VALUES FROM (%s) TO (%s)', part, lows[part], coalesce(lows[part + 1]::text, 'MAXVALUE'));
		EXECUTE format('ALTER TABLE rapport.candidate_%s OWNER TO rapport_owner', part);
		EXECUTE format('COMMENT ON TABLE rapport.candidate_%s IS %L', part, 'A partition of rapport.candidate, made by partition_candidates().');
	END LOOP;
	everybody := to_regclass('pg_temp.candidate_parted');
	EXECUTE format('INSERT INTO rapport.candidate SELECT c.* FROM %s AS c', everybody);
	EXECUTE format('DROP TABLE %s', everybody);
	EXECUTE key_index;
	REINDEX INDEX rapport.candidate_pkey;
	FOR part IN 2 .. n LOOP
		EXECUTE format('ALTER TABLE rapport.candidate_%1$s ADD CONSTRAINT candidate_%1$s_pkey PRIMARY KEY (person_id, mode)', part);
		EXECUTE format('CREATE INDEX candidate_%1$s_key ON rapport.candidate_%1$s USING match_gist (key rapport.match_key_ops (lane = %2$s))', part, lane);
	END LOOP;
	ANALYZE rapport.candidate;
	RETURN QUERY
	SELECT c.tableoid::regclass, lows[substring(c.tableoid::regclass::text FROM '\d+$')::integer], count(*)
	FROM rapport.candidate AS c
	GROUP BY c.tableoid
	ORDER BY 2;
END;
$$;
COMMENT ON FUNCTION rapport.partition_candidates(integer) IS
'Puts the candidates into n partitions (1 to 128) along the curve, of equal load as curve_cuts() has it, and tells where each begins and how many it holds; 1 is one table again. Whoever moves goes to another partition with the write of the key. Call it again when the loads have drifted apart. Nobody can be discovered and no profile changes meanwhile (some 20 s for a million candidates). For superusers. Errors: out_of_range; 55P03 where it cannot have the lock within 5 s.';

-- Shards

CREATE OR REPLACE FUNCTION rapport.set_shards(lows bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	IF lows IS NULL OR array_ndims(lows) > 1 OR cardinality(lows) > 1000
		OR EXISTS (SELECT FROM (SELECT u.low, lag(u.low, 1, -1::bigint) OVER (ORDER BY u.n) AS before, u.n FROM unnest(lows) WITH ORDINALITY AS u (low, n)) AS w
				   WHERE (w.low > w.before AND (w.n > 1 OR w.low = 0)) IS NOT TRUE) THEN
		PERFORM rapport.fail('invalid_value', 'lows are up to 1000 rising positions, 0 first.');
	END IF;
	LOCK TABLE rapport.shard IN SHARE ROW EXCLUSIVE MODE;
	DELETE FROM rapport.shard;
	INSERT INTO rapport.shard (shard, low)
	SELECT u.n, u.low FROM unnest(lows) WITH ORDINALITY AS u (low, n);
END;
$$;
COMMENT ON FUNCTION rapport.set_shards(bigint[]) IS
'Writes the map of shards: where on the curve each begins, as curve_cuts() has it; {} is none. It moves nobody: whoever changes it brings the candidates to where they belong. For operators. Errors: invalid_value.';
GRANT EXECUTE ON FUNCTION rapport.set_shards(bigint[]) TO rapport_service;

CREATE OR REPLACE FUNCTION rapport.shards() RETURNS TABLE (shard integer, low bigint, high bigint, people bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp SET jit = off
AS $$
BEGIN
	RETURN QUERY
	SELECT s.shard, s.low, lead(s.low - 1, 1, 9223372036854775807) OVER (ORDER BY s.low), coalesce(c.people, 0)
	FROM rapport.shard AS s
	LEFT JOIN (SELECT width_bucket(rapport.curve_position(x.key), ARRAY(SELECT m.low FROM rapport.shard AS m ORDER BY m.low)) AS shard, count(*) AS people
			   FROM rapport.candidate AS x
			   GROUP BY 1) AS c ON c.shard = s.shard
	ORDER BY s.low;
END;
$$;
COMMENT ON FUNCTION rapport.shards() IS
'The map of shards: the first and the last position of each, and how many candidates of this cluster belong to it. Reads them all. For operators.';
GRANT EXECUTE ON FUNCTION rapport.shards() TO rapport_service;

CREATE OR REPLACE FUNCTION rapport.shard_of(key rapport.match_key) RETURNS integer
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	RETURN (SELECT s.shard FROM rapport.shard AS s WHERE s.low <= rapport.curve_position(shard_of.key) ORDER BY s.low DESC LIMIT 1);
END;
$$;
COMMENT ON FUNCTION rapport.shard_of(rapport.match_key) IS 'The shard that a candidate belongs to; NULL without a map. For services.';
GRANT EXECUTE ON FUNCTION rapport.shard_of(rapport.match_key) TO rapport_service;

CREATE OR REPLACE FUNCTION rapport.query_shards(query rapport.match_query) RETURNS integer[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	IF query_shards.query IS NULL THEN
		PERFORM rapport.fail('missing_field', 'There is no query.');
	END IF;
	RETURN ARRAY(SELECT s.shard
				 FROM (SELECT m.shard, m.low, lead(m.low - 1, 1, 9223372036854775807) OVER (ORDER BY m.low) AS high FROM rapport.shard AS m) AS s
				 WHERE rapport.match_query_reaches(query_shards.query, s.low, s.high)
				 ORDER BY s.shard);
END;
$$;
COMMENT ON FUNCTION rapport.query_shards(rapport.match_query) IS
'The shards that a query has to ask: those on whose stretch of the curve a place is as near as the viewer looks. Of whoever looks everywhere all; of whoever has no place and does not, none. The others hold nobody whom the query accepts. For services. Errors: missing_field.';
GRANT EXECUTE ON FUNCTION rapport.query_shards(rapport.match_query) TO rapport_service;

CREATE OR REPLACE FUNCTION rapport.discover_query_for(
	person_id bigint, mode text DEFAULT NULL, sort text DEFAULT NULL,
	radius_km integer DEFAULT NULL, everywhere boolean DEFAULT NULL, active_within_days integer DEFAULT NULL,
	joined_within_days integer DEFAULT NULL, options jsonb DEFAULT NULL, tags text[] DEFAULT NULL, min_shared_tags integer DEFAULT NULL,
	scoring text DEFAULT NULL, after_cost double precision DEFAULT NULL, after_id bigint DEFAULT NULL)
RETURNS rapport.match_query
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me ALIAS FOR discover_query_for.person_id;
	mode_id smallint := rapport.match_mode(me, mode);
	active_days integer := rapport.setting_int('active_within_days');
	day date := rapport.today();
	my_tags text[];
BEGIN
	SELECT p.tags INTO my_tags FROM rapport.profile AS p WHERE p.person_id = me;
	RETURN rapport.match_query_see(
		rapport.match_filtered(
			rapport.match_query_for(me, mode_id, rapport.match_side(me, mode_id, 2), day, '{}',
									CASE WHEN active_days > 0 THEN day - active_days END, after_cost, after_id,
									rapport.scoring_weights(mode_id, scoring)),
			rapport.match_filters(radius_km, everywhere, active_within_days, joined_within_days, options, tags, min_shared_tags), my_tags, day, sort),
		me, mode_id);
END;
$$;
COMMENT ON FUNCTION rapport.discover_query_for(bigint, text, text, integer, boolean, integer, integer, jsonb, text[], integer, text, double precision, bigint) IS
'What discover() with these arguments asks for a person, as a value that discover_shard() answers on any cluster: whom they have seen and who is blocked are in it. after_cost and after_id are of the last one shown. Of tags and min_shared_tags a query knows bits alone: look at the tags of whom it finds as well. For services. Errors: as discover().';
GRANT EXECUTE ON FUNCTION rapport.discover_query_for(bigint, text, text, integer, boolean, integer, integer, jsonb, text[], integer, text, double precision, bigint) TO rapport_service;

CREATE OR REPLACE FUNCTION rapport.discover_shard(query rapport.match_query, k integer)
RETURNS TABLE (person_id bigint, cost double precision, score double precision, distance_km integer)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp SET jit = off
	SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
	viewer rapport.match_key := rapport.match_query_viewer(discover_shard.query);
BEGIN
	IF discover_shard.query IS NULL THEN
		PERFORM rapport.fail('missing_field', 'There is no query.');
	ELSIF k IS NULL OR k NOT BETWEEN 1 AND 10000 THEN
		PERFORM rapport.fail('out_of_range', 'k takes 1 to 10000.');
	END IF;
	RETURN QUERY
	SELECT hit.person_id, hit.cost,
		   round(least(1, greatest(0, rapport.match_score(hit.key, discover_shard.query)))::numeric, 2)::double precision,
		   rapport.distance_bucket(rapport.match_distance_m(viewer, hit.key))
	FROM (
		SELECT c.person_id, c.key, c.key <-> discover_shard.query AS cost
		FROM rapport.candidate AS c
		WHERE c.key @@ discover_shard.query
		ORDER BY c.key <-> discover_shard.query
		FETCH FIRST (k) ROWS WITH TIES) AS hit
	-- Cut here and not there: of equal costs the lower id comes first.
	ORDER BY hit.cost, hit.person_id
	LIMIT k;
END;
$$;
COMMENT ON FUNCTION rapport.discover_shard(rapport.match_query, integer) IS
'The k (1 to 10000) best candidates of this cluster for a query, exactly, in the order of (cost, person_id), which is that of discover(). The query may come from another cluster of the same version, as text or binary. score and distance_km are as in discover(). For services. Errors: missing_field, out_of_range.';
GRANT EXECUTE ON FUNCTION rapport.discover_shard(rapport.match_query, integer) TO rapport_service;

CREATE OR REPLACE FUNCTION rapport.merge_shards(ids bigint[], costs double precision[], k integer) RETURNS TABLE (person_id bigint, cost double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	IF k IS NULL OR k NOT BETWEEN 1 AND 10000 THEN
		PERFORM rapport.fail('out_of_range', 'k takes 1 to 10000.');
	ELSIF cardinality(ids) IS DISTINCT FROM cardinality(costs)
		OR EXISTS (SELECT FROM unnest(ids, costs) AS u (id, cost) WHERE u.id IS NULL OR u.cost IS NULL OR u.cost = 'NaN') THEN
		PERFORM rapport.fail('invalid_value', 'ids and costs are of one length, and have a number each.');
	END IF;
	RETURN QUERY
	SELECT u.id, min(u.cost)
	FROM unnest(ids, costs) AS u (id, cost)
	GROUP BY u.id
	ORDER BY 2, 1
	LIMIT k;
END;
$$;
COMMENT ON FUNCTION rapport.merge_shards(bigint[], double precision[], integer) IS
'The k best of what discover_shard() with that k or more said on several clusters, one list after the other, in its order: what one cluster with all their candidates would say. Somebody who is moving may be in two lists, and comes once, by the lower cost. For services. Errors: out_of_range, invalid_value.';
GRANT EXECUTE ON FUNCTION rapport.merge_shards(bigint[], double precision[], integer) TO rapport_service;
