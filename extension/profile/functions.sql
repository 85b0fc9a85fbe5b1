-- profile: functions and built-in rows.

INSERT INTO rapport.error_code (code, status, title, hint) VALUES
	('managed_attribute', 403, 'people do not say this of themselves', 'The service sets it.'),
	('moved_too_fast', 429, 'nobody travels that fast', 'The place stays as it was; the detail says when it can be that one.'),
	('moves_exhausted', 429, 'the place has changed too often today', 'The place stays as it was; the detail says when it can change again.'),
	('under_age', 422, 'the person is too young', NULL),
	('unknown_attribute', 422, 'there is no such attribute', 'GET /v1/attributes lists them.'),
	('unknown_option', 422, 'the attribute has no such option', 'GET /v1/attributes lists the options of each.'),
	('unknown_mode', 422, 'there is no such mode', NULL);

INSERT INTO rapport.setting_default (name, type, value, minimum, maximum, description) VALUES
	('minimum_age', 'integer', '18', 13, 99, 'Age in years from which people may take part.'),
	('grid_metres', 'integer', '1000', 100, 100000, 'Height of the grid cells, in metres, that positions are snapped to. Stored places keep the grid they were entered with.'),
	('grid_margin', 'float', '0.2', 0, 1, 'How far beyond the border of their cell people stay in it, as a share of grid_metres: who lives at a border does not keep jumping over it.'),
	('cell_people', 'integer', '10', 0, 1000000, 'People a cell must have to be shown; where take_census() found fewer the cell is twice as large, and so on. 0: all cells are small.'),
	('cell_doublings', 'integer', '4', 1, 8, 'How often cells double at most where few people live: 4 makes 16 km of 1.'),
	('census_days', 'integer', '7', 1, 365, 'Days between two counts of take_census(): calls in between count nothing, so that nobody sees at once where people come and go.'),
	('move_max_kmh', 'integer', '1000', 0, 100000, 'Travelling faster than this between two places is refused, in km/h. 0: no limit.'),
	('moves_a_day', 'integer', '50', 0, 30000, 'How often a day (UTC) a person may change the grid cell. 0: no limit.'),
	('activity_step_days', 'integer', '1', 1, 365,
	 'Days after which the active day of a person is noted anew. 1: each day; more spares writes to the match index, and people seem active up to so many days less one earlier than they were.');

INSERT INTO rapport.dump_exception (rel, reason) VALUES
	('rapport.mode', 'built-in rows are made by the install script'),
	('rapport.step_default', 'built in');

INSERT INTO rapport.distribution (tab, grp, col) VALUES
	('rapport.mode', 'R', NULL),
	('rapport.attribute', 'R', NULL),
	('rapport.attribute_option', 'R', NULL),
	('rapport.attribute_label', 'R', NULL),
	('rapport.profile', 'U', 'person_id'),
	('rapport.census', 'R', NULL),
	('rapport.crowded_cell', 'R', NULL),
	('rapport.activity', 'U', 'person_id'),
	('rapport.preference', 'U', 'person_id'),
	('rapport.step_default', 'R', NULL),
	('rapport.required_step', 'R', NULL),
	('rapport.import_run', 'L', 'source'),
	('rapport.import_reject', 'L', 'source');

INSERT INTO rapport.personal_data (tab, col, class, on_erase, reason)
SELECT a.attrelid, a.attname, 'none', 'keep', 'catalogue of the app'
FROM pg_catalog.pg_attribute AS a
WHERE a.attrelid IN ('rapport.mode'::regclass, 'rapport.attribute'::regclass, 'rapport.attribute_option'::regclass,
					 'rapport.attribute_label'::regclass, 'rapport.step_default'::regclass, 'rapport.required_step'::regclass)
AND a.attnum > 0
AND NOT a.attisdropped;
INSERT INTO rapport.personal_data (tab, col, class, on_erase, reason)
SELECT a.attrelid, a.attname, 'none', 'keep', 'progress of an import'
FROM pg_catalog.pg_attribute AS a
WHERE a.attrelid = 'rapport.import_run'::regclass
AND a.attnum > 0
AND NOT a.attisdropped
AND a.attname <> 'done_to';
INSERT INTO rapport.personal_data (tab, col, class, on_erase, reason) VALUES
	('rapport.import_run', 'done_to', 'identity', 'keep', 'where a running import is; cleared at its end'),
	('rapport.import_reject', 'source', 'none', 'keep', 'name of a table'),
	('rapport.import_reject', 'reject', 'none', 'keep', 'a count'),
	('rapport.import_reject', 'external_id', 'identity', 'delete', NULL),
	('rapport.import_reject', 'row', 'content', 'delete', NULL),
	('rapport.import_reject', 'reasons', 'content', 'delete', NULL),
	('rapport.profile', 'person_id', 'technical', 'delete', NULL),
	('rapport.profile', 'display_name', 'identity', 'delete', NULL),
	('rapport.profile', 'birth_date', 'demographic', 'delete', NULL),
	('rapport.profile', 'about', 'content', 'delete', NULL),
	('rapport.profile', 'cell', 'location', 'delete', NULL),
	('rapport.profile', 'place', 'location', 'delete', NULL),
	('rapport.profile', 'place_at', 'location', 'delete', NULL),
	('rapport.profile', 'moves_on', 'location', 'delete', NULL),
	('rapport.profile', 'moves', 'location', 'delete', NULL),
	('rapport.census', 'one', 'none', 'keep', 'when people were counted'),
	('rapport.census', 'taken_at', 'none', 'keep', 'when people were counted'),
	('rapport.census', 'grid_metres', 'none', 'keep', 'when people were counted'),
	('rapport.crowded_cell', 'cell', 'none', 'keep', 'where many people are, not who'),
	('rapport.crowded_cell', 'level', 'none', 'keep', 'where many people are, not who'),
	('rapport.profile', 'traits', 'demographic', 'delete', NULL),
	('rapport.profile', 'numbers', 'demographic', 'delete', NULL),
	('rapport.profile', 'tags', 'content', 'delete', NULL),
	('rapport.profile', 'embedding', 'behaviour', 'delete', NULL),
	('rapport.profile', 'paused', 'technical', 'delete', NULL),
	('rapport.profile', 'created_at', 'technical', 'delete', NULL),
	('rapport.profile', 'updated_at', 'technical', 'delete', NULL),
	('rapport.activity', 'person_id', 'technical', 'delete', NULL),
	('rapport.activity', 'active_on', 'behaviour', 'delete', NULL),
	('rapport.preference', 'person_id', 'technical', 'delete', NULL),
	('rapport.preference', 'mode', 'demographic', 'delete', NULL),
	('rapport.preference', 'enabled', 'demographic', 'delete', NULL),
	('rapport.preference', 'accepts', 'demographic', 'delete', NULL),
	('rapport.preference', 'strengths', 'demographic', 'delete', NULL),
	('rapport.preference', 'number_min', 'demographic', 'delete', NULL),
	('rapport.preference', 'number_max', 'demographic', 'delete', NULL),
	('rapport.preference', 'number_unset', 'demographic', 'delete', NULL),
	('rapport.preference', 'age_min', 'demographic', 'delete', NULL),
	('rapport.preference', 'age_max', 'demographic', 'delete', NULL),
	('rapport.preference', 'max_distance_km', 'location', 'delete', NULL),
	('rapport.preference', 'updated_at', 'technical', 'delete', NULL);

INSERT INTO rapport.subject (tab, col, own, find) VALUES
	('rapport.import_run', 'done_to', true,
	 't.done_to IN (SELECT e.external_id FROM rapport.external_identity AS e WHERE e.person_id = ANY ($1))'),
	('rapport.import_reject', 'external_id', true,
	 't.external_id IN (SELECT e.external_id FROM rapport.external_identity AS e WHERE e.person_id = ANY ($1))');

INSERT INTO rapport.hook_event (event, ids, description) VALUES
	('people_imported', 'people added, people updated', 'An import has come to its end.');

-- An update keeps the rows that preferences point at.
INSERT INTO rapport.mode (mode, code, builtin) VALUES
	(1, 'date', true),
	(2, 'friends', true)
ON CONFLICT (mode) DO UPDATE SET code = excluded.code, builtin = true;

DELETE FROM rapport.step_default;
INSERT INTO rapport.step_default (step, required, description) VALUES
	('display_name', true, 'a name to be shown'),
	('birth_date', true, 'the date of birth'),
	('place', true, 'a place'),
	('preferences', true, 'at least one mode with preferences, enabled'),
	('about', false, 'a text about oneself'),
	('tags', false, 'at least one tag'),
	('embedding', false, 'an embedding made by the app');

-- Age, place and text

CREATE OR REPLACE FUNCTION rapport.person_age(birth_date date, on_date date) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT extract(year FROM age(on_date::timestamp, birth_date::timestamp))::integer;
END;
COMMENT ON FUNCTION rapport.person_age(date, date) IS
'Completed years on that day. Somebody born on 29 February grows older on 1 March in years without one.';

CREATE OR REPLACE FUNCTION rapport.grid_cell(latitude double precision, longitude double precision, metres integer,
											 margin double precision DEFAULT 0, current bigint DEFAULT NULL) RETURNS bigint
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'profile_grid_cell_sql';
COMMENT ON FUNCTION rapport.grid_cell(double precision, double precision, integer, double precision, bigint) IS
'The number of the grid cell of a position in degrees: bands of equal height (metres) from pole to pole, divided into cells about as wide. The cell current is kept while the position is no farther from it than margin, a share of metres. NULL for a position that does not exist.';

CREATE OR REPLACE FUNCTION rapport.cell_parent(cell bigint, level integer) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'profile_cell_parent';
COMMENT ON FUNCTION rapport.cell_parent(bigint, integer) IS
'The cell around a cell whose side is 2^level times that of the smallest. Every cell lies in exactly one of each level.';

CREATE OR REPLACE FUNCTION rapport.cell_latitude(cell bigint) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'profile_cell_latitude';
COMMENT ON FUNCTION rapport.cell_latitude(bigint) IS 'Degrees north of the centre of a cell.';

CREATE OR REPLACE FUNCTION rapport.cell_longitude(cell bigint) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'profile_cell_longitude';
COMMENT ON FUNCTION rapport.cell_longitude(bigint) IS 'Degrees east of the centre of a cell.';

SELECT pg_catalog.set_config('search_path', pg_catalog.format('pg_catalog, rapport, %I, pg_temp', n.nspname), true)
FROM pg_catalog.pg_extension AS e
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
WHERE e.extname OPERATOR(pg_catalog.=) 'postgis';

CREATE OR REPLACE FUNCTION rapport.make_place(latitude double precision, longitude double precision) RETURNS geography
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT st_setsrid(st_makepoint(longitude, latitude), 4326)::geography;
END;
COMMENT ON FUNCTION rapport.make_place(double precision, double precision) IS 'A point from degrees on WGS 84; NULL when one is NULL. For centres of cells.';

CREATE OR REPLACE FUNCTION rapport.place_latitude(place geography) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT st_y(place::geometry);
END;
COMMENT ON FUNCTION rapport.place_latitude(geography) IS 'Degrees north of a point.';

CREATE OR REPLACE FUNCTION rapport.place_longitude(place geography) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT st_x(place::geometry);
END;
COMMENT ON FUNCTION rapport.place_longitude(geography) IS 'Degrees east of a point.';

CREATE OR REPLACE FUNCTION rapport.place_distance(one geography, other geography) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT st_distance(one, other, false);
END;
COMMENT ON FUNCTION rapport.place_distance(geography, geography) IS 'Metres between two places along a great circle.';

CREATE OR REPLACE FUNCTION rapport.cell_place(cell bigint) RETURNS geography
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT rapport.make_place(rapport.cell_latitude(cell), rapport.cell_longitude(cell));
END;
COMMENT ON FUNCTION rapport.cell_place(bigint) IS 'The centre of a cell.';

SELECT pg_catalog.set_config('search_path', 'pg_catalog, rapport, pg_temp', true);

CREATE OR REPLACE FUNCTION rapport.clean_text(name text, value text, max_characters integer, lines boolean DEFAULT false) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'profile_clean_text_sql';
COMMENT ON FUNCTION rapport.clean_text(text, text, integer, boolean) IS
'The text as it is stored: NFC, without white space at either end; line feeds only where lines are allowed. name is what errors call it. Errors: invalid_value (a control character, nothing visible, more than 64 combining marks in a row), out_of_range (too long, counted in characters).';

-- Reading what people send. The rules stand in C once; updates and imports share them.

CREATE OR REPLACE FUNCTION rapport.profile_rules() RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
BEGIN
	RETURN pg_catalog.jsonb_build_object(
		'minimum_age', rapport.setting_int('minimum_age'),
		'attributes', (
			SELECT coalesce(pg_catalog.jsonb_object_agg(a.code, CASE a.kind
				WHEN 'choice' THEN pg_catalog.jsonb_build_object('id', a.attribute_id, 'options', (
					SELECT coalesce(pg_catalog.jsonb_object_agg(o.code, o.option), '{}')
					FROM rapport.attribute_option AS o
					WHERE o.attribute_id = a.attribute_id))
				ELSE pg_catalog.jsonb_build_object('id', a.attribute_id, 'slot', a.slot, 'minimum', a.minimum,
												   'maximum', a.maximum, 'step', a.step)
				END), '{}')
			FROM rapport.attribute AS a));
END;
$$;
COMMENT ON FUNCTION rapport.profile_rules() IS 'The catalogue of attributes and the minimum age, as read_profile() and read_preference() take them.';

CREATE OR REPLACE FUNCTION rapport.read_profile(stored rapport.profile, body jsonb, rules jsonb,
												OUT display_name text, OUT birth_date date, OUT about text, OUT traits smallint[],
												OUT numbers smallint[], OUT tags text[], OUT embedding real[], OUT paused boolean,
												OUT problems text[])
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'profile_read_profile';
COMMENT ON FUNCTION rapport.read_profile(rapport.profile, jsonb, jsonb) IS
'Applies a change to a stored profile (NULL: none yet): absent keys stay, null clears. problems holds up to 20 of "code: detail", NULL when all is well.';

CREATE OR REPLACE FUNCTION rapport.read_preference(stored rapport.preference, body jsonb, rules jsonb,
												   OUT enabled boolean, OUT accepts bigint[], OUT strengths smallint[],
												   OUT number_min smallint[], OUT number_max smallint[], OUT number_unset boolean[],
												   OUT age_min smallint, OUT age_max smallint, OUT max_distance_km integer,
												   OUT problems text[])
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'profile_read_preference';
COMMENT ON FUNCTION rapport.read_preference(rapport.preference, jsonb, jsonb) IS
'Applies a change to a stored preference (NULL: none yet): absent keys stay, null clears. problems as in read_profile().';

CREATE OR REPLACE FUNCTION rapport.read_place(latitude jsonb, longitude jsonb, metres integer, margin double precision, current bigint)
RETURNS bigint
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'profile_read_place';
COMMENT ON FUNCTION rapport.read_place(jsonb, jsonb, integer, double precision, bigint) IS
'grid_cell() of JSON numbers, or strings that are numbers; NULL for anything else.';

CREATE OR REPLACE FUNCTION rapport.read_date(value text) RETURNS date
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'profile_read_date';
COMMENT ON FUNCTION rapport.read_date(text) IS 'The date of yyyy-mm-dd; NULL when it is none.';

CREATE OR REPLACE FUNCTION rapport.fail_first(problems text[]) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
	PERFORM rapport.fail(pg_catalog.split_part(problems[1], ': ', 1),
						 pg_catalog.substr(problems[1], pg_catalog.strpos(problems[1], ': ') + 2));
END;
$$;
COMMENT ON FUNCTION rapport.fail_first(text[]) IS 'Raises the first of the problems of read_profile() or read_preference().';

-- Showing what is stored. These are inlined into the query that uses them.

CREATE OR REPLACE FUNCTION rapport.attributes_shown(traits smallint[], numbers smallint[]) RETURNS jsonb
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'profile_attributes_shown';
COMMENT ON FUNCTION rapport.attributes_shown(smallint[], smallint[]) IS
'The attributes set in the traits and numbers of a profile as {code: option code or number}. Use in a query with FROM: it reads the catalogue once a query.';

CREATE OR REPLACE FUNCTION rapport.attributes_of(ids bigint[]) RETURNS TABLE (person_id bigint, attributes jsonb)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT p.person_id, rapport.attributes_shown(p.traits, p.numbers)
	FROM rapport.profile AS p
	WHERE p.person_id = ANY (attributes_of.ids);
END;
COMMENT ON FUNCTION rapport.attributes_of(bigint[]) IS
'A row for each of the people who has a profile: the attributes set in it as {code: option code or number}. Use in FROM, there it is inlined.';

CREATE OR REPLACE FUNCTION rapport.preferences_of(person_id bigint) RETURNS TABLE (mode text, preference jsonb)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT m.code, jsonb_build_object(
		'enabled', p.enabled,
		'accepts', (
			SELECT coalesce(jsonb_object_agg(a.code, (
				SELECT jsonb_agg(o.code ORDER BY o.option)
				FROM (SELECT 0::smallint, NULL::text
					  UNION ALL
					  SELECT x.option, x.code FROM rapport.attribute_option AS x WHERE x.attribute_id = a.attribute_id) AS o (option, code)
				WHERE (p.accepts[a.attribute_id] >> o.option) & 1 = 1)), '{}')
			FROM rapport.attribute AS a
			WHERE p.accepts[a.attribute_id] IS NOT NULL),
		'ranges', (
			SELECT coalesce(jsonb_object_agg(a.code,
				jsonb_build_array(trim_scale(a.minimum + a.step * p.number_min[a.slot + 1]),
								  trim_scale(a.minimum + a.step * p.number_max[a.slot + 1]))
				|| CASE WHEN p.number_unset[a.slot + 1] THEN '[null]'::jsonb ELSE '[]'::jsonb END), '{}')
			FROM rapport.attribute AS a
			WHERE p.number_min[a.slot + 1] IS NOT NULL),
		'strengths', (
			SELECT coalesce(jsonb_object_agg(a.code, (ARRAY['two_way', 'one_way', 'soft'])[p.strengths[a.attribute_id]]), '{}')
			FROM rapport.attribute AS a
			WHERE p.strengths[a.attribute_id] BETWEEN 1 AND 3),
		'age', CASE WHEN p.age_min IS NOT NULL OR p.age_max IS NOT NULL THEN jsonb_build_array(p.age_min, p.age_max) END,
		'max_distance_km', p.max_distance_km)
	FROM rapport.preference AS p
	JOIN rapport.mode AS m ON m.mode = p.mode
	WHERE p.person_id = preferences_of.person_id;
END;
COMMENT ON FUNCTION rapport.preferences_of(bigint) IS 'The preferences of a person, one row a mode, in the shape that set_preference() takes.';

-- Not BEGIN ATOMIC: its use of the row type would keep the table from new columns with a default.
CREATE OR REPLACE FUNCTION rapport.missing_steps(person rapport.profile) RETURNS TABLE (step text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
	SELECT s.step
	-- An array, so that the list is made once a query and not once a person.
	FROM unnest(ARRAY(SELECT coalesce(r.step, d.step)
					  FROM rapport.step_default AS d
					  FULL JOIN rapport.required_step AS r ON r.step = d.step
					  WHERE coalesce(r.required, d.required))) AS s (step)
	WHERE NOT CASE s.step
		WHEN 'display_name' THEN (missing_steps.person).display_name IS NOT NULL
		WHEN 'birth_date' THEN (missing_steps.person).birth_date IS NOT NULL
		WHEN 'place' THEN (missing_steps.person).place IS NOT NULL
		WHEN 'preferences' THEN EXISTS (SELECT FROM rapport.preference AS p
										WHERE p.person_id = (missing_steps.person).person_id AND p.enabled)
		WHEN 'about' THEN (missing_steps.person).about IS NOT NULL
		WHEN 'tags' THEN cardinality((missing_steps.person).tags) > 0
		WHEN 'embedding' THEN (missing_steps.person).embedding IS NOT NULL
		ELSE EXISTS (SELECT FROM rapport.attribute AS a
					 WHERE 'attribute:' || a.code = s.step
					 AND ((missing_steps.person).traits[a.attribute_id] > 0 OR (missing_steps.person).numbers[a.slot + 1] IS NOT NULL))
		END IS TRUE;
$$;
COMMENT ON FUNCTION rapport.missing_steps(rapport.profile) IS
'The required steps that this profile lacks; no rows: complete. WHERE NOT EXISTS (SELECT FROM rapport.missing_steps(p)) is inlined.';

-- Larger cells where few people live

CREATE OR REPLACE FUNCTION rapport.doublings() RETURNS integer
LANGUAGE plpgsql STABLE
AS $$
BEGIN
	RETURN CASE WHEN rapport.setting_int('cell_people') > 0
					 AND EXISTS (SELECT FROM rapport.census AS c WHERE c.grid_metres = rapport.setting_int('grid_metres'))
		THEN rapport.setting_int('cell_doublings')
		ELSE 0 END;
END;
$$;
COMMENT ON FUNCTION rapport.doublings() IS 'How often cells double at most: the setting cell_doublings, 0 before the first census of this grid.';

CREATE OR REPLACE FUNCTION rapport.shown_cell(cell bigint, doublings integer) RETURNS TABLE (shown bigint)
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT rapport.cell_parent(shown_cell.cell, coalesce(min(c.level)::integer, shown_cell.doublings))
	FROM generate_series(0, shown_cell.doublings - 1) AS n
	JOIN rapport.crowded_cell AS c ON c.cell = rapport.cell_parent(shown_cell.cell, n);
END;
COMMENT ON FUNCTION rapport.shown_cell(bigint, integer) IS
'One row: the smallest cell around a cell that has enough people, or the largest there is. Use in FROM, there it is inlined.';

-- Changes

CREATE OR REPLACE FUNCTION rapport.note_activity(ids bigint[]) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	today date := rapport.today();
	latest date := today - rapport.setting_int('activity_step_days');
	noted bigint[];
BEGIN
	-- Whose day is late enough is left alone: an upsert would write a lock of the row.
	WITH written AS (
		INSERT INTO rapport.activity AS a (person_id, active_on)
		SELECT i, today
		FROM unnest(ids) AS i
		WHERE NOT EXISTS (SELECT FROM rapport.activity AS n WHERE n.person_id = i AND n.active_on > latest)
		ON CONFLICT ON CONSTRAINT activity_pkey DO UPDATE SET active_on = excluded.active_on
		WHERE a.active_on <= latest
		RETURNING a.person_id)
	SELECT pg_catalog.array_agg(w.person_id) INTO noted FROM written AS w;
	RETURN noted;
END;
$$;
COMMENT ON FUNCTION rapport.note_activity(bigint[]) IS
'Notes today as the active day of those whose noted day is activity_step_days old or older, and returns them; NULL if there are none.';

CREATE OR REPLACE FUNCTION rapport.people_changed(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	PERFORM rapport.note_activity(ids);
	PERFORM rapport.run_hooks('person_changed', ids);
END;
$$;
COMMENT ON FUNCTION rapport.people_changed(bigint[]) IS 'Marks people active today and tells the other topics that they changed.';

CREATE OR REPLACE FUNCTION rapport.mark_active(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	changed bigint[];
BEGIN
	changed := rapport.note_activity(ids);
	IF changed IS NOT NULL THEN
		PERFORM rapport.run_hooks('person_changed', changed);
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.mark_active(bigint[]) IS
'Marks people active today, for writes of other topics; person_changed hooks run only for those whom note_activity() notes.';

CREATE OR REPLACE FUNCTION rapport.my_profile(OUT person_id bigint, OUT display_name text, OUT birth_date date, OUT age integer,
											  OUT about text, OUT attributes jsonb, OUT tags text[], OUT embedding real[],
											  OUT latitude double precision, OUT longitude double precision,
											  OUT place_at timestamp with time zone, OUT paused boolean, OUT preferences jsonb,
											  OUT missing text[], OUT updated_at timestamp with time zone)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	mine rapport.profile;
BEGIN
	SELECT p.* INTO mine FROM rapport.profile AS p WHERE p.person_id = me;
	person_id := me;
	display_name := mine.display_name;
	birth_date := mine.birth_date;
	age := rapport.person_age(mine.birth_date, rapport.today());
	about := mine.about;
	attributes := coalesce((SELECT a.attributes FROM rapport.attributes_of(ARRAY[me]) AS a), '{}');
	tags := coalesce(mine.tags, '{}');
	embedding := mine.embedding;
	latitude := rapport.place_latitude(mine.place);
	longitude := rapport.place_longitude(mine.place);
	place_at := mine.place_at;
	paused := coalesce(mine.paused, false);
	SELECT coalesce(jsonb_object_agg(p.mode, p.preference), '{}') INTO preferences FROM rapport.preferences_of(me) AS p;
	SELECT coalesce(array_agg(s.step ORDER BY s.step COLLATE "C"), '{}') INTO missing FROM rapport.missing_steps(mine) AS s;
	updated_at := mine.updated_at;
END;
$$;
COMMENT ON FUNCTION rapport.my_profile() IS
'Everything I have said: attributes as {code: option or number}, preferences as {mode: what set_preference takes}, latitude and longitude of my grid cell in degrees, and the required steps still missing (none: I can be a candidate). Errors: authentication_required.';
GRANT EXECUTE ON FUNCTION rapport.my_profile() TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.update_profile(body jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	mine rapport.profile;
	change record;
	managed text;
BEGIN
	SELECT a.code INTO managed
	FROM rapport.attribute AS a
	WHERE a.managed
	AND jsonb_typeof(update_profile.body -> 'attributes') = 'object'
	AND update_profile.body -> 'attributes' ? a.code
	LIMIT 1;
	IF managed IS NOT NULL THEN
		PERFORM rapport.fail('managed_attribute', format('%I is for the service to set.', managed));
	END IF;
	SELECT p.* INTO mine FROM rapport.profile AS p WHERE p.person_id = me FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		INSERT INTO rapport.profile (person_id, created_at, updated_at)
		VALUES (me, rapport.now(), rapport.now())
		ON CONFLICT DO NOTHING;
		SELECT p.* INTO mine FROM rapport.profile AS p WHERE p.person_id = me FOR NO KEY UPDATE;
	END IF;
	SELECT r.* INTO change FROM rapport.read_profile(mine, update_profile.body, rapport.profile_rules()) AS r;
	IF change.problems IS NOT NULL THEN
		PERFORM rapport.fail_first(change.problems);
	END IF;
	UPDATE rapport.profile AS p
	SET display_name = change.display_name,
		birth_date = change.birth_date,
		about = change.about,
		traits = change.traits,
		numbers = change.numbers,
		tags = change.tags,
		embedding = change.embedding,
		paused = change.paused,
		updated_at = rapport.now()
	WHERE p.person_id = me;
	PERFORM rapport.people_changed(ARRAY[me]);
END;
$$;
COMMENT ON FUNCTION rapport.update_profile(jsonb) IS
'Changes my profile; keys that are absent stay as they are, null clears. display_name (1 to 60 characters), birth_date (yyyy-mm-dd), about (up to 2000, may have lines), tags (up to 50 of 1 to 40 characters, stored in lower case, each once), attributes {code: option code, number or null}, embedding (1 to 32 numbers), paused (true: nobody discovers me). Texts are stored in NFC without white space at the ends. Errors: unknown_field, wrong_type, invalid_value, out_of_range, unknown_attribute, unknown_option, managed_attribute, under_age.';
GRANT EXECUTE ON FUNCTION rapport.update_profile(jsonb) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.set_attributes_for(person_id bigint, attributes jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	stored rapport.profile;
	change record;
BEGIN
	SELECT p.* INTO stored FROM rapport.profile AS p WHERE p.person_id = set_attributes_for.person_id FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		PERFORM rapport.fail('not_found', 'The person has no profile.');
	END IF;
	SELECT r.* INTO change
	FROM rapport.read_profile(stored, jsonb_build_object('attributes', set_attributes_for.attributes), rapport.profile_rules()) AS r;
	IF change.problems IS NOT NULL THEN
		PERFORM rapport.fail_first(change.problems);
	END IF;
	UPDATE rapport.profile AS p
	SET traits = change.traits,
		numbers = change.numbers,
		updated_at = rapport.now()
	WHERE p.person_id = set_attributes_for.person_id;
	PERFORM rapport.run_hooks('person_changed', ARRAY[set_attributes_for.person_id]);
END;
$$;
COMMENT ON FUNCTION rapport.set_attributes_for(bigint, jsonb) IS
'Sets attributes of a person {code: option code, number or null}, managed ones too; absent ones stay. Their day of activity stays. For the service. Errors: not_found, wrong_type, invalid_value, out_of_range, unknown_attribute, unknown_option.';
GRANT EXECUTE ON FUNCTION rapport.set_attributes_for(bigint, jsonb) TO rapport_service;

CREATE OR REPLACE FUNCTION rapport.count_move(mine rapport.profile, new_cell bigint, grid integer, moment timestamp with time zone)
RETURNS integer
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	moves_today integer := 1 + CASE WHEN mine.moves_on = rapport.today() THEN mine.moves ELSE 0 END;
	moves_a_day integer := rapport.setting_int('moves_a_day');
	kmh integer := rapport.setting_int('move_max_kmh');
	-- Centres of cells can be so much farther apart than those who are in them.
	metres double precision := rapport.place_distance(rapport.cell_place(mine.cell), rapport.cell_place(new_cell)) - 2 * grid;
	arrival timestamp with time zone;
BEGIN
	IF moves_a_day > 0 AND moves_today > moves_a_day THEN
		PERFORM rapport.fail('moves_exhausted', pg_catalog.format('A place can change %s times a day, and again from %sT00:00:00Z.',
																   moves_a_day, rapport.today() + 1));
	END IF;
	IF kmh > 0 AND metres > 0 THEN
		arrival := pg_catalog.date_trunc('second', mine.place_at + pg_catalog.make_interval(secs => metres * 3.6 / kmh)) + interval '1 s';
		IF arrival > moment THEN
			PERFORM rapport.fail('moved_too_fast', pg_catalog.format('At %s km/h one can be there at %s.', kmh,
				pg_catalog.to_char(arrival AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')));
		END IF;
	END IF;
	-- More than the column holds only where nobody counts.
	RETURN least(moves_today, 30000);
END;
$$;
COMMENT ON FUNCTION rapport.count_move(rapport.profile, bigint, integer, timestamp with time zone) IS
'How often a person has changed the cell today with this move to another. Speed is that between the cells since the last change. Errors: moved_too_fast, moves_exhausted.';

CREATE OR REPLACE FUNCTION rapport.set_place(latitude double precision, longitude double precision) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	grid integer := rapport.setting_int('grid_metres');
	moment timestamp with time zone := rapport.now();
	mine rapport.profile;
	new_cell bigint;
	moves_today integer := 0;
BEGIN
	IF set_place.latitude IS NULL OR set_place.longitude IS NULL THEN
		PERFORM rapport.fail('missing_field', 'A place needs latitude and longitude.');
	END IF;
	SELECT p.* INTO mine FROM rapport.profile AS p WHERE p.person_id = me FOR NO KEY UPDATE;
	new_cell := rapport.grid_cell(set_place.latitude, set_place.longitude, grid, rapport.setting_float('grid_margin'), mine.cell);
	IF new_cell IS NULL THEN
		PERFORM rapport.fail('out_of_range', 'The latitude lies between -90 and 90 degrees, the longitude between -180 and 180.');
	END IF;
	IF mine.person_id IS NULL THEN
		INSERT INTO rapport.profile (person_id, created_at, updated_at)
		VALUES (me, moment, moment)
		ON CONFLICT DO NOTHING;
		-- Not there a moment ago: another session may have set a place since.
		SELECT p.* INTO mine FROM rapport.profile AS p WHERE p.person_id = me FOR NO KEY UPDATE;
	END IF;
	IF new_cell = mine.cell THEN
		PERFORM rapport.mark_active(ARRAY[me]);
		RETURN;
	END IF;
	IF mine.cell IS NOT NULL THEN
		moves_today := rapport.count_move(mine, new_cell, grid, moment);
	END IF;
	UPDATE rapport.profile AS p
	SET cell = new_cell,
		place = rapport.cell_place(s.shown),
		place_at = moment,
		moves_on = rapport.today(),
		moves = moves_today,
		updated_at = moment
	FROM rapport.shown_cell(new_cell, rapport.doublings()) AS s
	WHERE p.person_id = me;
	PERFORM rapport.people_changed(ARRAY[me]);
END;
$$;
COMMENT ON FUNCTION rapport.set_place(double precision, double precision) IS
'Says where I am, in degrees (WGS 84). Only the grid cell around it is kept (about 1 km; the setting grid_metres), and a step over its border (grid_margin) does not change it. Others see the centre of the cell, or of a larger one where few people live. Errors: missing_field, out_of_range, moved_too_fast (move_max_kmh) and moves_exhausted (moves_a_day), both with the time from which it can be; then nothing changes. The first place is free.';
GRANT EXECUTE ON FUNCTION rapport.set_place(double precision, double precision) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.set_preference(mode text, body jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	wanted smallint;
	mine rapport.preference;
	change record;
BEGIN
	SELECT m.mode INTO wanted FROM rapport.mode AS m WHERE m.code = set_preference.mode;
	IF NOT FOUND THEN
		PERFORM rapport.fail('unknown_mode', format('The modes are %s.', (SELECT string_agg(m.code, ', ' ORDER BY m.mode) FROM rapport.mode AS m)));
	END IF;
	SELECT p.* INTO mine FROM rapport.preference AS p WHERE p.person_id = me AND p.mode = wanted FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		INSERT INTO rapport.preference (person_id, mode, updated_at)
		VALUES (me, wanted, rapport.now())
		ON CONFLICT DO NOTHING;
		SELECT p.* INTO mine FROM rapport.preference AS p WHERE p.person_id = me AND p.mode = wanted FOR NO KEY UPDATE;
	END IF;
	SELECT r.* INTO change FROM rapport.read_preference(mine, set_preference.body, rapport.profile_rules()) AS r;
	IF change.problems IS NOT NULL THEN
		PERFORM rapport.fail_first(change.problems);
	END IF;
	UPDATE rapport.preference AS p
	SET enabled = change.enabled,
		accepts = change.accepts,
		strengths = change.strengths,
		number_min = change.number_min,
		number_max = change.number_max,
		number_unset = change.number_unset,
		age_min = change.age_min,
		age_max = change.age_max,
		max_distance_km = change.max_distance_km,
		updated_at = rapport.now()
	WHERE p.person_id = me
	AND p.mode = wanted;
	PERFORM rapport.people_changed(ARRAY[me]);
END;
$$;
COMMENT ON FUNCTION rapport.set_preference(text, jsonb) IS
'Says whom I accept in a mode (date, friends ...); keys that are absent stay as they are, null clears. enabled (false: I take no part), accepts {attribute: [option codes, null for no answer]}, ranges {number: [lowest, highest], null for an open end, and null as a third to accept no answer}, strengths {attribute: two_way (limits whom I see and who sees me), one_way (only whom I see) or soft (only the score)}, age [lowest, highest] in years, max_distance_km (null: everywhere). Errors: unknown_mode, unknown_field, unknown_attribute, unknown_option, wrong_type, invalid_value, out_of_range.';
GRANT EXECUTE ON FUNCTION rapport.set_preference(text, jsonb) TO rapport_user;

-- The catalogue

CREATE OR REPLACE FUNCTION rapport.attributes(locale text DEFAULT NULL)
RETURNS TABLE (code text, label text, kind text, strength text, options jsonb, minimum numeric, maximum numeric, step numeric, managed boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	RETURN QUERY
	WITH best AS (
		SELECT DISTINCT ON (l.attribute_id, l.option) l.attribute_id, l.option, l.label
		FROM rapport.attribute_label AS l
		WHERE l.locale = 'en' OR lower(attributes.locale) = lower(l.locale) OR lower(attributes.locale) LIKE lower(l.locale) || '-%'
		ORDER BY l.attribute_id, l.option,
				 (lower(attributes.locale) = lower(l.locale) OR lower(attributes.locale) LIKE lower(l.locale) || '-%') IS TRUE DESC,
				 length(l.locale) DESC)
	SELECT a.code,
		   coalesce(b.label, a.code),
		   a.kind,
		   a.strength,
		   (SELECT jsonb_agg(jsonb_build_object('code', o.code, 'label', coalesce(ob.label, o.code)) ORDER BY o.option)
			FROM rapport.attribute_option AS o
			LEFT JOIN best AS ob ON ob.attribute_id = o.attribute_id AND ob.option = o.option
			WHERE o.attribute_id = a.attribute_id),
		   a.minimum, a.maximum, a.step, a.managed
	FROM rapport.attribute AS a
	LEFT JOIN best AS b ON b.attribute_id = a.attribute_id AND b.option = 0
	ORDER BY a.attribute_id;
END;
$$;
COMMENT ON FUNCTION rapport.attributes(text) IS
'What people can say about themselves: choices with their options, numbers with their range, each with its label in the locale (de-AT falls back to de, then en, then the code). managed: the service says it of them.';
GRANT EXECUTE ON FUNCTION rapport.attributes(text) TO rapport_anon;

CREATE OR REPLACE FUNCTION rapport.check_code(code text) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
	IF check_code.code IS NULL OR check_code.code !~ '^[a-z][a-z0-9_]{0,39}$' THEN
		PERFORM rapport.fail('invalid_value', 'A code is 1 to 40 lower-case letters, digits and underscores, a letter first.');
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.check_code(text) IS 'Raises invalid_value unless the text can be the code of an attribute or mode.';

CREATE OR REPLACE FUNCTION rapport.define_mode(code text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	next integer;
BEGIN
	PERFORM rapport.check_code(define_mode.code);
	LOCK TABLE rapport.mode IN SHARE ROW EXCLUSIVE MODE;
	IF EXISTS (SELECT FROM rapport.mode AS m WHERE m.code = define_mode.code) THEN
		PERFORM rapport.fail('conflict', format('There is a mode %I already.', define_mode.code));
	END IF;
	SELECT greatest(max(m.mode) + 1, 32) INTO next FROM rapport.mode AS m;
	IF next > 255 THEN
		PERFORM rapport.fail('out_of_range', 'There is room for 224 modes of your own.');
	END IF;
	INSERT INTO rapport.mode (mode, code) VALUES (next, define_mode.code);
END;
$$;
COMMENT ON FUNCTION rapport.define_mode(text) IS
'Adds a mode, such as flatmates, with preferences and candidates of its own. For operators. Errors: invalid_value, conflict, out_of_range.';
GRANT EXECUTE ON FUNCTION rapport.define_mode(text) TO rapport_service;

CREATE OR REPLACE FUNCTION rapport.define_option(attribute text, option text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	known rapport.attribute;
	next integer;
BEGIN
	IF define_option.option IS NULL OR define_option.option !~ '^[a-z0-9][a-z0-9_]{0,39}$' THEN
		PERFORM rapport.fail('invalid_value', 'The code of an option is 1 to 40 lower-case letters, digits and underscores.');
	END IF;
	SELECT a.* INTO known FROM rapport.attribute AS a WHERE a.code = define_option.attribute FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		PERFORM rapport.fail('unknown_attribute', format('%L is not an attribute.', define_option.attribute));
	END IF;
	IF known.kind <> 'choice' THEN
		PERFORM rapport.fail('wrong_type', format('%I is a number and has no options.', known.code));
	END IF;
	IF EXISTS (SELECT FROM rapport.attribute_option AS o WHERE o.attribute_id = known.attribute_id AND o.code = define_option.option) THEN
		PERFORM rapport.fail('conflict', format('%I has the option %I already.', known.code, define_option.option));
	END IF;
	SELECT coalesce(max(o.option), 0) + 1 INTO next FROM rapport.attribute_option AS o WHERE o.attribute_id = known.attribute_id;
	IF next >= 8 * known.lanes THEN
		PERFORM rapport.fail('out_of_range', format('%I has room for %s options; more lanes can be given when an attribute is defined.',
													known.code, 8 * known.lanes - 1));
	END IF;
	INSERT INTO rapport.attribute_option (attribute_id, option, code) VALUES (known.attribute_id, next, define_option.option);
END;
$$;
COMMENT ON FUNCTION rapport.define_option(text, text) IS
'Adds an option to a choice attribute. Preferences that list the options they accept do not accept the new one until they say so. For operators. Errors: unknown_attribute, wrong_type, invalid_value, conflict, out_of_range.';
GRANT EXECUTE ON FUNCTION rapport.define_option(text, text) TO rapport_service;

CREATE OR REPLACE FUNCTION rapport.define_attribute(code text, kind text, options text[] DEFAULT NULL,
													minimum numeric DEFAULT NULL, maximum numeric DEFAULT NULL, step numeric DEFAULT NULL,
													strength text DEFAULT NULL, weight real DEFAULT NULL, lanes integer DEFAULT NULL,
													managed boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	next_id integer;
	next_lane integer;
	next_slot integer;
	wanted_lanes integer;
	new_option text;
BEGIN
	PERFORM rapport.check_code(define_attribute.code);
	IF define_attribute.kind IS NULL OR define_attribute.kind NOT IN ('choice', 'number') THEN
		PERFORM rapport.fail('invalid_value', 'The kind of an attribute is choice or number.');
	END IF;
	IF define_attribute.strength NOT IN ('two_way', 'one_way', 'soft') THEN
		PERFORM rapport.fail('invalid_value', 'A strength is two_way, one_way or soft.');
	END IF;
	IF NOT (coalesce(define_attribute.weight, 1) BETWEEN 0 AND 100) THEN
		PERFORM rapport.fail('out_of_range', 'A weight lies between 0 and 100.');
	END IF;
	LOCK TABLE rapport.attribute IN SHARE ROW EXCLUSIVE MODE;
	IF EXISTS (SELECT FROM rapport.attribute AS a WHERE a.code = define_attribute.code) THEN
		PERFORM rapport.fail('conflict', format('There is an attribute %I already.', define_attribute.code));
	END IF;
	SELECT coalesce(max(a.attribute_id), 0) + 1, coalesce(max(a.lane + a.lanes), 0), coalesce(max(a.slot) + 1, 0)
	INTO next_id, next_lane, next_slot
	FROM rapport.attribute AS a;

	IF define_attribute.kind = 'choice' THEN
		IF num_nonnulls(define_attribute.minimum, define_attribute.maximum, define_attribute.step) > 0 THEN
			PERFORM rapport.fail('invalid_value', 'minimum, maximum and step belong to numbers.');
		END IF;
		IF coalesce(cardinality(define_attribute.options), 0) NOT BETWEEN 1 AND 63 OR array_ndims(define_attribute.options) <> 1 THEN
			PERFORM rapport.fail('out_of_range', 'A choice has 1 to 63 options.');
		END IF;
		wanted_lanes := coalesce(define_attribute.lanes, cardinality(define_attribute.options) / 8 + 1);
		IF wanted_lanes NOT BETWEEN 1 AND 8 OR cardinality(define_attribute.options) >= 8 * wanted_lanes THEN
			PERFORM rapport.fail('out_of_range', 'A lane holds 7 options, eight lanes hold 63.');
		END IF;
		IF next_lane + wanted_lanes > 32 THEN
			PERFORM rapport.fail('out_of_range', format('Of 32 lanes %s are free.', 32 - next_lane));
		END IF;
		INSERT INTO rapport.attribute (attribute_id, code, kind, strength, weight, lane, lanes, managed)
		VALUES (next_id, define_attribute.code, 'choice', coalesce(define_attribute.strength, 'two_way'),
				coalesce(define_attribute.weight, 1), next_lane, wanted_lanes, coalesce(define_attribute.managed, false));
		FOREACH new_option IN ARRAY define_attribute.options
		LOOP
			PERFORM rapport.define_option(define_attribute.code, new_option);
		END LOOP;
	ELSE
		IF define_attribute.options IS NOT NULL OR define_attribute.lanes IS NOT NULL THEN
			PERFORM rapport.fail('invalid_value', 'options and lanes belong to choices.');
		END IF;
		IF num_nonnulls(define_attribute.minimum, define_attribute.maximum) < 2 THEN
			PERFORM rapport.fail('missing_field', 'A number needs a minimum and a maximum.');
		END IF;
		IF NOT (define_attribute.minimum BETWEEN -1e15 AND 1e15 AND define_attribute.maximum BETWEEN -1e15 AND 1e15
				AND define_attribute.minimum < define_attribute.maximum
				AND coalesce(define_attribute.step, 1) > 0 AND coalesce(define_attribute.step, 1) < 1e15) THEN
			PERFORM rapport.fail('out_of_range', 'The minimum must lie below the maximum, and the step above 0.');
		END IF;
		IF (define_attribute.maximum - define_attribute.minimum) / coalesce(define_attribute.step, 1) NOT BETWEEN 1 AND 32000 THEN
			PERFORM rapport.fail('out_of_range', 'A range has at most 32000 steps.');
		END IF;
		IF next_slot > 3 THEN
			PERFORM rapport.fail('out_of_range', 'There is room for 4 numbers.');
		END IF;
		INSERT INTO rapport.attribute (attribute_id, code, kind, strength, weight, slot, minimum, maximum, step, managed)
		VALUES (next_id, define_attribute.code, 'number', coalesce(define_attribute.strength, 'two_way'),
				coalesce(define_attribute.weight, 1), next_slot, define_attribute.minimum, define_attribute.maximum,
				coalesce(define_attribute.step, 1), coalesce(define_attribute.managed, false));
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.define_attribute(text, text, text[], numeric, numeric, numeric, text, real, integer, boolean) IS
'Adds an attribute: a choice with options (7 a lane of 32; give more lanes to leave room), or a number with minimum, maximum and step (1; at most 4 numbers). strength is what preferences on it do by default: two_way, one_way or soft; weight counts where it is soft. managed: people ask for it, and set_attributes_for() alone says it of them, such as who is verified. Define the most selective choice first: the index clusters by the first. For operators. Errors: invalid_value, missing_field, out_of_range, conflict.';
GRANT EXECUTE ON FUNCTION rapport.define_attribute(text, text, text[], numeric, numeric, numeric, text, real, integer, boolean) TO rapport_service;

CREATE OR REPLACE FUNCTION rapport.change_attribute(code text, strength text DEFAULT NULL, weight real DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	IF change_attribute.strength NOT IN ('two_way', 'one_way', 'soft') THEN
		PERFORM rapport.fail('invalid_value', 'A strength is two_way, one_way or soft.');
	END IF;
	IF NOT (coalesce(change_attribute.weight, 1) BETWEEN 0 AND 100) THEN
		PERFORM rapport.fail('out_of_range', 'A weight lies between 0 and 100.');
	END IF;
	UPDATE rapport.attribute AS a
	SET strength = coalesce(change_attribute.strength, a.strength),
		weight = coalesce(change_attribute.weight, a.weight)
	WHERE a.code = change_attribute.code;
	IF NOT FOUND THEN
		PERFORM rapport.fail('unknown_attribute', format('%L is not an attribute.', change_attribute.code));
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.change_attribute(text, text, real) IS
'Changes the default strength of an attribute (two_way, one_way, soft), its weight, or both; NULL leaves it. A weight counts at once, and so does a strength for whom people see; for who sees them when they change, or when CALL rapport.rebuild_keys() comes to them. For operators. Errors: unknown_attribute, invalid_value, out_of_range.';
GRANT EXECUTE ON FUNCTION rapport.change_attribute(text, text, real) TO rapport_service;

CREATE OR REPLACE FUNCTION rapport.define_label(attribute text, option text, locale text, label text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	known smallint;
	number smallint := 0;
BEGIN
	SELECT a.attribute_id INTO known FROM rapport.attribute AS a WHERE a.code = define_label.attribute;
	IF NOT FOUND THEN
		PERFORM rapport.fail('unknown_attribute', format('%L is not an attribute.', define_label.attribute));
	END IF;
	IF define_label.option IS NOT NULL THEN
		SELECT o.option INTO number FROM rapport.attribute_option AS o WHERE o.attribute_id = known AND o.code = define_label.option;
		IF NOT FOUND THEN
			PERFORM rapport.fail('unknown_option', format('%L is not an option of %I.', define_label.option, define_label.attribute));
		END IF;
	END IF;
	IF define_label.locale IS NULL OR define_label.locale !~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$' THEN
		PERFORM rapport.fail('invalid_value', 'A locale is a language, or a language and more: de, pt-BR.');
	END IF;
	IF define_label.label IS NULL THEN
		DELETE FROM rapport.attribute_label AS l
		WHERE l.attribute_id = known AND l.option = number AND l.locale = define_label.locale;
		RETURN;
	END IF;
	INSERT INTO rapport.attribute_label (attribute_id, option, locale, label)
	VALUES (known, number, define_label.locale, rapport.clean_text('label', define_label.label, 80))
	ON CONFLICT ON CONSTRAINT attribute_label_pkey DO UPDATE SET label = excluded.label;
END;
$$;
COMMENT ON FUNCTION rapport.define_label(text, text, text, text) IS
'Names an option, or with option NULL the attribute itself, in a locale; label NULL takes the name away. For operators. Errors: unknown_attribute, unknown_option, invalid_value, out_of_range.';
GRANT EXECUTE ON FUNCTION rapport.define_label(text, text, text, text) TO rapport_service;

CREATE OR REPLACE FUNCTION rapport.require_step(step text, required boolean DEFAULT true) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM rapport.step_default AS d WHERE d.step = require_step.step)
		AND NOT EXISTS (SELECT FROM rapport.attribute AS a WHERE 'attribute:' || a.code = require_step.step) THEN
		PERFORM rapport.fail('invalid_value', format('The steps are %s and attribute:<code>.',
													 (SELECT string_agg(d.step, ', ' ORDER BY d.step COLLATE "C") FROM rapport.step_default AS d)));
	END IF;
	IF require_step.required IS NULL THEN
		DELETE FROM rapport.required_step AS r WHERE r.step = require_step.step;
		RETURN;
	END IF;
	INSERT INTO rapport.required_step (step, required)
	VALUES (require_step.step, require_step.required)
	ON CONFLICT ON CONSTRAINT required_step_pkey DO UPDATE SET required = excluded.required;
END;
$$;
COMMENT ON FUNCTION rapport.require_step(text, boolean) IS
'Makes a step (display_name, about, attribute:gender ...) required before a person is a candidate, or not; NULL brings the default back. People already there are judged when they change, or when CALL rapport.rebuild_keys() comes to them. For operators. Errors: invalid_value.';
GRANT EXECUTE ON FUNCTION rapport.require_step(text, boolean) TO rapport_service;

CREATE OR REPLACE FUNCTION rapport.refresh_people_after(after bigint, batch integer DEFAULT 10000) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	ids bigint[];
BEGIN
	SELECT array_agg(p.person_id ORDER BY p.person_id) INTO ids
	FROM (SELECT x.person_id FROM rapport.profile AS x WHERE x.person_id > refresh_people_after.after
		  ORDER BY x.person_id LIMIT refresh_people_after.batch) AS p;
	IF ids IS NOT NULL THEN
		PERFORM rapport.run_hooks('person_changed', ids);
	END IF;
	RETURN ids[cardinality(ids)];
END;
$$;
COMMENT ON FUNCTION rapport.refresh_people_after(bigint, integer) IS
'Runs the person_changed hooks for the next people with ids above after; the last id, NULL when there are no more.';
GRANT EXECUTE ON FUNCTION rapport.refresh_people_after(bigint, integer) TO rapport_service;

CREATE OR REPLACE PROCEDURE rapport.refresh_people()
LANGUAGE plpgsql
AS $$
DECLARE
	after bigint := 0;
BEGIN
	LOOP
		after := rapport.refresh_people_after(after);
		EXIT WHEN after IS NULL;
		COMMIT;
	END LOOP;
END;
$$;
COMMENT ON PROCEDURE rapport.refresh_people() IS
'Derives anew what other topics derive from people (who is a candidate), after a change of required steps or settings. Commits every 10,000 people; not inside a transaction.';
GRANT EXECUTE ON PROCEDURE rapport.refresh_people() TO rapport_service;

CREATE OR REPLACE FUNCTION rapport.census_count() RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	grid integer := rapport.setting_int('grid_metres');
	enough integer := rapport.setting_int('cell_people');
	last rapport.census;
BEGIN
	LOCK TABLE rapport.census IN SHARE ROW EXCLUSIVE MODE;
	SELECT c.* INTO last FROM rapport.census AS c;
	IF enough = 0 OR last.grid_metres = grid AND last.taken_at > rapport.now() - make_interval(days => rapport.setting_int('census_days')) THEN
		RETURN false;
	END IF;
	INSERT INTO rapport.census AS c (taken_at, grid_metres)
	VALUES (rapport.now(), grid)
	ON CONFLICT ON CONSTRAINT census_pkey DO UPDATE SET taken_at = excluded.taken_at, grid_metres = excluded.grid_metres;
	DELETE FROM rapport.crowded_cell AS c WHERE c.level >= rapport.setting_int('cell_doublings');
	FOR size IN 0 .. rapport.setting_int('cell_doublings') - 1 LOOP
		WITH counted AS MATERIALIZED (
			SELECT rapport.cell_parent(p.cell, size) AS cell, sum(p.people) AS people
			FROM (SELECT x.cell, count(*) AS people FROM rapport.profile AS x WHERE x.cell IS NOT NULL GROUP BY x.cell) AS p
			-- Those shown in a smaller cell hide nobody in this one.
			WHERE NOT EXISTS (SELECT
							  FROM generate_series(0, size - 1) AS smaller
							  JOIN rapport.crowded_cell AS c ON c.cell = rapport.cell_parent(p.cell, smaller))
			GROUP BY 1
		), left_behind AS (
			-- What was crowded stays so down to half: one person more or less does not show twice.
			DELETE FROM rapport.crowded_cell AS c
			WHERE c.level = size
			AND NOT EXISTS (SELECT FROM counted AS n WHERE n.cell = c.cell AND 2 * n.people >= enough)
		)
		INSERT INTO rapport.crowded_cell (cell, level)
		SELECT n.cell, size FROM counted AS n WHERE n.people >= enough
		ON CONFLICT DO NOTHING;
	END LOOP;
	RETURN true;
END;
$$;
COMMENT ON FUNCTION rapport.census_count() IS
'Counts people by cells of every size, without those in a smaller one that has enough, and keeps which have the setting cell_people, or had and still have half. Does nothing (false) sooner than census_days after the last time. For take_census().';
GRANT EXECUTE ON FUNCTION rapport.census_count() TO rapport_service;

CREATE OR REPLACE FUNCTION rapport.census_apply(after bigint, batch integer DEFAULT 10000) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	grown integer := rapport.doublings();
	upto bigint;
	changed bigint[];
BEGIN
	SELECT max(p.person_id) INTO upto
	FROM (SELECT x.person_id FROM rapport.profile AS x WHERE x.person_id > census_apply.after
		  ORDER BY x.person_id LIMIT census_apply.batch) AS p;
	-- In the order of ids, as everybody locks people.
	PERFORM FROM rapport.profile AS p
	CROSS JOIN LATERAL rapport.shown_cell(p.cell, grown) AS s
	WHERE p.person_id > census_apply.after
	AND p.person_id <= upto
	AND (rapport.place_latitude(p.place), rapport.place_longitude(p.place)) <> (rapport.cell_latitude(s.shown), rapport.cell_longitude(s.shown))
	ORDER BY p.person_id
	FOR NO KEY UPDATE OF p;
	WITH moved AS (
		UPDATE rapport.profile AS p
		SET place = rapport.cell_place(s.shown),
			updated_at = rapport.now()
		FROM rapport.profile AS x
		CROSS JOIN LATERAL rapport.shown_cell(x.cell, grown) AS s
		WHERE x.person_id > census_apply.after
		AND x.person_id <= upto
		AND (rapport.place_latitude(x.place), rapport.place_longitude(x.place)) <> (rapport.cell_latitude(s.shown), rapport.cell_longitude(s.shown))
		AND p.person_id = x.person_id
		AND p.cell = x.cell
		RETURNING p.person_id)
	SELECT array_agg(m.person_id ORDER BY m.person_id) INTO changed FROM moved AS m;
	IF changed IS NOT NULL THEN
		PERFORM rapport.run_hooks('person_changed', changed);
	END IF;
	RETURN upto;
END;
$$;
COMMENT ON FUNCTION rapport.census_apply(bigint, integer) IS
'Gives the next people with ids above after the place of the cell they are shown in by the last census, and runs the person_changed hooks for whom it is new; the last id looked at, NULL when there are no more. For take_census().';
GRANT EXECUTE ON FUNCTION rapport.census_apply(bigint, integer) TO rapport_service;

CREATE OR REPLACE PROCEDURE rapport.take_census()
LANGUAGE plpgsql
AS $$
DECLARE
	after bigint := 0;
BEGIN
	PERFORM rapport.census_count();
	COMMIT;
	LOOP
		after := rapport.census_apply(after);
		EXIT WHEN after IS NULL;
		COMMIT;
	END LOOP;
END;
$$;
COMMENT ON PROCEDURE rapport.take_census() IS
'Finds out where few people live, and shows people there in larger cells (settings cell_people, cell_doublings), for a job once a day: it counts anew every census_days, and otherwise finishes what was interrupted or follows a change of the settings. Commits every 10,000 people; not inside a transaction.';
GRANT EXECUTE ON PROCEDURE rapport.take_census() TO rapport_service;

-- Import. The procedure reads the source with its caller's rights and hands the rows over as JSON; the functions below
-- write with the owner's.

CREATE OR REPLACE FUNCTION rapport.import_begin(source text, mapping jsonb, OUT resumed boolean, OUT done_to text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	run rapport.import_run;
BEGIN
	IF import_begin.source IS NULL OR import_begin.mapping IS NULL THEN
		PERFORM rapport.fail('missing_field', 'An import needs source and mapping.');
	END IF;
	SELECT r.* INTO run FROM rapport.import_run AS r WHERE r.source = import_begin.source FOR NO KEY UPDATE;
	resumed := FOUND AND run.finished_at IS NULL AND run.mapping = import_begin.mapping;
	IF resumed THEN
		done_to := run.done_to;
		RETURN;
	END IF;
	-- Made now if it is not there, and committed before the first batch: until then every new_id() reads it again.
	PERFORM rapport.database_secret('ids');
	DELETE FROM rapport.import_reject AS r WHERE r.source = import_begin.source;
	DELETE FROM rapport.import_run AS r WHERE r.source = import_begin.source;
	INSERT INTO rapport.import_run (source, mapping, started_at)
	VALUES (import_begin.source, import_begin.mapping, rapport.now());
END;
$$;
COMMENT ON FUNCTION rapport.import_begin(text, jsonb) IS
'Starts the import of a source, or goes on with one that was interrupted under the same mapping: resumed, and the external_id it got to. For import_people(). Errors: missing_field.';
GRANT EXECUTE ON FUNCTION rapport.import_begin(text, jsonb) TO rapport_service;

CREATE OR REPLACE FUNCTION rapport.import_end(source text, OUT added bigint, OUT updated bigint, OUT rejected bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	UPDATE rapport.import_run AS r
	SET finished_at = rapport.now(),
		done_to = NULL
	WHERE r.source = import_end.source
	RETURNING r.added, r.updated, r.rejected INTO added, updated, rejected;
	PERFORM rapport.run_hooks('people_imported', ARRAY[added, updated]);
END;
$$;
COMMENT ON FUNCTION rapport.import_end(text) IS
'Marks the import of a source finished, and runs the hooks of people_imported; how many people it added and updated, and how many rows it rejected. For import_people().';
GRANT EXECUTE ON FUNCTION rapport.import_end(text) TO rapport_service;

-- Plans are made for the batch at hand: a generic one would expect ten rows. Compiling them costs more than running them.
CREATE OR REPLACE FUNCTION rapport.import_batch(source text, after text, upto text, documents jsonb[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
SET plan_cache_mode = force_custom_plan SET enable_seqscan = off SET jit = off SET work_mem = '64MB'
AS $$
DECLARE
	rules jsonb := rapport.profile_rules();
	grid integer := rapport.setting_int('grid_metres');
	margin double precision := rapport.setting_float('grid_margin');
	grown integer := rapport.doublings();
	today date := rapport.today();
	moment timestamp with time zone := rapport.now();
	run rapport.import_run;
	known bigint[];
	changed bigint[];
	new_people bigint;
	refused bigint;
BEGIN
	SELECT r.* INTO run FROM rapport.import_run AS r WHERE r.source = import_batch.source FOR NO KEY UPDATE;
	IF NOT FOUND OR run.finished_at IS NOT NULL OR run.done_to IS DISTINCT FROM import_batch.after THEN
		PERFORM rapport.fail('conflict', 'Another import of this source is under way.');
	END IF;

	-- Who is known is not erased before the commit; whoever was meanwhile is new below.
	known := ARRAY(
		SELECT e.person_id
		FROM unnest(import_batch.documents) AS d
		CROSS JOIN LATERAL (SELECT x.person_id FROM rapport.external_identity AS x WHERE x.external_id = d ->> 'external_id' OFFSET 0) AS e);
	PERFORM FROM rapport.person AS p WHERE p.person_id = ANY (known) ORDER BY p.person_id FOR KEY SHARE;
	WITH row_read AS MATERIALIZED (
		SELECT g.n, g.document, g.external_id, e.person_id, (p.stored).person_id IS NOT NULL AS has_profile,
			   c.display_name, c.birth_date, c.about, c.traits, c.numbers, c.tags, c.embedding, c.paused,
			   place.cell, rapport.cell_place(place.shown) AS place,
			   day.active_on,
			   wish.preferences,
			   coalesce(id.problems, '{}') || coalesce(c.problems, '{}') || coalesce(place.problems, '{}')
			   || coalesce(day.problems, '{}') || coalesce(wish.problems, '{}') AS problems
		FROM (SELECT d.n, d.document, d.document ->> 'external_id' AS external_id,
					 count(*) OVER (PARTITION BY d.document ->> 'external_id') AS copies
			  FROM unnest(import_batch.documents) WITH ORDINALITY AS d (document, n)) AS g
		-- OFFSET 0 leaves the planner one way: look up each by key, whatever its statistics say.
		LEFT JOIN LATERAL (SELECT x.person_id FROM rapport.external_identity AS x WHERE x.external_id = g.external_id OFFSET 0) AS e ON true
		LEFT JOIN LATERAL (SELECT x AS stored FROM rapport.profile AS x WHERE x.person_id = e.person_id OFFSET 0) AS p ON true
		CROSS JOIN LATERAL rapport.read_profile(p.stored, g.document -> 'profile', rules) AS c
		CROSS JOIN LATERAL (
			SELECT CASE
				WHEN g.external_id IS NULL THEN ARRAY['missing_field: external_id is null.']
				WHEN char_length(g.external_id) NOT BETWEEN 1 AND 200 THEN ARRAY['out_of_range: external_id has 1 to 200 characters.']
				WHEN g.copies > 1 THEN ARRAY['conflict: The source has this external_id more than once.']
				END) AS id (problems)
		CROSS JOIN LATERAL (
			SELECT r.cell, s.shown, CASE
				WHEN r.cell IS NULL
				AND num_nonnulls(nullif(g.document -> 'latitude', 'null'), nullif(g.document -> 'longitude', 'null')) > 0
				THEN ARRAY['out_of_range: There is no such place.']
				END
			FROM rapport.read_place(g.document -> 'latitude', g.document -> 'longitude', grid, margin, (p.stored).cell) AS r (cell)
			CROSS JOIN LATERAL rapport.shown_cell(r.cell, grown) AS s)
			AS place (cell, shown, problems)
		CROSS JOIN LATERAL (
			SELECT x.given, CASE
				WHEN x.given IS NULL AND g.document ->> 'active_on' IS NOT NULL
				THEN ARRAY['invalid_value: active_on is not a date, yyyy-mm-dd.']
				WHEN x.given > today + 1 THEN ARRAY['out_of_range: active_on is in the future.']
				END
			FROM (SELECT rapport.read_date(g.document ->> 'active_on')) AS x (given)) AS day (active_on, problems)
		CROSS JOIN LATERAL (
			SELECT array_agg(ROW(e.person_id, m.mode, r.enabled, r.accepts, r.strengths, r.number_min, r.number_max, r.number_unset,
								 r.age_min, r.age_max, r.max_distance_km, moment)::rapport.preference) FILTER (WHERE m.mode IS NOT NULL),
				   CASE WHEN jsonb_typeof(g.document -> 'preferences') NOT IN ('object', 'null')
				   THEN ARRAY['wrong_type: preferences is an object.']
				   ELSE (array_agg(CASE WHEN m.mode IS NULL THEN format('unknown_mode: %L is not a mode.', left(w.mode, 60)) ELSE problem END)
						 FILTER (WHERE m.mode IS NULL OR problem IS NOT NULL))[1:20] END
			FROM jsonb_each(CASE jsonb_typeof(g.document -> 'preferences') WHEN 'object' THEN g.document -> 'preferences' ELSE '{}' END) AS w (mode, body)
			LEFT JOIN rapport.mode AS m ON m.code = w.mode
			LEFT JOIN rapport.preference AS q ON q.person_id = e.person_id AND q.mode = m.mode
			CROSS JOIN LATERAL rapport.read_preference(q, w.body, rules) AS r
			LEFT JOIN LATERAL unnest(r.problems) AS problem ON true) AS wish (preferences, problems)
	), verdict AS MATERIALIZED (
		SELECT r.*, r.person_id IS NULL AS is_new, coalesce(r.person_id, rapport.new_id()) AS id
		FROM row_read AS r
		WHERE r.problems = '{}'
	), person AS (
		INSERT INTO rapport.person (person_id, created_at)
		SELECT v.id, moment FROM verdict AS v WHERE v.is_new
	), identity AS (
		INSERT INTO rapport.external_identity (external_id, person_id)
		SELECT v.external_id, v.id FROM verdict AS v WHERE v.is_new
	), profile_new AS (
		INSERT INTO rapport.profile (person_id, display_name, birth_date, about, cell, place, place_at, traits, numbers, tags, embedding,
									 paused, created_at, updated_at)
		SELECT v.id, v.display_name, v.birth_date, v.about, v.cell, v.place,
			   CASE WHEN v.cell IS NOT NULL THEN moment END, v.traits, v.numbers, v.tags, v.embedding, v.paused, moment, moment
		FROM verdict AS v
		WHERE NOT v.has_profile
	), profile_old AS (
		UPDATE rapport.profile AS p
		SET display_name = v.display_name,
			birth_date = v.birth_date,
			about = v.about,
			cell = CASE WHEN v.document ? 'latitude' THEN v.cell ELSE p.cell END,
			place = CASE WHEN v.document ? 'latitude' THEN v.place ELSE p.place END,
			place_at = CASE WHEN NOT v.document ? 'latitude' OR v.cell = p.cell THEN p.place_at WHEN v.cell IS NOT NULL THEN moment END,
			traits = v.traits,
			numbers = v.numbers,
			tags = v.tags,
			embedding = v.embedding,
			paused = v.paused,
			updated_at = moment
		FROM verdict AS v
		WHERE v.has_profile
		AND p.person_id = v.id
	), activity AS (
		INSERT INTO rapport.activity AS a (person_id, active_on)
		SELECT v.id, coalesce(least(v.active_on, today), today)
		FROM verdict AS v
		WHERE v.is_new OR v.active_on IS NOT NULL
		ON CONFLICT ON CONSTRAINT activity_pkey DO UPDATE SET active_on = excluded.active_on
		WHERE a.active_on < excluded.active_on
	), preference AS (
		INSERT INTO rapport.preference AS p (person_id, mode, enabled, accepts, strengths, number_min, number_max, number_unset,
											 age_min, age_max, max_distance_km, updated_at)
		SELECT v.id, q.mode, q.enabled, q.accepts, q.strengths, q.number_min, q.number_max, q.number_unset,
			   q.age_min, q.age_max, q.max_distance_km, q.updated_at
		FROM verdict AS v
		CROSS JOIN LATERAL unnest(v.preferences) AS q
		ON CONFLICT ON CONSTRAINT preference_pkey DO UPDATE
		SET enabled = excluded.enabled, accepts = excluded.accepts, strengths = excluded.strengths, number_min = excluded.number_min,
			number_max = excluded.number_max, number_unset = excluded.number_unset, age_min = excluded.age_min,
			age_max = excluded.age_max, max_distance_km = excluded.max_distance_km, updated_at = excluded.updated_at
	), reject AS (
		INSERT INTO rapport.import_reject (source, reject, external_id, row, reasons)
		SELECT import_batch.source, run.rejected + row_number() OVER (ORDER BY r.n), r.external_id,
			   r.document - ARRAY['latitude', 'longitude'], r.problems
		FROM row_read AS r
		WHERE r.problems <> '{}'
	)
	SELECT array_agg(v.id), count(*) FILTER (WHERE v.is_new),
		   (SELECT count(*) FROM row_read AS r WHERE r.problems <> '{}')
	INTO changed, new_people, refused
	FROM verdict AS v;

	UPDATE rapport.import_run AS r
	SET done_to = import_batch.upto,
		added = r.added + new_people,
		updated = r.updated + coalesce(cardinality(changed), 0) - new_people,
		rejected = r.rejected + refused
	WHERE r.source = import_batch.source;
	IF changed IS NOT NULL THEN
		PERFORM rapport.run_hooks('person_changed', changed);
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.import_batch(text, text, text, jsonb[]) IS
'Writes one batch of an import: documents {external_id, profile: what update_profile takes, latitude, longitude, active_on, preferences: {mode: what set_preference takes}}. Rows with problems go to import_reject, all others change people. after and upto are the external_ids the batch lies between. For import_people(). Errors: conflict.';
GRANT EXECUTE ON FUNCTION rapport.import_batch(text, text, text, jsonb[]) TO rapport_service;

CREATE OR REPLACE FUNCTION rapport.import_expression(source regclass, mapping jsonb) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	field text;
	target jsonb;
	used text;
	profile text[] := '{}';
	attributes text[] := '{}';
	document text[] := '{}';
	column_of text;
BEGIN
	IF source IS NULL THEN
		PERFORM rapport.fail('missing_field', 'The source is a table or view.');
	END IF;
	IF pg_catalog.jsonb_typeof(mapping) IS DISTINCT FROM 'object' THEN
		PERFORM rapport.fail('wrong_type', 'The mapping must be an object: {"external_id": "id", ...}.');
	END IF;
	IF NOT mapping ? 'external_id' THEN
		PERFORM rapport.fail('missing_field', 'The mapping must name the column of external_id.');
	END IF;
	IF mapping ? 'latitude' <> mapping ? 'longitude' THEN
		PERFORM rapport.fail('missing_field', 'Map latitude and longitude, or neither.');
	END IF;
	FOR field, target IN SELECT m.key, m.value FROM pg_catalog.jsonb_each(mapping) AS m
	LOOP
		IF field NOT IN ('external_id', 'display_name', 'birth_date', 'about', 'tags', 'embedding', 'paused', 'latitude', 'longitude',
						 'active_on', 'attributes', 'preferences') THEN
			PERFORM rapport.fail('unknown_field', pg_catalog.format('%L is not a field that can be imported.', field));
		END IF;
		IF pg_catalog.jsonb_typeof(target) <> 'string'
			AND NOT (field = 'attributes' AND pg_catalog.jsonb_typeof(target) = 'object') THEN
			PERFORM rapport.fail('wrong_type', pg_catalog.format('%I takes the name of a column%s.', field,
				CASE field WHEN 'attributes' THEN ', or an object with one for each attribute' ELSE '' END));
		END IF;
		FOR column_of, used IN
			SELECT t.key, t.value
			FROM pg_catalog.jsonb_each_text(CASE pg_catalog.jsonb_typeof(target) WHEN 'object' THEN target
											ELSE pg_catalog.jsonb_build_object('', target) END) AS t
		LOOP
			IF NOT EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
						   WHERE a.attrelid = source AND a.attname = used AND a.attnum > 0 AND NOT a.attisdropped) THEN
				PERFORM rapport.fail('invalid_value', pg_catalog.format('%s has no column %L.', source, used));
			END IF;
			IF column_of <> '' AND NOT EXISTS (SELECT FROM rapport.attribute AS a WHERE a.code = column_of) THEN
				PERFORM rapport.fail('unknown_attribute', pg_catalog.format('%L is not an attribute.', column_of));
			END IF;
			used := pg_catalog.format('pg_catalog.to_jsonb(s.%I)', used);
			CASE
				WHEN field = 'external_id' THEN
					document := document || pg_catalog.format('%L, s.%I::text', field, target ->> 0);
				WHEN column_of <> '' THEN
					attributes := attributes || pg_catalog.format('%L, %s', column_of, used);
				WHEN field = 'attributes' THEN
					profile := profile || pg_catalog.format('%L, COALESCE(%s, ''{}'')', field, used);
				WHEN field = 'paused' THEN
					profile := profile || pg_catalog.format('%L, COALESCE(%s, ''false'')', field, used);
				WHEN field IN ('latitude', 'longitude', 'active_on', 'preferences') THEN
					document := document || pg_catalog.format('%L, %s', field, used);
				ELSE
					profile := profile || pg_catalog.format('%L, %s', field, used);
			END CASE;
		END LOOP;
	END LOOP;
	IF attributes <> '{}' THEN
		profile := profile || pg_catalog.format('''attributes'', pg_catalog.jsonb_build_object(%s)', pg_catalog.array_to_string(attributes, ', '));
	END IF;
	RETURN pg_catalog.format('pg_catalog.jsonb_build_object(%s, ''profile'', pg_catalog.jsonb_build_object(%s))',
							 pg_catalog.array_to_string(document, ', '), pg_catalog.array_to_string(profile, ', '));
END;
$$;
COMMENT ON FUNCTION rapport.import_expression(regclass, jsonb) IS
'Checks a mapping and turns it into the SQL that makes a document of a row s of the source, as import_batch() takes them. Errors: wrong_type, missing_field, unknown_field, unknown_attribute, invalid_value.';
GRANT EXECUTE ON FUNCTION rapport.import_expression(regclass, jsonb) TO rapport_service;

CREATE OR REPLACE PROCEDURE rapport.import_people(source regclass, mapping jsonb, INOUT added bigint DEFAULT NULL,
												  INOUT updated bigint DEFAULT NULL, INOUT rejected bigint DEFAULT NULL)
LANGUAGE plpgsql
AS $$
DECLARE
	batch CONSTANT integer := 10000;
	source_name text;
	expression text;
	id text;
	id_type text;
	run record;
	at text;
	upto text;
	documents jsonb[];
	document jsonb;
BEGIN
	SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) INTO source_name
	FROM pg_catalog.pg_class AS c
	JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
	WHERE c.oid = source;
	expression := rapport.import_expression(source, mapping);
	id := pg_catalog.quote_ident(mapping ->> 'external_id');
	SELECT pg_catalog.format_type(a.atttypid, a.atttypmod) INTO id_type
	FROM pg_catalog.pg_attribute AS a
	WHERE a.attrelid = source AND a.attname = mapping ->> 'external_id';

	SELECT b.* INTO run FROM rapport.import_begin(source_name, mapping) AS b;
	at := run.done_to;
	IF NOT run.resumed THEN
		documents := '{}';
		FOR document IN EXECUTE pg_catalog.format('SELECT %s FROM %s AS s WHERE s.%s IS NULL', expression, source, id)
		LOOP
			documents := documents || document;
			IF pg_catalog.cardinality(documents) = batch THEN
				PERFORM rapport.import_batch(source_name, NULL, NULL, documents);
				documents := '{}';
			END IF;
		END LOOP;
		IF documents <> '{}' THEN
			PERFORM rapport.import_batch(source_name, NULL, NULL, documents);
		END IF;
		COMMIT;
	END IF;

	-- Batches go by the order of the ids, rows with the same id together: what is done is one value.
	LOOP
		PERFORM pg_catalog.set_config('jit', 'off', true);
		EXECUTE pg_catalog.format(
			'SELECT pg_catalog.array_agg(%s ORDER BY s.%s), (pg_catalog.array_agg(s.%s::text ORDER BY s.%s DESC))[1]'
			' FROM (SELECT * FROM %s AS s %s ORDER BY s.%s FETCH FIRST %s ROWS WITH TIES) AS s',
			expression, id, id, id, source,
			CASE WHEN at IS NULL THEN pg_catalog.format('WHERE s.%s IS NOT NULL', id)
			ELSE pg_catalog.format('WHERE s.%s > %L::%s', id, at, id_type) END,
			id, batch)
		INTO documents, upto;
		EXIT WHEN documents IS NULL;
		PERFORM rapport.import_batch(source_name, at, upto, documents);
		COMMIT;
		at := upto;
	END LOOP;
	SELECT e.* INTO added, updated, rejected FROM rapport.import_end(source_name) AS e;
	COMMIT;
END;
$$;
COMMENT ON PROCEDURE rapport.import_people(regclass, jsonb, bigint, bigint, bigint) IS
'Brings people in from a table or view that the caller may read; mapping names a column for each field: {"external_id": "id", "display_name": "name", "birth_date": .., "about": .., "tags": (text[]), "embedding": (real[]), "paused": .., "latitude": .., "longitude": .., "active_on": .., "attributes": a jsonb column {code: option or number} or {code: column, ...}, "preferences": a jsonb column {mode: what set_preference takes}}. external_id is required and decides: new ones become people without a credential, known ones are updated; fields not mapped stay. Rows with a problem go to rapport.import_reject with every reason. Commits every 10,000 rows, so not inside a transaction; interrupted, the same call goes on where it was (rapport.import_run tells how far). An index on the id column of a large source helps. Returns the people added and updated and the rows rejected. Errors: wrong_type, missing_field, unknown_field, unknown_attribute, invalid_value, conflict.';
GRANT EXECUTE ON PROCEDURE rapport.import_people(regclass, jsonb, bigint, bigint, bigint) TO rapport_service;
