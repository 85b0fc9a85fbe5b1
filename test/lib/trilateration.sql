-- An attacker who looks for people with nothing but what the product answers,
-- from places of the attacker's own choosing. Three oracles say whether somebody
-- is within so many metres: the step of the distance shown (bucket), whether the
-- person is found with a maximum distance (filter), and who comes first, the
-- person or an accomplice whose place is known (rank).
--
-- From a first guess some kilometres off, the attacker walks along rays until the
-- answer turns, which measures a distance to the person; the point that fits all
-- distances best (least squares) is the next guess, around which the same is done
-- again at close range. Knowing the grid, the attacker then takes the cell whose
-- centre contradicts the fewest answers: they are functions of that centre, so
-- nobody can do better without knowing the person's habits.
--
-- attack.grid: on, people and attackers stand in the centres of cells; off, where
--   they truly are. This is the control: there the attack has to succeed.
-- attack.public: on, the oracles are the product's functions, called as a person;
--   off, they are the operators those stand on, over keys of a table.
-- attack.bearings, attack.tolerance: rays of the second round, and how many metres
--   a ray is searched to; on the grid there is nothing to find within a tenth of a cell.
SET client_min_messages = warning;
SET jit = off;
CREATE SCHEMA attack;
SET attack.grid = on;
SET attack.public = off;
SET attack.bearings = 12;
SET attack.tolerance = 1;
SET attack.waits = 0;

CREATE TABLE attack.target (
	n integer PRIMARY KEY,
	kind text NOT NULL,
	latitude float8 NOT NULL,
	longitude float8 NOT NULL,
	person_id bigint,
	key rapport.match_key
);
-- What was asked, from where the attacker was seen to be, and the answer.
CREATE UNLOGGED TABLE attack.answer (n integer, grid boolean, oracle text, latitude float8, longitude float8, metres float8, near boolean);
CREATE UNLOGGED TABLE attack.measured (n integer, grid boolean, oracle text, latitude float8, longitude float8, metres float8);
CREATE TABLE attack.result (n integer, grid boolean, oracle text, latitude float8, longitude float8, off_metres float8);

-- The sphere

CREATE FUNCTION attack.distance(latitude float8, longitude float8, other_latitude float8, other_longitude float8) RETURNS float8
LANGUAGE sql IMMUTABLE AS $$
	SELECT 2 * 6371008.8 * asin(least(1, sqrt(sind((other_latitude - latitude) / 2) ^ 2
											  + cosd(latitude) * cosd(other_latitude) * sind((other_longitude - longitude) / 2) ^ 2)))
$$;
CREATE FUNCTION attack.bearing(latitude float8, longitude float8, other_latitude float8, other_longitude float8) RETURNS float8
LANGUAGE sql IMMUTABLE AS $$
	SELECT atan2d(sind(other_longitude - longitude) * cosd(other_latitude),
				  cosd(latitude) * sind(other_latitude) - sind(latitude) * cosd(other_latitude) * cosd(other_longitude - longitude))
$$;
CREATE FUNCTION attack.walk(INOUT latitude float8, INOUT longitude float8, bearing float8, metres float8)
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	way float8 := degrees(metres / 6371008.8);
	from_latitude float8 := latitude;
BEGIN
	latitude := asind(greatest(-1, least(1, sind(from_latitude) * cosd(way) + cosd(from_latitude) * sind(way) * cosd(bearing))));
	longitude := longitude + atan2d(sind(bearing) * sind(way) * cosd(from_latitude), cosd(way) - sind(from_latitude) * sind(latitude));
	longitude := longitude - 360 * floor((longitude + 180) / 360);
END $$;

-- Where somebody who is there stands for others.
CREATE FUNCTION attack.stand(INOUT latitude float8, INOUT longitude float8)
LANGUAGE plpgsql STABLE AS $$
DECLARE
	cell bigint;
BEGIN
	IF current_setting('attack.grid')::boolean THEN
		cell := rapport.grid_cell(latitude, longitude, rapport.setting_int('grid_metres'));
		latitude := rapport.cell_latitude(cell);
		longitude := rapport.cell_longitude(cell);
	END IF;
END $$;

-- The product, as a person uses it

CREATE TABLE attack.agent (role text PRIMARY KEY, person_id bigint NOT NULL);

-- Goes there, waiting for as long as the limits demand; the place as my_profile() has it.
CREATE FUNCTION attack.go(agent_role text, INOUT latitude float8, INOUT longitude float8)
LANGUAGE plpgsql AS $$
DECLARE
	agent bigint := (SELECT a.person_id FROM attack.agent AS a WHERE a.role = agent_role);
	true_latitude float8 := latitude;
	true_longitude float8 := longitude;
	why text;
	code text;
BEGIN
	LOOP
		PERFORM rapport.act_as(agent, true);
		BEGIN
			PERFORM rapport.set_place(true_latitude, true_longitude);
			why := NULL;
		EXCEPTION WHEN SQLSTATE 'RP429' THEN
			GET STACKED DIAGNOSTICS why = PG_EXCEPTION_DETAIL;
		END;
		SELECT p.latitude, p.longitude INTO latitude, longitude FROM rapport.my_profile() AS p;
		PERFORM rapport.act_as(NULL, true);
		EXIT WHEN why IS NULL;
		PERFORM set_config('attack.waits', (current_setting('attack.waits')::integer + 1)::text, false),
				set_config('rapport.now', (substring(why FROM '\d{4}-.*Z')::timestamptz + interval '1 s')::text, false);
	END LOOP;
	IF NOT current_setting('attack.grid')::boolean THEN
		PERFORM attack.put(agent, true_latitude, true_longitude);
		latitude := true_latitude;
		longitude := true_longitude;
	END IF;
END $$;

-- For the control: a place as if there were no grid.
CREATE FUNCTION attack.put(person_id bigint, latitude float8, longitude float8) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	UPDATE rapport.profile AS p SET place = rapport.make_place(put.latitude, put.longitude) WHERE p.person_id = put.person_id;
	PERFORM rapport.candidate_refresh(ARRAY[put.person_id]);
END $$;

CREATE FUNCTION attack.new_agent(agent_role text, latitude float8, longitude float8) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	id bigint := rapport.new_person();
BEGIN
	PERFORM rapport.act_as(id, true), rapport.update_profile('{"display_name": "N", "birth_date": "1990-01-01"}'),
			rapport.set_place(latitude, longitude), rapport.set_preference('date', '{}'), rapport.act_as(NULL, true);
	IF agent_role IS NOT NULL THEN
		INSERT INTO attack.agent VALUES (agent_role, id);
	END IF;
	RETURN id;
END $$;

-- Whether the target is within so many metres of a place; the place and the metres are those that the answer is about.
CREATE FUNCTION attack.ask(oracle text, target attack.target, INOUT latitude float8, INOUT longitude float8, INOUT metres float8, OUT near boolean)
LANGUAGE plpgsql AS $$
DECLARE
	puppet record;
	viewer rapport.match_key;
	query rapport.match_query;
	accomplice bigint := (SELECT a.person_id FROM attack.agent AS a WHERE a.role = 'puppet');
BEGIN
	IF oracle = 'rank' THEN
		-- The accomplice stands so far from the attacker.
		SELECT w.* INTO puppet FROM attack.walk(latitude, longitude, 77, metres) AS w;
	END IF;
	IF current_setting('attack.public')::boolean THEN
		SELECT g.* INTO latitude, longitude FROM attack.go('viewer', latitude, longitude) AS g;
		IF oracle = 'rank' THEN
			SELECT g.* INTO puppet FROM attack.go('puppet', puppet.latitude, puppet.longitude) AS g;
			metres := attack.distance(latitude, longitude, puppet.latitude, puppet.longitude);
		END IF;
		PERFORM rapport.act_as((SELECT a.person_id FROM attack.agent AS a WHERE a.role = 'viewer'), true);
		CASE oracle
		WHEN 'bucket' THEN
			near := coalesce((SELECT p.distance_km * 1000 <= metres FROM rapport.person(target.person_id) AS p), false);
		WHEN 'filter' THEN
			PERFORM rapport.set_preference('date', jsonb_build_object('max_distance_km', metres / 1000));
			near := EXISTS (SELECT FROM rapport.discover(page_size => 100) AS d WHERE d.person_id = target.person_id);
			PERFORM rapport.set_preference('date', '{"max_distance_km": null}');
		ELSE
			near := (SELECT d.person_id = target.person_id
					 FROM rapport.discover(page_size => 100) WITH ORDINALITY AS d
					 WHERE d.person_id IN (target.person_id, accomplice)
					 ORDER BY d.ordinality
					 LIMIT 1);
		END CASE;
		PERFORM rapport.act_as(NULL, true);
	ELSE
		SELECT s.* INTO latitude, longitude FROM attack.stand(latitude, longitude) AS s;
		viewer := rapport.match_key(0, latitude, longitude, max_distance_km => CASE oracle WHEN 'filter' THEN metres / 1000 END);
		IF oracle = 'bucket' THEN
			near := coalesce(rapport.distance_bucket(rapport.match_distance_m(viewer, target.key)) * 1000 <= metres, false);
		ELSE
			query := rapport.match_query(viewer, '2026-01-01');
			IF oracle = 'filter' THEN
				near := target.key OPERATOR(rapport.@@) query;
			ELSE
				SELECT s.* INTO puppet FROM attack.stand(puppet.latitude, puppet.longitude) AS s;
				metres := attack.distance(latitude, longitude, puppet.latitude, puppet.longitude);
				near := target.key OPERATOR(rapport.<->) query
					<= rapport.match_key(-1, puppet.latitude, puppet.longitude) OPERATOR(rapport.<->) query;
			END IF;
		END IF;
	END IF;
	INSERT INTO attack.answer VALUES (target.n, current_setting('attack.grid')::boolean, oracle, latitude, longitude, metres, near);
END $$;

-- Searches a ray from a guess for where the answer turns, and notes the distances measured there.
CREATE FUNCTION attack.measure(oracle text, target attack.target, latitude float8, longitude float8, bearing float8, metres float8) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	tolerance float8 := greatest(current_setting('attack.tolerance')::float8, CASE WHEN current_setting('attack.grid')::boolean THEN 100 END);
	low float8 := 0;
	high float8 := 2.2 * metres;
	middle float8;
	here record;
	inside record;
	outside record;
BEGIN
	IF oracle = 'rank' THEN
		-- The attacker stays, the accomplice moves.
		SELECT w.* INTO here FROM attack.walk(latitude, longitude, bearing, metres) AS w;
	END IF;
	WHILE high - low > tolerance LOOP
		middle := (low + high) / 2;
		IF oracle = 'rank' THEN
			SELECT a.* INTO here FROM attack.ask(oracle, target, here.latitude, here.longitude, middle) AS a;
			IF here.near THEN high := middle; inside := here; ELSE low := middle; outside := here; END IF;
		ELSE
			SELECT a.* INTO here FROM attack.walk(latitude, longitude, bearing, middle) AS w, attack.ask(oracle, target, w.latitude, w.longitude, metres) AS a;
			IF here.near THEN low := middle; inside := here; ELSE high := middle; outside := here; END IF;
		END IF;
	END LOOP;
	-- No turn: the guess was too far off for this ray.
	IF inside IS NOT NULL AND outside IS NOT NULL THEN
		INSERT INTO attack.measured
		SELECT target.n, current_setting('attack.grid')::boolean, oracle, m.*
		FROM (VALUES (inside.latitude, inside.longitude, inside.metres), (outside.latitude, outside.longitude, outside.metres)) AS m;
	END IF;
END $$;

-- The point that fits the distances best, by Gauss and Newton.
CREATE FUNCTION attack.solve(places float8[], INOUT latitude float8, INOUT longitude float8)
LANGUAGE plpgsql AS $$
DECLARE
	s record;
	north float8;
	east float8;
	step float8;
BEGIN
	FOR i IN 1..25 LOOP
		SELECT sum(c * c) + 1e-6 AS cc, sum(c * e) AS ce, sum(e * e) + 1e-6 AS ee, sum(c * r) AS cr, sum(e * r) AS er INTO s
		FROM (SELECT cosd(b) AS c, sind(b) AS e, r
			  FROM (SELECT attack.bearing(latitude, longitude, places[k][1], places[k][2]) AS b,
						   attack.distance(latitude, longitude, places[k][1], places[k][2]) - places[k][3] AS r
					FROM generate_subscripts(places, 1) AS k) AS x) AS y;
		north := (s.cr * s.ee - s.er * s.ce) / (s.cc * s.ee - s.ce ^ 2);
		east := (s.er * s.cc - s.cr * s.ce) / (s.cc * s.ee - s.ce ^ 2);
		step := sqrt(north ^ 2 + east ^ 2);
		SELECT w.* INTO latitude, longitude FROM attack.walk(latitude, longitude, atan2d(east, north), least(step, 20000)) AS w;
		EXIT WHEN step < 0.01;
	END LOOP;
END $$;

-- The centre of the cell near a guess that contradicts the fewest answers, of those the nearest.
CREATE FUNCTION attack.best_cell(target attack.target, oracles text[], INOUT latitude float8, INOUT longitude float8)
LANGUAGE plpgsql AS $$
DECLARE
	guess_latitude float8 := latitude;
	guess_longitude float8 := longitude;
BEGIN
	SELECT c.latitude, c.longitude INTO latitude, longitude
	FROM (SELECT DISTINCT s.latitude, s.longitude
		  FROM generate_series(0, 350, 10) AS bearing, generate_series(0, 2000, 400) AS metres,
			   attack.walk(guess_latitude, guess_longitude, bearing, metres) AS w, attack.stand(w.latitude, w.longitude) AS s) AS c
	CROSS JOIN LATERAL rapport.match_key(1, c.latitude, c.longitude) AS k
	ORDER BY (SELECT count(*) FILTER (WHERE (rapport.match_distance_m(k, rapport.match_key(2, a.latitude, a.longitude)) <= a.metres + 0.01) <> a.near)
			  FROM attack.answer AS a
			  WHERE a.n = target.n AND a.grid AND a.oracle = ANY (oracles)),
			 attack.distance(c.latitude, c.longitude, guess_latitude, guess_longitude)
	LIMIT 1;
END $$;

-- The whole attack on one person: by each oracle alone, and by all together.
CREATE FUNCTION attack.locate(target attack.target) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	on_grid boolean := current_setting('attack.grid')::boolean;
	bearings integer := current_setting('attack.bearings')::integer;
	alone text;
	used text[];
	first record;
	guess record;
	estimate record;
BEGIN
	-- What everybody knows: the town.
	SELECT w.* INTO first FROM attack.walk(target.latitude, target.longitude, target.n * 137.5, 500 + target.n * 7919 % 9500) AS w;
	FOREACH alone IN ARRAY ARRAY['bucket', 'filter', 'rank'] LOOP
		PERFORM attack.measure(alone, target, first.latitude, first.longitude, bearing, 20000) FROM generate_series(0, 270, 90) AS bearing;
		SELECT s.* INTO guess FROM attack.solve((SELECT array_agg(ARRAY[m.latitude, m.longitude, m.metres]) FROM attack.measured AS m
			WHERE m.n = target.n AND m.grid = on_grid AND m.oracle = alone), first.latitude, first.longitude) AS s;
		DELETE FROM attack.measured AS m WHERE m.n = target.n AND m.grid = on_grid AND m.oracle = alone;
		PERFORM attack.measure(alone, target, guess.latitude, guess.longitude, 360.0 / bearings * i + 11, CASE WHEN i % 2 = 0 OR alone = 'bucket' THEN 2000 ELSE 3000 END)
		FROM generate_series(1, bearings) AS i;
	END LOOP;
	FOREACH alone IN ARRAY ARRAY['bucket', 'filter', 'rank', 'all'] LOOP
		used := CASE alone WHEN 'all' THEN '{bucket,filter,rank}' ELSE ARRAY[alone] END;
		SELECT s.* INTO estimate FROM attack.solve((SELECT array_agg(ARRAY[m.latitude, m.longitude, m.metres]) FROM attack.measured AS m
			WHERE m.n = target.n AND m.grid = on_grid AND m.oracle = ANY (used)), first.latitude, first.longitude) AS s;
		IF on_grid THEN
			SELECT b.* INTO estimate FROM attack.best_cell(target, used, estimate.latitude, estimate.longitude) AS b;
		END IF;
		INSERT INTO attack.result VALUES (target.n, on_grid, alone, estimate.latitude, estimate.longitude,
			attack.distance(estimate.latitude, estimate.longitude, target.latitude, target.longitude));
	END LOOP;
END $$;
CREATE INDEX ON attack.answer (n);
CREATE INDEX ON attack.measured (n);

-- Filled by the caller from test/data/cities.tsv.
CREATE TABLE attack.city (n integer, name text, country text, latitude float8, longitude float8, population integer);

-- Whom to look for: in towns, in the country, around the poles and at the date line, the same for the same seed.
CREATE FUNCTION attack.make_targets(wanted integer, seed float8) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM setseed(seed);
	INSERT INTO attack.target (n, kind, latitude, longitude)
	SELECT i, k.kind, w.latitude, w.longitude
	FROM generate_series(1, wanted) AS i
	CROSS JOIN LATERAL (SELECT (ARRAY['town', 'town', 'town', 'country', 'country', 'country', 'pole', 'date line'])[1 + i % 8] AS kind, i AS once) AS k
	CROSS JOIN LATERAL (SELECT random() AS a, random() AS b, random() AS c, i AS once) AS r
	CROSS JOIN LATERAL (SELECT x.latitude, x.longitude FROM attack.city AS x ORDER BY x.n OFFSET floor(r.a * (SELECT count(*) FROM attack.city)) LIMIT 1) AS t
	CROSS JOIN LATERAL (
		SELECT CASE k.kind WHEN 'town' THEN t.latitude WHEN 'pole' THEN 90 * sign(r.b - 0.5) ELSE degrees(asin(1.8 * r.b - 0.9)) END AS latitude,
			   CASE k.kind WHEN 'town' THEN t.longitude WHEN 'date line' THEN 180 ELSE 360 * r.a - 180 END AS longitude) AS at
	CROSS JOIN LATERAL attack.walk(at.latitude, at.longitude, 360 * r.c, 5000 * sqrt(r.b * 7919 - floor(r.b * 7919))) AS w;
END $$;

-- Prepares the targets for the world set by attack.grid, and attacks them.
CREATE FUNCTION attack.run() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	target attack.target;
BEGIN
	FOR target IN SELECT t.* FROM attack.target AS t ORDER BY t.n LOOP
		IF current_setting('attack.public')::boolean THEN
			IF target.person_id IS NULL THEN
				target.person_id := attack.new_agent(NULL, target.latitude, target.longitude);
				UPDATE attack.target AS t SET person_id = target.person_id WHERE t.n = target.n;
			END IF;
			IF NOT current_setting('attack.grid')::boolean THEN
				PERFORM attack.put(target.person_id, target.latitude, target.longitude);
			END IF;
		ELSE
			SELECT rapport.match_key(target.n, s.latitude, s.longitude) INTO target.key FROM attack.stand(target.latitude, target.longitude) AS s;
		END IF;
		PERFORM attack.locate(target);
	END LOOP;
END $$;

CREATE VIEW attack.summary AS
SELECT r.grid, r.oracle, count(*) AS targets,
	   round(percentile_cont(0.5) WITHIN GROUP (ORDER BY r.off_metres)::numeric, 1) AS median_m,
	   round(percentile_cont(0.9) WITHIN GROUP (ORDER BY r.off_metres)::numeric, 1) AS p90_m,
	   round(100.0 * count(*) FILTER (WHERE r.off_metres <= 50) / count(*), 2) AS within50_pct,
	   (SELECT round(count(*)::numeric / count(DISTINCT a.n)) FROM attack.answer AS a
		WHERE a.grid = r.grid AND (a.oracle = r.oracle OR r.oracle = 'all')) AS questions
FROM attack.result AS r
GROUP BY r.grid, r.oracle;
