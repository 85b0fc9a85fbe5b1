-- privacy: erasing people and exporting what is held about them, generated from
-- rapport.personal_data (what a column is) and rapport.subject (whose a row is).

-- ANALYZE copies values of columns into the statistics, where no erasing finds them.

CREATE OR REPLACE FUNCTION rapport.sampled_text() RETURNS TABLE (tab regclass, col name)
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT p.tab, p.col
	FROM rapport.personal_data AS p
	JOIN pg_attribute AS a ON a.attrelid = p.tab AND a.attname = p.col
	WHERE p.class <> 'none'
	AND a.atttypid IN ('text'::regtype, 'text[]'::regtype, 'jsonb'::regtype, 'bytea'::regtype)
	AND a.attstattarget IS DISTINCT FROM 0
	AND NOT EXISTS (SELECT FROM pg_constraint AS k
					WHERE k.conrelid = p.tab
					AND k.contype = 'c'
					AND k.conkey = ARRAY[a.attnum]
					AND pg_get_constraintdef(k.oid) ~ $$ = (ANY|'[a-z]+'::text)$$);
END;
COMMENT ON FUNCTION rapport.sampled_text() IS
'The columns of people''s texts, but for those with a fixed list of values, that ANALYZE would sample.';

DO $$
DECLARE
	text_column record;
BEGIN
	FOR text_column IN SELECT c.tab, c.col FROM rapport.sampled_text() AS c
	LOOP
		EXECUTE pg_catalog.format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 0', text_column.tab, text_column.col);
	END LOOP;
END;
$$;

-- Erasing

CREATE OR REPLACE FUNCTION rapport.erase_statements() RETURNS TABLE (ord integer, tab regclass, col name, statement text)
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT s.ord, s.tab, s.col,
		   CASE coalesce(s.on_erase, c.on_erase)
			   WHEN 'delete' THEN format('DELETE FROM %s AS t WHERE %s', s.tab, s.find)
			   WHEN 'clear' THEN format('UPDATE %s AS t SET %s WHERE %s', s.tab,
										CASE WHEN s.own THEN c.assignments ELSE format('%I = NULL', s.col) END, s.find)
		   END
	FROM rapport.subjects() AS s
	CROSS JOIN LATERAL (
		SELECT min(p.on_erase) FILTER (WHERE p.on_erase <> 'keep') AS on_erase,
			   string_agg(format('%I = NULL', p.col), ', ' ORDER BY p.col) FILTER (WHERE p.on_erase = 'clear') AS assignments
		FROM rapport.personal_data AS p
		WHERE p.tab = s.tab
	) AS c
	WHERE coalesce(s.on_erase, c.on_erase) IN ('delete', 'clear');
END;
COMMENT ON FUNCTION rapport.erase_statements() IS
'The statements that erase the people $1 (bigint[]), to be run in the order of ord, tab, col.';

-- One person's rows among those of millions: the indexes serve, whatever the statistics say.
CREATE OR REPLACE FUNCTION rapport.erase_people(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
	statement text;
BEGIN
	-- An older snapshot hides what is to be erased.
	IF pg_catalog.current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
		PERFORM rapport.fail('internal', 'Erasing people needs the isolation level read committed.');
	END IF;
	-- Whoever writes as them or about them has committed now, or will find them gone.
	PERFORM rapport.hold_person(x.id, true) FROM (SELECT i.id FROM unnest(ids) AS i (id) ORDER BY i.id) AS x;
	PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(rapport.mac('sign_in', x.email), 0))
	FROM (SELECT e.email FROM rapport.email AS e WHERE e.person_id = ANY (ids) ORDER BY e.email) AS x;
	PERFORM FROM rapport.person AS p WHERE p.person_id = ANY (ids) ORDER BY p.person_id FOR UPDATE;
	PERFORM rapport.run_hooks('person_erased', ids);
	FOR statement IN
		SELECT s.statement FROM rapport.erase_statements() AS s ORDER BY s.ord, s.tab::text COLLATE "C", s.col
	LOOP
		EXECUTE statement USING ids;
	END LOOP;
END;
$$;
COMMENT ON FUNCTION rapport.erase_people(bigint[]) IS
'Erases people: runs the hooks of person_erased, then does to every row that is theirs or names them what rapport.personal_data and rapport.subject say. Their sessions end with the commit. Errors: not_found, internal above read committed.';

CREATE OR REPLACE FUNCTION rapport.delete_my_account(password text, OUT refusal text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	subject text;
	hash text;
BEGIN
	IF delete_my_account.password IS NULL THEN
		PERFORM rapport.fail('missing_field', 'password');
	END IF;
	-- Before the lock of signing in, in the order of everybody who takes both.
	PERFORM rapport.hold_person(me, true);
	subject := rapport.mac('sign_in', coalesce((SELECT e.email FROM rapport.email AS e WHERE e.person_id = me), 'person ' || me));
	PERFORM pg_advisory_xact_lock(hashtextextended(subject, 0));
	SELECT c.password_hash INTO hash FROM rapport.credential AS c WHERE c.person_id = me;
	refusal := replace(rapport.try_password(subject, hash, delete_my_account.password), 'invalid_credentials', 'wrong_password');
	IF refusal IS NULL THEN
		PERFORM rapport.erase_people(ARRAY[me]);
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.delete_my_account(text) IS
'Erases my account at once and for good, confirmed by my password: profile, place, likes, blocks, what I wrote, and every session. Matches end and their conversations close; the messages of the others stay theirs, mine lose their text. People without a password are erased by the app, with erase_person_for(). refusal is wrong_password or too_many_attempts. Errors: authentication_required, missing_field.';
GRANT EXECUTE ON FUNCTION rapport.delete_my_account(text) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.erase_person_for(person_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	IF erase_person_for.person_id IS NULL THEN
		PERFORM rapport.fail('missing_field', 'person_id');
	END IF;
	PERFORM rapport.erase_people(ARRAY[erase_person_for.person_id]);
END;
$$;
COMMENT ON FUNCTION rapport.erase_person_for(bigint) IS
'Erases a person as delete_my_account() does, without asking for a password. For back ends. Errors: missing_field, not_found.';
GRANT EXECUTE ON FUNCTION rapport.erase_person_for(bigint) TO rapport_service;

CREATE OR REPLACE FUNCTION rapport.scrub_table(tab regclass) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT
AS 'MODULE_PATHNAME', 'privacy_scrub_table';
COMMENT ON FUNCTION rapport.scrub_table(regclass) IS
'scrub() for one table with its B-tree, GiST and match_gist indexes and what it stores out of line.';

CREATE OR REPLACE FUNCTION rapport.scrub(tab regclass DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	RETURN (SELECT coalesce(sum(rapport.scrub_table(coalesce(h.inhrelid, s.tab))), 0)
			FROM (SELECT DISTINCT x.tab FROM rapport.subjects() AS x ORDER BY x.tab) AS s
			-- What is partitioned has no pages of its own.
			LEFT JOIN pg_inherits AS h ON h.inhparent = s.tab
			WHERE scrub.tab IS NULL OR s.tab = scrub.tab);
END;
$$;
COMMENT ON FUNCTION rapport.scrub(regclass) IS
'Overwrites the bytes of erased rows that VACUUM leaves in the free space of the pages of a table about people, or of all of them (NULL); the pages cleared. VACUUM first. Reads and writes go on meanwhile; every page cleared is written to the log in full. For a maintenance job.';
GRANT EXECUTE ON FUNCTION rapport.scrub(regclass) TO rapport_service;

-- Exporting

CREATE OR REPLACE FUNCTION rapport.export_value(col name, type oid) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT format(
		CASE y.typname
			WHEN 'geography' THEN
				'CASE WHEN t.%1$I IS NOT NULL THEN pg_catalog.jsonb_build_object('
				'''latitude'', rapport.place_latitude(t.%1$I), ''longitude'', rapport.place_longitude(t.%1$I)) END'
			WHEN 'match_key' THEN 'rapport.match_key_parts(t.%1$I)'
			ELSE 't.%1$I'
		END, export_value.col)
	FROM pg_type AS y
	WHERE y.oid = export_value.type;
END;
COMMENT ON FUNCTION rapport.export_value(name, oid) IS
'The expression that gives a column of a row t in a form other programs can read: types of our own and places as objects.';

CREATE OR REPLACE FUNCTION rapport.export_statements() RETURNS TABLE (tab regclass, statement text)
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT s.tab,
		   format('SELECT coalesce(pg_catalog.jsonb_agg(x.r ORDER BY x.r), ''[]'') FROM (%s) AS x',
				  string_agg(format('SELECT pg_catalog.jsonb_build_object(%s) AS r FROM %s AS t WHERE %s', c.members,
									coalesce('(' || o.source || ')', s.tab::text), s.find),
							 ' UNION ' ORDER BY s.col))
	FROM rapport.subjects() AS s
	LEFT JOIN rapport.subject AS o ON o.tab = s.tab AND o.col = s.col
	CROSS JOIN LATERAL (
		SELECT string_agg(format('%L, %s', p.col, coalesce(p.export_as, rapport.export_value(p.col, a.atttypid))), ', ' ORDER BY a.attnum) AS members
		FROM rapport.personal_data AS p
		JOIN pg_attribute AS a ON a.attrelid = p.tab AND a.attname = p.col
		WHERE p.tab = s.tab
		AND p.class NOT IN ('none', 'credential')
		AND p.withheld IS NULL
	) AS c
	WHERE s.own
	AND c.members IS NOT NULL
	GROUP BY s.tab;
END;
COMMENT ON FUNCTION rapport.export_statements() IS
'For each table with personal data, the statement that gives the rows of the people $1 (bigint[]) as a JSON array.';

CREATE OR REPLACE FUNCTION rapport.export_my_data() RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	data jsonb := '{}';
	part record;
	held jsonb;
BEGIN
	FOR part IN
		SELECT c.relname, s.statement
		FROM rapport.export_statements() AS s
		JOIN pg_class AS c ON c.oid = s.tab
	LOOP
		EXECUTE part.statement INTO held USING ARRAY[me];
		data := data || jsonb_build_object(part.relname, held);
	END LOOP;
	RETURN jsonb_build_object(
		'person_id', me,
		'exported_at', rapport.now(),
		'profile', (SELECT to_jsonb(p) FROM rapport.my_profile() AS p),
		'data', data,
		'left_out', (
			SELECT jsonb_agg(jsonb_build_object('table', c.relname, 'column', p.col, 'reason', coalesce(p.withheld, 'a secret'))
							 ORDER BY c.relname, p.col)
			FROM rapport.personal_data AS p
			JOIN pg_class AS c ON c.oid = p.tab
			WHERE (p.class = 'credential' OR p.withheld IS NOT NULL)
			AND EXISTS (SELECT FROM rapport.subjects() AS s WHERE s.tab = p.tab AND s.own)));
END;
$$;
COMMENT ON FUNCTION rapport.export_my_data() IS
'Everything that is held about me: data has an array of rows for each table, with the columns that rapport.personal_data classifies; profile is what my_profile() says, with codes instead of numbers; left_out names the columns that are kept back, secrets such as the hash of the password among them, and why. Errors: authentication_required.';
GRANT EXECUTE ON FUNCTION rapport.export_my_data() TO rapport_user;
