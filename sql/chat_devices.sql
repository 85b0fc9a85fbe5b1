-- Whatever a person's lists show, each of their devices shows after sync(): every verb,
-- one after the other, and devices that were away for some of them.
\i test/lib/chat.sql
SET rapport.now = '2026-06-01 00:00:00+00';

-- What a device would read of everything. Acts as the person, and as nobody after it.
CREATE FUNCTION pg_temp.all_of(me bigint) RETURNS jsonb
LANGUAGE plpgsql
AS $$
DECLARE
	everything jsonb;
	mode text;
BEGIN
	PERFORM rapport.act_as(me);
	everything := jsonb_build_object(
		'conversations', (SELECT coalesce(jsonb_object_agg(c.conversation_id, to_jsonb(c) - ARRAY['kind', 'display_name', 'last_message', 'cursor'] || jsonb_build_object('archived', a)), '{}')
						  FROM unnest(ARRAY[false, true]) AS a, rapport.conversations(100, archived => a) AS c),
		'messages', (SELECT coalesce(jsonb_object_agg(c.conversation_id, (SELECT coalesce(jsonb_object_agg(m.seq, m), '{}') FROM rapport.messages(c.conversation_id, 100) AS m)), '{}')
					 FROM unnest(ARRAY[false, true]) AS a, rapport.conversations(100, archived => a) AS c),
		'matches', (SELECT coalesce(jsonb_object_agg(m.conversation_id, jsonb_build_array(m.person_id, m.in_mode, m.matched_at)), '{}') FROM rapport.matches(page_size => 100) AS m),
		'intros', (SELECT coalesce(jsonb_object_agg(i.person_id, jsonb_build_array(i.in_mode, i.body, i.sent_at)), '{}') FROM rapport.intros(100) AS i),
		'intros_sent', (SELECT coalesce(jsonb_object_agg(i.person_id, jsonb_build_array(i.sent_at)), '{}') FROM rapport.intros_sent(100) AS i),
		'group_invitations', (SELECT coalesce(jsonb_object_agg(i.conversation_id, jsonb_build_array(i.title, i.invited_by, i.invited_at)), '{}') FROM rapport.group_invitations(100) AS i),
		'blocks', (SELECT coalesce(jsonb_object_agg(b.person_id, 1), '{}') FROM rapport.blocks(100) AS b),
		'preferences', rapport.chat_preferences(),
		'profile', (SELECT to_jsonb(p) FROM rapport.my_profile() AS p));
	FOREACH mode IN ARRAY ARRAY['date', 'friends'] LOOP
		BEGIN
			everything := everything || jsonb_build_object('likes ' || mode,
				(SELECT coalesce(jsonb_object_agg(l.person_id, jsonb_build_array(l.super_like, l.liked_at)), '{}') FROM rapport.likes_received(mode, 100) AS l));
		EXCEPTION WHEN SQLSTATE 'RP422' THEN
			-- None in a mode in which one takes no part.
			everything := everything || jsonb_build_object('likes ' || mode, '{}'::jsonb);
		END;
	END LOOP;
	PERFORM rapport.act_as(NULL);
	RETURN everything;
END;
$$;

CREATE FUNCTION pg_temp.told(me bigint, since text, OUT items jsonb, OUT next text)
LANGUAGE plpgsql
AS $$
BEGIN
	PERFORM rapport.act_as(me);
	SELECT s.items, s.next INTO items, next FROM rapport.sync(since, 500) AS s;
	PERFORM rapport.act_as(NULL);
END;
$$;

-- A copy after it has done what the protocol (api/client/README.md) says; now is read where that says to read.
CREATE FUNCTION pg_temp.follow(copy jsonb, items jsonb, now jsonb) RETURNS jsonb
LANGUAGE plpgsql
AS $$
DECLARE
	item jsonb;
	id text;
	person text;
	k text;
BEGIN
	FOR item IN SELECT e FROM jsonb_array_elements(items) WITH ORDINALITY AS x (e, n) ORDER BY n LOOP
		id := item ->> 'conversation_id';
		person := item ->> 'person_id';
		CASE item ->> 'kind'
		WHEN 'conversation' THEN
			-- What is new to it, or is seen otherwise, it reads.
			IF NOT copy -> 'conversations' ? id OR coalesce(copy #> ARRAY['views', id], item -> 'view_seq') <> item -> 'view_seq' THEN
				copy := jsonb_set(copy, ARRAY['messages', id], coalesce(now #> ARRAY['messages', id], '{}'));
			END IF;
			copy := jsonb_set(copy, ARRAY['conversations', id], (SELECT jsonb_object_agg(f, item -> f) FROM jsonb_object_keys(now #> ARRAY['conversations', id]) AS f));
			copy := jsonb_set(copy, '{views}', coalesce(copy -> 'views', '{}') || jsonb_build_object(id, item -> 'view_seq'));
			copy := jsonb_set(copy, ARRAY['messages', id],
				(SELECT coalesce(jsonb_object_agg(s, CASE WHEN item -> 'hidden' @> to_jsonb(s::bigint)
														  THEN m || '{"state": "hidden", "reactions": [], "body": null, "attrs": null, "edited_at": null, "expires_at": null}' ELSE m END), '{}')
				 FROM jsonb_each(copy #> ARRAY['messages', id]) AS x (s, m) WHERE s::bigint > (item ->> 'joined_seq')::bigint));
		WHEN 'message', 'change' THEN
			copy := jsonb_set(copy, ARRAY['messages', id, item ->> 'seq'], item - ARRAY['kind', 'conversation_id', 'change_seq']);
		WHEN 'gone' THEN
			copy := copy #- ARRAY['conversations', id] #- ARRAY['messages', id] #- ARRAY['matches', id];
			IF person IS NOT NULL THEN
				copy := copy #- ARRAY['intros', person] #- ARRAY['intros_sent', person] #- ARRAY['likes ' || (item ->> 'mode'), person];
			END IF;
		WHEN 'match' THEN
			copy := jsonb_set(copy, ARRAY['matches', id], jsonb_build_array(item -> 'person_id', item -> 'mode', item -> 'matched_at'));
			copy := copy #- ARRAY['intros', person] #- ARRAY['intros_sent', person] #- ARRAY['likes ' || (item ->> 'mode'), person];
		WHEN 'like' THEN
			copy := jsonb_set(copy, ARRAY['likes ' || (item ->> 'mode'), person], jsonb_build_array(item -> 'super_like', item -> 'liked_at'));
		WHEN 'intro' THEN
			copy := jsonb_set(copy, ARRAY['intros', person], jsonb_build_array(item -> 'mode', item -> 'body', item -> 'sent_at'));
		WHEN 'intro_gone' THEN
			copy := copy #- ARRAY['intros', person];
		WHEN 'intro_sent' THEN
			copy := jsonb_set(copy, ARRAY['intros_sent', person], jsonb_build_array(item -> 'sent_at'));
		WHEN 'group_invitation' THEN
			copy := jsonb_set(copy, ARRAY['group_invitations', id], jsonb_build_array(item -> 'title', item -> 'invited_by', item -> 'invited_at'));
		WHEN 'preferences' THEN
			copy := jsonb_set(copy, '{preferences}', item -> 'read_receipts');
		WHEN 'stale' THEN
			k := concat_ws(' ', item ->> 'list', item ->> 'mode');
			copy := jsonb_set(copy, ARRAY[k], now -> k);
		END CASE;
	END LOOP;
	RETURN copy;
END;
$$;

CREATE TEMPORARY TABLE person (name text PRIMARY KEY, id bigint);
INSERT INTO person SELECT n, pg_temp.newcomer(n) FROM unnest(ARRAY['ana', 'ben', 'cem', 'dot']) AS n;
CREATE TEMPORARY TABLE step (n integer GENERATED ALWAYS AS IDENTITY, who text, call text, refused text, wrong text);
-- The kinds that a device must not pass over: one that does is wrong.
CREATE TEMPORARY TABLE needed (kind text PRIMARY KEY);
CREATE TEMPORARY TABLE device (n integer, name text, copy jsonb, next text, PRIMARY KEY (name, n));

-- {ana}: the person; {talk}: where Ana and Ben talk, or talked; {group}: the last group.
CREATE FUNCTION pg_temp.attempt(who text, call text) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
	it record;
	code text;
BEGIN
	FOR it IN
		SELECT p.name, p.id FROM person AS p
		UNION ALL
		(SELECT 'talk', m.conversation_id FROM rapport.member AS m
		 WHERE m.person_id = (SELECT p.id FROM person AS p WHERE p.name = 'ana') AND m.other_id = (SELECT p.id FROM person AS p WHERE p.name = 'ben')
		 ORDER BY m.last_at DESC LIMIT 1)
		UNION ALL
		(SELECT 'group', c.conversation_id FROM rapport.conversation AS c WHERE c.kind = 'group' ORDER BY c.created_at DESC LIMIT 1)
	LOOP
		call := replace(call, format('{%s}', it.name), it.id::text);
	END LOOP;
	PERFORM rapport.act_as((SELECT p.id FROM person AS p WHERE p.name = who));
	EXECUTE 'SELECT rapport.' || call;
	PERFORM rapport.act_as(NULL);
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = CONSTRAINT_NAME;
	PERFORM rapport.act_as(NULL);
	RETURN coalesce(nullif(code, ''), SQLERRM);
END;
$$;

-- Each step is a transaction, two hours after the one before. Afterwards each person's devices, one
-- that has seen the step before and those that were away for up to six, are brought up to date:
-- which of them is wrong about what.
CREATE PROCEDURE pg_temp.take()
LANGUAGE plpgsql
AS $$
DECLARE
	it step;
	somebody person;
	old device;
	now jsonb;
	news jsonb;
	upto text;
	differs text;
	copy jsonb;
BEGIN
	INSERT INTO device SELECT 0, p.name, pg_temp.all_of(p.id), (pg_temp.told(p.id, NULL)).next FROM person AS p;
	COMMIT;
	FOR it IN SELECT s.* FROM step AS s ORDER BY s.n LOOP
		PERFORM set_config('rapport.now', (rapport.now() + interval '2 hours')::text, false);
		it.refused := pg_temp.attempt(it.who, it.call);
		COMMIT;
		FOR somebody IN SELECT p.* FROM person AS p WHERE EXISTS (SELECT FROM rapport.person AS x WHERE x.person_id = p.id) ORDER BY p.name LOOP
			now := pg_temp.all_of(somebody.id);
			FOR old IN SELECT d.* FROM device AS d WHERE d.name = somebody.name AND d.n BETWEEN it.n - 6 AND it.n - 1 ORDER BY d.n DESC LOOP
				SELECT t.items, t.next INTO news, upto FROM pg_temp.told(somebody.id, old.next) AS t;
				copy := pg_temp.follow(old.copy, news, now);
				IF old.n = it.n - 1 THEN
					INSERT INTO needed
					SELECT k.kind
					FROM (SELECT DISTINCT concat_ws(' ', i ->> 'kind', i ->> 'list') AS kind FROM jsonb_array_elements(news) AS i) AS k
					CROSS JOIN LATERAL (SELECT pg_temp.follow(old.copy, coalesce(jsonb_agg(i ORDER BY x.n) FILTER (WHERE concat_ws(' ', i ->> 'kind', i ->> 'list') <> k.kind), '[]'), now) AS copy
										FROM jsonb_array_elements(news) WITH ORDINALITY AS x (i, n)) AS without
					WHERE EXISTS (SELECT FROM jsonb_each(now) AS n WHERE without.copy -> n.key IS DISTINCT FROM n.value)
					ON CONFLICT DO NOTHING;
					INSERT INTO device VALUES (it.n, somebody.name, now || jsonb_strip_nulls(jsonb_build_object('views', copy -> 'views')), upto);
				END IF;
				SELECT string_agg(n.key, ' ' ORDER BY n.key) INTO differs FROM jsonb_each(now) AS n WHERE copy -> n.key IS DISTINCT FROM n.value;
				IF differs IS NOT NULL THEN
					it.wrong := concat_ws('; ', it.wrong, format('%s, away since %s: %s', somebody.name, old.n, differs));
				END IF;
			END LOOP;
		END LOOP;
		UPDATE step AS s SET refused = it.refused, wrong = it.wrong WHERE s.n = it.n;
	END LOOP;
END;
$$;

SELECT rapport.act_as(id) FROM person WHERE name = 'ana' \gset
SELECT rapport.set_preference('date', '{"enabled": true}') \gset
SELECT rapport.act_as(NULL) \gset
SELECT rapport.act_as(id) FROM person WHERE name = 'ben' \gset
SELECT rapport.set_preference('date', '{"enabled": true}') \gset
SELECT rapport.act_as(NULL) \gset

SELECT rapport.set_setting('message_edit_minutes', '0') \gset
INSERT INTO step (who, call) VALUES
	-- Likes, as who gets them sees them.
	('ben', '"like"({ana}, ''friends'')'),
	('ben', 'rewind(''friends'')'),
	('ben', '"like"({ana}, ''friends'')'),
	('ben', 'super_like({ana}, ''friends'')'),
	('ben', 'maybe({ana}, ''friends'')'),
	('ben', '"like"({ana}, ''friends'')'),
	('ben', 'pass({ana}, ''friends'')'),
	('ben', '"like"({ana}, ''friends'')'),
	('ana', 'pass({ben}, ''friends'')'),
	('ana', 'rewind(''friends'')'),
	('ana', 'maybe({ben}, ''friends'')'),
	('ana', 'rewind(''friends'')'),
	('ben', 'block({ana})'),
	('ana', 'block({ben})'),
	('ben', 'unblock({ana})'),
	('ana', 'unblock({ben})'),
	('ben', '"like"({ana}, ''date'')'),
	('ana', 'set_preference(''friends'', ''{"age": [50, 60]}'')'),
	('ana', 'set_preference(''friends'', ''{"age": null}'')'),
	('ana', 'set_preference(''date'', ''{"enabled": false}'')'),
	('ana', 'set_preference(''date'', ''{"enabled": true}'')'),
	('ana', 'set_place(-41.5, 174.9)'),
	('ana', 'update_profile(''{"about": "Hello"}'')'),
	('ana', '"like"({ben}, ''friends'')'),
	-- A conversation of two.
	('ana', 'send_message({talk}, ''a-1'', ''Hello Ben'')'),
	('ben', 'mark_delivered({talk}, 1)'),
	('ben', 'mark_read({talk}, 1)'),
	('ben', 'send_messages({talk}, ''[{"client_id": "b-1", "body": "Hello Ana"}, {"client_id": "b-2", "body": "How are you?"}]'')'),
	('ana', 'react({talk}, 2, ''x'')'),
	('ana', 'unreact({talk}, 2)'),
	('ben', 'edit_message({talk}, 3, ''How do you do?'')'),
	('ana', 'delete_message({talk}, 2)'),
	('ana', 'delete_message({talk}, 1, true)'),
	('ana', 'mute_conversation({talk}, ''2027-01-01 00:00:00+00'')'),
	('ana', 'archive_conversation({talk}, true)'),
	('ana', 'mute_conversation({talk})'),
	('ana', 'archive_conversation({talk}, false)'),
	('ben', 'set_message_timer({talk}, 525600)'),
	('ben', 'send_message({talk}, ''b-3'', ''not for long'')'),
	('ana', 'set_chat_preferences(false)'),
	('ana', 'mark_read({talk}, 5)'),
	('ana', 'set_chat_preferences(true)'),
	('ben', 'clear_conversation({talk}, 2)'),
	('ana', 'block({ben})'),
	('ana', 'unblock({ben})'),
	('ben', 'unmatch({ana}, ''friends'')'),
	('ana', '"like"({ben}, ''date'')'),
	('ben', 'block({ana})'),
	('ben', 'unblock({ana})'),
	('ana', 'unmatch({ben})'),
	-- Intros.
	('cem', 'send_intro({ana}, ''Hi'')'),
	('ana', 'block({cem})'),
	('ana', 'unblock({cem})'),
	('ana', 'decline_intro({cem})'),
	('ana', 'accept_intro({cem})'),
	('ben', '"like"({cem}, ''friends'')'),
	('ben', 'send_intro({cem}, ''Hi'', ''friends'')'),
	('cem', 'accept_intro({ben})'),
	('cem', 'unmatch({ben})'),
	('dot', 'send_intro({cem}, ''Hi'')'),
	('cem', '"like"({dot}, ''friends'')'),
	('dot', '"like"({cem}, ''friends'')'),
	('cem', 'block({dot})'),
	('cem', 'unblock({dot})'),
	-- Groups.
	('cem', 'create_group(''Walkers'')'),
	('cem', 'invite_to_group({group}, {ana})'),
	('cem', 'invite_to_group({group}, {dot})'),
	('cem', 'send_message({group}, ''c-1'', ''anybody?'')'),
	('cem', 'rename_group({group}, ''Hikers'')'),
	('ana', 'join_group({group})'),
	('dot', 'decline_group({group})'),
	('cem', 'invite_to_group({group}, {dot})'),
	('cem', 'block({dot})'),
	('cem', 'unblock({dot})'),
	(NULL, 'add_to_group_for({group}, ARRAY[{dot}, {ben}])'),
	('ana', 'send_message({group}, ''a-1'', ''Hello all'')'),
	('ana', 'block({dot})'),
	('dot', 'send_message({group}, ''d-1'', ''Hello Cem'')'),
	('ana', 'unblock({dot})'),
	('cem', 'set_group_role({group}, {ana}, ''admin'')'),
	('ana', 'remove_from_group({group}, {ben})'),
	('ana', 'leave_group({group})'),
	('cem', 'invite_to_group({group}, {ana})'),
	('cem', 'leave_group({group})'),
	-- Somebody is erased.
	('ben', 'send_intro({dot}, ''Hi'', ''friends'')'),
	('ben', '"like"({dot}, ''friends'')'),
	('dot', 'send_intro({ana}, ''Hi'')'),
	('ana', 'block({ben})'),
	(NULL, 'erase_person_for({ben})'),
	(NULL, 'erase_person_for({ana})'),
	(NULL, 'erase_person_for({cem})');
CALL pg_temp.take();
SELECT count(*) AS steps FROM step;
SELECT n, who, call, refused FROM step WHERE refused IS NOT NULL ORDER BY n;
SELECT n, who, call, wrong FROM step WHERE wrong IS NOT NULL ORDER BY n;
-- Each kind counts.
SELECT string_agg(kind, ', ' ORDER BY kind) AS kinds FROM needed;
-- Every verb that people have was among them, but for those of sign-in.
SELECT p.proname
FROM pg_proc AS p
WHERE p.pronamespace = 'rapport'::regnamespace
AND p.provolatile = 'v'
AND has_function_privilege('rapport_user', p.oid, 'EXECUTE')
AND NOT EXISTS (SELECT FROM step AS s WHERE s.call ~ ('^"?' || p.proname || '"?\('))
ORDER BY 1;
SELECT count(rapport.erase_person_for(id)) AS erased FROM person WHERE name = 'dot';
SELECT rapport.set_setting('message_edit_minutes', NULL) \gset
RESET rapport.now;
