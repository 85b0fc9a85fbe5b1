-- Erasing and exporting: a marker in every text column that somebody can write.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS rapport CASCADE;
SET rapport.now = '2030-01-01 12:00Z';
SELECT rapport.set_setting('password_memory', '1'), rapport.set_setting('password_ops', '1') \g /dev/null
SELECT rapport.define_attribute('erase_colour', 'choice', ARRAY['red', 'blue']) \g /dev/null

CREATE SCHEMA privacy;
GRANT USAGE ON SCHEMA privacy TO PUBLIC;

-- How many rows of each table have a text somewhere.
CREATE FUNCTION privacy.rows_with(wanted text) RETURNS TABLE (tab text, n bigint)
LANGUAGE plpgsql
AS $$
BEGIN
	FOR tab IN SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'rapport'::regnamespace AND c.relkind = 'r' ORDER BY c.relname COLLATE "C" LOOP
		EXECUTE format('SELECT count(*) FROM rapport.%I AS t WHERE t::text ~ $1', tab) INTO n USING wanted;
		IF n > 0 THEN
			RETURN NEXT;
		END IF;
	END LOOP;
END;
$$;

-- The texts of people that have it in no row.
CREATE FUNCTION privacy.columns_without(wanted text) RETURNS SETOF text
LANGUAGE plpgsql
AS $$
DECLARE
	c record;
	found boolean;
BEGIN
	FOR c IN
		SELECT p.tab, p.col
		FROM rapport.personal_data AS p
		JOIN pg_attribute AS a ON a.attrelid = p.tab AND a.attname = p.col
		WHERE p.class <> 'none'
		AND a.atttypid IN ('text'::regtype, 'text[]'::regtype, 'jsonb'::regtype)
		ORDER BY p.tab::text COLLATE "C", p.col COLLATE "C"
	LOOP
		EXECUTE format('SELECT EXISTS (SELECT FROM %s AS t WHERE t.%I::text ~ $1)', c.tab, c.col) INTO found USING wanted;
		IF NOT found THEN
			RETURN NEXT c.tab || '.' || c.col;
		END IF;
	END LOOP;
END;
$$;

-- A stands for whoever is erased, B for the other side, C has blocked A.
SELECT rapport.new_person('markr-external') AS a, rapport.new_person('other-b') AS b, rapport.new_person('other-c') AS c,
	   rapport.new_person('other-d') AS d \gset
SELECT rapport.set_credential_for(:a, 'markr@example.org', 'markr-password'),
	   rapport.set_credential_for(:b, 'other@example.org', 'other-password') \g /dev/null
SELECT rapport.act_as(p), rapport.set_place(52.5, 13.4), rapport.set_preference('date', '{"enabled": true}'),
	   rapport.update_profile('{"display_name": "other-name", "birth_date": "1990-01-01", "about": "other-about", "tags": ["other-tag"]}')
FROM unnest(ARRAY[:b, :c, :d]) AS p \g /dev/null
SELECT rapport.act_as(:a), rapport.set_place(52.5, 13.4), rapport.set_preference('date', '{"enabled": true, "accepts": {"erase_colour": ["red", null]}}'),
	   rapport.update_profile('{"display_name": "markr-name", "birth_date": "1990-01-01", "about": "markr-about", "tags": ["markr-tag"],
								"attributes": {"erase_colour": "red"}, "embedding": [0.25, 0.5]}') \g /dev/null
SELECT rapport.remember('markr-key', 'PUT /v1/x', '{"name": "markr-answer"}') \g /dev/null
SELECT matched FROM rapport."like"(:b);
SELECT rapport."like"(:d), rapport.pass(:c) \g /dev/null
SELECT rapport.act_as(:b) \g /dev/null
SELECT matched, conversation_id FROM rapport."like"(:a) \gset
SELECT seq FROM rapport.send_message(:conversation_id, 'other-client', 'other-body');
SELECT rapport.act_as(:a) \g /dev/null
SELECT seq FROM rapport.send_message(:conversation_id, 'markr-client', 'markr-body');
SELECT rapport.act_as(:b) \g /dev/null
SELECT seq FROM rapport.send_message(:conversation_id, 'other-client-2', 'other-body');
SELECT rapport.act_as(:d), rapport.pass(:a) \g /dev/null
SELECT rapport.act_as(:a), rapport.block(:d) \g /dev/null
SELECT rapport.act_as(:c), rapport.block(:a) \g /dev/null
SELECT rapport.act_as(NULL) \g /dev/null
UPDATE rapport.message SET attrs = '{"x": "markr-attrs"}' WHERE body = 'markr-body';
SELECT refusal FROM rapport.sign_in('other@example.org', 'wrong');
SELECT refusal FROM rapport.sign_in('markr@example.org', 'wrong');
SELECT access_token, refresh_token FROM rapport.sign_in('markr@example.org', 'markr-password', 'markr-agent') \gset
SELECT refusal FROM rapport.sign_in('markr@example.org', 'wrong');
CREATE TABLE privacy.source AS
SELECT 'markr-external' AS id, 'markr-name' AS name, 'markr-born' AS born UNION ALL SELECT 'other-external', 'other-name', 'x';
CALL rapport.import_people('privacy.source', '{"external_id": "id", "display_name": "name", "birth_date": "born"}');
DROP TABLE privacy.source;

-- Every text has it, but for hashes and fixed lists; done_to only while an import runs.
SELECT privacy.columns_without('markr');
SELECT * FROM privacy.rows_with('markr');

-- The export has every text that has it; secrets are named, and left out.
SELECT rapport.act_as(:a) \g /dev/null
CREATE TEMP TABLE export AS SELECT rapport.export_my_data() AS e;
SELECT rapport.act_as(NULL) \g /dev/null
SELECT t.key AS tab, c.key AS col
FROM export, jsonb_each(e -> 'data') AS t, jsonb_array_elements(t.value) AS r, jsonb_each(r) AS c
WHERE c.value::text ~ 'markr'
ORDER BY t.key COLLATE "C", c.key COLLATE "C";
SELECT t.key AS tab, jsonb_array_length(t.value) AS n FROM export, jsonb_each(e -> 'data') AS t ORDER BY t.key COLLATE "C";
SELECT l ->> 'table' AS tab, l ->> 'column' AS col, l ->> 'reason' AS reason FROM export, jsonb_array_elements(e -> 'left_out') AS l;
SELECT e -> 'data' -> 'profile' -> 0 -> 'place' AS place, e -> 'profile' -> 'attributes' AS attributes,
	   e -> 'data' -> 'candidate' -> 0 -> 'key' IS NOT NULL AS key FROM export;
SELECT e::text ~ 'other-|argon' AS of_others FROM export;
DROP TABLE export;

-- Not without the password; the failures count.
SELECT rapport.delete_my_account('markr-password');
SET ROLE rapport_user;
SELECT rapport.delete_my_account('markr-password');
SELECT rapport.erase_person_for(1);
RESET ROLE;
SELECT rapport.act_as(:a) \g /dev/null
SELECT rapport.delete_my_account(NULL);
SELECT refusal FROM rapport.delete_my_account('wrong');
SELECT rapport.act_as(:d) \g /dev/null
SELECT refusal FROM rapport.delete_my_account('wrong');
SELECT rapport.act_as(NULL) \g /dev/null
SELECT count(*) FROM rapport.person WHERE person_id IN (:a, :d);

-- Nor under a snapshot that may hide something.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT rapport.erase_person_for(:a);
ROLLBACK;

-- With it, in the session of a token.
BEGIN;
SELECT rapport.request_begin(:'access_token', false, NULL) = :a AS is_a;
SELECT refusal FROM rapport.delete_my_account('markr-password');
COMMIT;
SELECT rapport.request_begin(:'access_token', true, NULL);
SELECT refusal FROM rapport.refresh_session(:'refresh_token');
SELECT refusal FROM rapport.sign_in('markr@example.org', 'markr-password');
SELECT rapport.erase_person_for(:a);

SELECT * FROM privacy.rows_with('markr');
-- Where the number of nobody is left: the sender of messages without text, and a pass by somebody else.
SELECT * FROM privacy.rows_with('\m' || :a || '\M');

-- The other side keeps what it said, in a conversation that is closed and has no gap.
SELECT m.seq, m.sender_id = :b AS by_b, m.client_id, m.body, m.attrs FROM rapport.message AS m WHERE m.conversation_id = :conversation_id ORDER BY m.seq;
SELECT c.last_seq, c.closed_at IS NOT NULL AS closed FROM rapport.conversation AS c WHERE c.conversation_id = :conversation_id;
SELECT m.other_id, m.closed FROM rapport.member AS m WHERE m.conversation_id = :conversation_id;
SELECT rapport.act_as(:b) \g /dev/null
SELECT count(*) FROM rapport.matches();
SELECT count(*) FROM rapport.conversations();
SELECT rapport.send_message(:conversation_id, 'late', 'hello');
SELECT rapport."like"(:a);
SELECT rapport.pass(:a);
SELECT rapport.block(:a);
SELECT rapport.unblock(:a);
SELECT m ->> 'body' AS body FROM jsonb_array_elements(rapport.export_my_data() -> 'data' -> 'message') AS m;
SELECT rapport.act_as(NULL) \g /dev/null

-- Whoever acts in a session of one's own and is erased meanwhile is nobody.
SELECT rapport.act_as(:d) \g /dev/null
DO $$ BEGIN PERFORM rapport.act_as(NULL, true); PERFORM rapport.erase_person_for((SELECT person_id FROM rapport.external_identity WHERE external_id = 'other-d')); END $$;
SELECT rapport.update_profile('{"about": "markr"}');
SELECT rapport.act_as(NULL) \g /dev/null

-- When the other side goes too, nothing is left of the conversation; a refused
-- row of a source belongs to nobody known, and stays until the next import of that source.
SELECT rapport.erase_person_for(:b), rapport.erase_person_for(:c) \g /dev/null
SELECT * FROM privacy.rows_with('other-');
SELECT * FROM privacy.rows_with(format('\m(%s|%s|%s|%s|%s)\M', :a, :b, :c, :d, :conversation_id));
SELECT rapport.set_setting('password_memory', NULL), rapport.set_setting('password_ops', NULL) \g /dev/null
DROP SCHEMA privacy CASCADE;
