-- The score by brute force, after match_oracle.sql: it reads profiles,
-- preferences, activity, likes and what was learnt, and knows nothing of keys,
-- queries or bounds. Where a key rounds (places to 2^-30 of the earth's radius,
-- scalars to 1/255, embeddings to 1/127, weights to real), the rule is written
-- out here.

-- Nobody says what is left below 1e-300.
CREATE FUNCTION pg_temp.expo(x double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE RETURN CASE WHEN x < -690 THEN 0 ELSE exp(x) END;

CREATE FUNCTION pg_temp.logistic(x double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE RETURN CASE WHEN x < 0 THEN pg_temp.expo(x) / (1 + pg_temp.expo(x)) ELSE 1 / (1 + pg_temp.expo(-x)) END;

-- Product modulo 2^64.
CREATE FUNCTION pg_temp.times(x bit(64), factor numeric) RETURNS bit(64)
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	product numeric := mod((x::bigint + CASE WHEN x::bigint < 0 THEN 18446744073709551616 ELSE 0 END) * factor, 18446744073709551616);
BEGIN
	RETURN (CASE WHEN product >= 9223372036854775808 THEN product - 18446744073709551616 ELSE product END)::bigint::bit(64);
END $$;

-- A place as three coordinates, the radius of the earth being 2^30.
CREATE FUNCTION pg_temp.on_sphere(place geography) RETURNS double precision[]
LANGUAGE sql IMMUTABLE AS $$
	SELECT ARRAY[round(cos(radians(y)) * cos(radians(x)) * 1073741824), round(cos(radians(y)) * sin(radians(x)) * 1073741824), round(sin(radians(y)) * 1073741824)]
	FROM (SELECT st_x(place::geometry) AS x, st_y(place::geometry) AS y) AS at;
$$;

-- The number from 0 to 1 that goes by an id and a day (splitmix64).
CREATE FUNCTION pg_temp.mixed(id bigint, day date) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	golden CONSTANT numeric := 11400714819323198485;
	sum numeric := mod(id + golden * (day - date '2000-01-01' + 1), 18446744073709551616);
	x bit(64) := pg_temp.times(1::bigint::bit(64), sum);
BEGIN
	x := pg_temp.times(x # (x >> 30), 13787848793156543929);
	x := pg_temp.times(x # (x >> 27), 10723151780598845931);
	x := x # (x >> 31);
	RETURN (x >> 11)::bigint / 9007199254740992::double precision;
END $$;

-- How many have a tag, and all: as of the last pg_temp.count_tags().
CREATE TEMP TABLE tag_truth (tag text PRIMARY KEY, people bigint, of_people bigint);
CREATE FUNCTION pg_temp.count_tags(batch integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	LOOP
		EXIT WHEN rapport.count_tags(batch);
	END LOOP;
	DELETE FROM tag_truth;
	INSERT INTO tag_truth
	SELECT t, CASE WHEN count(*) < 5 THEN 0 ELSE count(*) END, (SELECT count(*) FROM rapport.profile)
	FROM rapport.profile AS p, unnest(p.tags) AS t
	GROUP BY t;
END $$;

CREATE TEMP TABLE my_tag (tag text, weight double precision);
CREATE TEMP TABLE my_wish (kind text, attribute_id smallint, slot smallint, weight double precision);

-- What each member of a deck costs the viewer: first what the order goes by, then the cost.
CREATE FUNCTION pg_temp.costs(viewer bigint, in_mode smallint, members bigint[], given jsonb, sort text, day date)
RETURNS TABLE (person_id bigint, ord integer, cost double precision)
LANGUAGE plpgsql AS $$
DECLARE
	w jsonb := '{"distance": 0.35, "age": 0.1, "tags": 0.15, "embedding": 0.1, "soft": 0.1, "recency": 0.1, "quality": 0.1, "desirability": 0,
		"selectivity": 0, "newcomer": 0, "diversity": 0, "decay": "gauss", "scale_km": 25, "offset_km": 0, "at_scale": 0.5, "age_scale_years": 5,
		"half_life_days": 14, "newcomer_days": 14, "bias": -4, "slope": 6, "desirability_slope": 2, "selectivity_slope": 2, "price": 0, "boost": 0,
		"family": "weighted"}'::jsonb || given;
	scale double precision := w ->> 'scale_km';
	at_scale double precision := w ->> 'at_scale';
	me rapport.profile;
	mine rapport.preference;
	born date;
	learnt record;
	tag_total double precision;
	soft_total double precision;
	total double precision;
	diversity double precision := (w ->> 'diversity')::real;
	share jsonb;
BEGIN
	SELECT p.* INTO me FROM rapport.profile AS p WHERE p.person_id = viewer;
	SELECT f.* INTO mine FROM rapport.preference AS f WHERE f.person_id = viewer AND f.mode = in_mode;
	SELECT round(coalesce(x.desirability, .5)::double precision * 255) / 255 AS desirability, round(coalesce(x.selectivity, .5)::double precision * 255) / 255 AS selectivity
	INTO learnt
	FROM (SELECT) AS one LEFT JOIN rapport.match_scalar AS x ON x.person_id = viewer;
	-- The viewer's own age is liked best, within the ages accepted.
	born := least(greatest(me.birth_date, (day - make_interval(years => mine.age_max + 1))::date + 1), (day - make_interval(years => mine.age_min))::date);
	DELETE FROM my_tag;
	INSERT INTO my_tag
	SELECT t, round((1 + ln((1 + coalesce((SELECT max(of_people) FROM tag_truth), 0)) / (1 + coalesce(c.people, 0))::double precision))::numeric, 1)::real
	FROM unnest(me.tags) AS t
	LEFT JOIN tag_truth AS c ON c.tag = t;
	SELECT sum(t.weight) INTO tag_total FROM my_tag AS t;
	DELETE FROM my_wish;
	INSERT INTO my_wish
	SELECT a.kind, a.attribute_id, a.slot, a.weight
	FROM rapport.attribute AS a
	WHERE CASE coalesce(mine.strengths[a.attribute_id], 0) WHEN 0 THEN a.strength = 'soft' WHEN 3 THEN true ELSE false END
	AND CASE a.kind WHEN 'choice' THEN mine.accepts[a.attribute_id] ELSE mine.number_min[a.slot + 1] END IS NOT NULL;
	SELECT sum(s.weight) INTO soft_total FROM my_wish AS s;
	SELECT sum((w ->> t)::real::double precision), jsonb_object_agg(t, (w ->> t)::real) INTO total, share
	FROM unnest(ARRAY['distance', 'age', 'recency', 'quality', 'desirability', 'selectivity', 'newcomer']
				|| CASE WHEN tag_total > 0 THEN ARRAY['tags'] END || CASE WHEN me.embedding <> '{}' THEN ARRAY['embedding'] END
				|| CASE WHEN soft_total > 0 THEN ARRAY['soft'] END) AS t;
	RETURN QUERY
	WITH facts AS (
		SELECT p.person_id,
			   sqrt((SELECT sum((a - b) ^ 2) FROM unnest(pg_temp.on_sphere(p.place), pg_temp.on_sphere(me.place)) AS v (a, b))) / 1073741824 * 6371.0088 AS km,
			   p.birth_date - born AS older,
			   greatest(0, day - coalesce(y.active_on, (p.created_at AT TIME ZONE 'UTC')::date)) AS idle,
			   greatest(0, day - (p.created_at AT TIME ZONE 'UTC')::date) AS joined,
			   coalesce((SELECT sum(t.weight) FROM my_tag AS t WHERE t.tag = ANY (p.tags)) / tag_total, 0) AS tags,
			   (SELECT sum(round(a::double precision * 127) * round(b::double precision * 127)) / (127 * 127) FROM unnest(p.embedding, me.embedding) AS v (a, b)) AS product,
			   (SELECT sum(s.weight) FROM my_wish AS s
				WHERE CASE s.kind WHEN 'choice' THEN (mine.accepts[s.attribute_id] >> coalesce(p.traits[s.attribute_id], 0)) & 1 = 1
								  ELSE p.numbers[s.slot + 1] BETWEEN mine.number_min[s.slot + 1] AND mine.number_max[s.slot + 1] END) / soft_total AS soft,
			   .5 * least(1, ((SELECT count(*) FROM unnest(p.traits) AS v WHERE v <> 0) + (SELECT count(v) FROM unnest(p.numbers) AS v))::double precision
						  / (SELECT max(a.attribute_id) FROM rapport.attribute AS a))
				+ CASE WHEN p.about <> '' THEN .25 ELSE 0 END + CASE WHEN p.tags <> '{}' THEN .25 ELSE 0 END AS quality,
			   round(coalesce(x.desirability, .5)::double precision * 255) / 255 AS desirability,
			   round(coalesce(x.selectivity, .5)::double precision * 255) / 255 AS selectivity,
			   round(coalesce(x.price, 0)::double precision * 255) / 255 AS price,
			   EXISTS (SELECT FROM rapport.like_received AS l WHERE l.person_id = viewer AND l.mode = in_mode AND l.other_id = p.person_id) AS likes
		FROM rapport.profile AS p
		LEFT JOIN rapport.activity AS y ON y.person_id = p.person_id
		LEFT JOIN rapport.match_scalar AS x ON x.person_id = p.person_id
		WHERE p.person_id = ANY (members)
	), term AS (
		SELECT f.*,
			   jsonb_build_object(
				   'distance', CASE w ->> 'decay'
								   WHEN 'gauss' THEN pg_temp.expo(ln(at_scale) * (over.km / scale) ^ 2)
								   WHEN 'exp' THEN pg_temp.expo(ln(at_scale) * over.km / scale)
								   ELSE greatest(0, 1 - (1 - at_scale) * over.km / scale) END,
				   'age', pg_temp.expo(-ln(2::double precision) * (f.older / (365.25 * (w ->> 'age_scale_years')::double precision)) ^ 2),
				   'recency', pg_temp.expo(-ln(2::double precision) * f.idle / (w ->> 'half_life_days')::double precision),
				   'newcomer', greatest(0, 1 - f.joined / (w ->> 'newcomer_days')::double precision),
				   'tags', f.tags, 'soft', coalesce(f.soft, 0), 'quality', round(f.quality * 255) / 255,
				   'embedding', (1 + least(1, greatest(-1, coalesce(f.product, 0)))) / 2,
				   'desirability', f.desirability, 'selectivity', f.selectivity) AS terms
		FROM facts AS f
		CROSS JOIN LATERAL (SELECT greatest(0, f.km - (w ->> 'offset_km')::double precision) AS km) AS over
	), mean AS (
		SELECT t.*,
			   diversity * pg_temp.mixed((t.person_id::bit(64) # (viewer::bit(64) << 11))::bigint, day)
			   + CASE WHEN total > 0 THEN (1 - diversity) / total
					  * (SELECT sum((s.value #>> '{}')::real::double precision * (t.terms ->> s.key)::double precision) FROM jsonb_each(share) AS s) ELSE 0 END AS mean
		FROM term AS t
	)
	SELECT m.person_id,
		   CASE sort WHEN 'newest' THEN m.joined WHEN 'active' THEN m.idle
					 WHEN 'nearest' THEN (SELECT count(*)::integer FROM unnest(rapport.setting_text('distance_buckets')::integer[]) AS b
										  WHERE 2 * 6371.0088 * asin(least(1, m.km / 2 / 6371.0088)) > b)
					 ELSE 0 END,
		   1 - CASE w ->> 'family' WHEN 'weighted' THEN m.mean ELSE
				   pg_temp.logistic((w ->> 'bias')::double precision + (w ->> 'slope')::double precision * m.mean
					   + (w ->> 'selectivity_slope')::double precision * (2 * learnt.selectivity - 1)
					   + (w ->> 'desirability_slope')::double precision * (2 * m.desirability - 1))
				   * pg_temp.logistic((w ->> 'bias')::double precision + (w ->> 'slope')::double precision * m.mean
					   + (w ->> 'desirability_slope')::double precision * (2 * learnt.desirability - 1)
					   + (w ->> 'selectivity_slope')::double precision * (2 * m.selectivity - 1)) END
			 + (w ->> 'price')::double precision * m.price
			 - CASE WHEN m.likes THEN (w ->> 'boost')::double precision ELSE 0 END
			 + 1e-9 * pg_temp.mixed(m.person_id, day)
	FROM mean AS m;
END $$;

-- What is wrong with a deck: somebody missing, or two in the wrong order. Sums in another order differ in the last digits.
CREATE FUNCTION pg_temp.misplaced(deck bigint[], viewer bigint, in_mode smallint, members bigint[], given jsonb, sort text, day date) RETURNS bigint
LANGUAGE sql VOLATILE AS $$
	SELECT count(*) FILTER (WHERE c.cost IS NULL) + abs(count(*) - cardinality(members))
		   + count(*) FILTER (WHERE c.ord < c.before_ord OR c.ord = c.before_ord AND c.cost < c.before_cost - 1e-12)
	FROM (SELECT e.*, lag(e.ord) OVER (ORDER BY d.n) AS before_ord, lag(e.cost) OVER (ORDER BY d.n) AS before_cost
		  FROM unnest(deck) WITH ORDINALITY AS d (id, n)
		  LEFT JOIN pg_temp.costs(viewer, in_mode, members, given, sort, day) AS e ON e.person_id = d.id) AS c;
$$;

-- The same query in another order.
CREATE FUNCTION pg_temp.sorted(q rapport.match_query, sort text) RETURNS rapport.match_query
LANGUAGE sql STABLE AS $$
	SELECT regexp_replace(q::text, 'order=\d+;buckets=[\d,]+', substring(rapport.match_query(rapport.match_key(1, 0, 0), rapport.today(), sort => sorted.sort,
		bucket_km => rapport.setting_text('distance_buckets')::double precision[])::text, 'order=\d+;buckets=[\d,]+'))::rapport.match_query;
$$;

-- Everyone whom the index finds, in its order.
CREATE FUNCTION pg_temp.scanned(q rapport.match_query) RETURNS bigint[]
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off AS $$
BEGIN
	RETURN ARRAY(SELECT c.person_id FROM rapport.candidate AS c WHERE c.key OPERATOR(rapport.@@) q ORDER BY c.key OPERATOR(rapport.<->) q);
END $$;

-- Every family, term, decay, order, price, boost and day's chance.
CREATE TEMP TABLE profile_of AS
SELECT n - 1 AS n, weights::jsonb AS weights
FROM unnest(ARRAY[
	'{}',
	'{"distance": 1, "age": 0, "tags": 0, "embedding": 0, "soft": 0, "recency": 0, "quality": 0, "decay": "exp", "scale_km": 200}',
	'{"decay": "linear", "scale_km": 500, "offset_km": 3, "age": 2, "soft": 3, "boost": 0.2}',
	'{"distance": 0, "age": 0, "recency": 1, "quality": 2, "half_life_days": 3, "newcomer": 1, "newcomer_days": 40}',
	'{"distance": 0, "age": 0, "tags": 0, "embedding": 0, "soft": 0, "recency": 0, "quality": 0}',
	'{"embedding": 5, "tags": 2, "at_scale": 0.01, "offset_km": 10, "diversity": 0.1}',
	'{"family": "reciprocal", "price": 0.3, "boost": 0.2, "newcomer": 0.3}',
	'{"desirability": 0.5, "selectivity": 0.3, "newcomer": 0.5, "diversity": 0.25, "price": 0.5, "boost": 0.4, "tags": 1}',
	'{"family": "reciprocal", "bias": -10, "slope": 20, "desirability_slope": 5, "selectivity_slope": 0.5, "diversity": 0.2, "decay": "exp", "price": 1}',
	'{"tags": 3, "soft": 2, "distance": 0.1, "diversity": 0.01, "boost": 1}',
	'{"distance": 0, "age": 0, "tags": 0, "embedding": 0, "soft": 0, "recency": 0, "quality": 0, "diversity": 0.25}']) WITH ORDINALITY AS x (weights, n);
