-- What the verbs of chat do to each other.
\i test/lib/chat.sql

SET rapport.now = '2026-05-01 12:00:00+00';
-- As somebody: the first row as text, or what it is refused with.
CREATE FUNCTION pg_temp.does(id bigint, call text) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
	answer text;
BEGIN
	PERFORM rapport.act_as(id);
	BEGIN
		EXECUTE 'SELECT x::text FROM rapport.' || call || ' AS x' INTO answer;
	EXCEPTION WHEN OTHERS THEN
		answer := SQLERRM;
	END;
	PERFORM rapport.act_as(NULL);
	RETURN answer;
END;
$$;
CREATE FUNCTION pg_temp.person(name text) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
	id bigint := rapport.new_person('together-' || name);
BEGIN
	PERFORM rapport.act_as(id), rapport.update_profile(jsonb_build_object('display_name', name, 'birth_date', '1996-04-01'));
	PERFORM rapport.act_as(NULL);
	RETURN id;
END;
$$;
CREATE FUNCTION pg_temp.group_of(ids bigint[]) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
	talk bigint;
BEGIN
	PERFORM rapport.act_as(ids[1]);
	talk := rapport.create_group('Walkers');
	PERFORM rapport.act_as(NULL);
	PERFORM rapport.add_to_group_for(talk, ids[2:]);
	RETURN talk;
END;
$$;
SELECT pg_temp.person('ana') AS ana, pg_temp.person('ben') AS ben, pg_temp.person('cem') AS cem, pg_temp.person('dan') AS dan \gset
SELECT pg_temp.meet(:ana, :ben) AS talk, pg_temp.group_of(ARRAY[:ana, :ben, :cem]) AS party \gset

-- Who blocks the owner does not keep their messages from being deleted; nor does deleting for oneself.
SELECT pg_temp.does(:ben, format('send_message(%s, %L, %L)', :party, 'b1', 'abuse')), pg_temp.does(:ben, format('send_message(%s, %L, %L)', :party, 'b2', 'more')) \g /dev/null
SELECT pg_temp.does(:ben, format('block(%s)', :ana)), pg_temp.does(:ana, format('delete_message(%s, 2, true)', :party));
SELECT rapport.act_as(:cem) \gset
SELECT seq, state, body FROM rapport.messages(:party, 1, 3);
RESET ROLE;
SELECT pg_temp.does(:ben, format('delete_message(%s, 3)', :party)), pg_temp.does(:ben, format('delete_message(%s, 3, true)', :party));
SELECT rapport.act_as(:cem) \gset
SELECT seq, state, body FROM rapport.messages(:party, 1, 4);
RESET ROLE;
SELECT pg_temp.does(:cem, format('delete_message(%s, 1, true)', :party)) AS system, pg_temp.does(:cem, format('delete_message(%s, 9, true)', :party)) AS nothing;
SELECT pg_temp.does(:ben, format('unblock(%s)', :ana)) \g /dev/null

-- An owner leaves: whoever is made the owner by it has read nothing.
SELECT pg_temp.group_of(ARRAY[:ana, :ben, :cem]) AS heirs \gset
SELECT pg_temp.does(:cem, format('send_message(%s, %L, %L)', :heirs, 'h' || i, 'unread')) FROM generate_series(1, 3) AS i \g /dev/null
SELECT pg_temp.does(:ana, format('set_group_role(%s, %s, %L)', :heirs, :ben, 'admin')) \g /dev/null
SELECT pg_temp.does(:ana, format('leave_group(%s)', :heirs)) \g /dev/null
SELECT m.read_seq, p.role, c.last_seq
FROM rapport.member AS m
JOIN rapport.participant AS p USING (person_id, conversation_id)
JOIN rapport.conversation AS c USING (conversation_id)
WHERE m.person_id = :ben AND m.conversation_id = :heirs;

-- Invitations end with who gave them, and with being let in otherwise.
SELECT pg_temp.meet(:ben, :dan) AS between \gset
SELECT pg_temp.does(:ben, format('invite_to_group(%s, %s)', :heirs, :dan));
SELECT count(*) FROM rapport.group_invitation WHERE person_id = :dan;
SELECT rapport.add_to_group_for(:heirs, ARRAY[:dan]);
SELECT count(*) FROM rapport.group_invitation WHERE person_id = :dan;
SELECT pg_temp.does(:ben, format('remove_from_group(%s, %s)', :heirs, :dan)), pg_temp.does(:dan, format('join_group(%s)', :heirs)) AS back;
SELECT pg_temp.does(:ben, format('invite_to_group(%s, %s)', :heirs, :dan)), pg_temp.does(:ben, format('leave_group(%s)', :heirs)), pg_temp.does(:dan, format('join_group(%s)', :heirs)) AS without;

-- Receipts: what was read while they were off is not shown later, by whatever way.
SELECT pg_temp.meet(:cem, :dan) AS mail \gset
SELECT pg_temp.does(:cem, format('send_message(%s, %L, %L)', :mail, 'm' || i, 'text')) FROM generate_series(1, 2) AS i \g /dev/null
SELECT pg_temp.does(:dan, 'set_chat_preferences(false)'), pg_temp.does(:dan, format('mark_read(%s, 1)', :mail)), pg_temp.does(:dan, 'set_chat_preferences(true)') \g /dev/null
SELECT rapport.act_as(:cem) \gset
SELECT r.delivered_seq, r.read_seq, c.other_delivered_seq, c.other_read_seq
FROM rapport.receipts(:mail) AS r
CROSS JOIN rapport.conversations() AS c
WHERE c.conversation_id = :mail;
SELECT rapport.export_my_data() -> 'data' -> 'member' -> 0 ?| ARRAY['other_read_seq', 'other_delivered_seq'] AS exported;
RESET ROLE;

-- Retention: what is gone is not unread, nor hidden, nor known by a hash.
SELECT pg_temp.does(:dan, format('send_message(%s, %L, %L)', :mail, 'old' || i, 'old')) FROM generate_series(1, 5) AS i \g /dev/null
SELECT pg_temp.does(:cem, format('send_message(%s, %L, %L)', :party, 'old' || i, 'old')) FROM generate_series(1, 5) AS i \g /dev/null
SELECT pg_temp.does(:cem, format('delete_message(%s, %s)', :mail, i)) FROM unnest('{7,4}'::integer[]) AS i \g /dev/null
SET rapport.now = '2026-07-01 12:00:00+00';
SELECT pg_temp.does(:dan, format('send_message(%s, %L, %L)', talk, 'new', 'new')) FROM unnest(ARRAY[:mail]) AS talk \g /dev/null
SELECT pg_temp.does(:cem, format('send_message(%s, %L, %L)', talk, 'new', 'new')) FROM unnest(ARRAY[:party]) AS talk \g /dev/null
SELECT rapport.set_setting('message_retention_days', '30') \g /dev/null
SELECT removed > 9 AS removed, next FROM rapport.retain_messages();
SELECT rapport.set_setting('message_retention_days', '0') \g /dev/null
SELECT rapport.act_as(:cem) \gset
SELECT conversation_id = :party AS party, last_seq, read_seq, unread FROM rapport.conversations() WHERE conversation_id IN (:mail, :party) ORDER BY 1;
SELECT rapport.act_as(:ben) \gset
SELECT last_seq, read_seq, unread FROM rapport.conversations() WHERE conversation_id = :party;
RESET ROLE;
SELECT hidden FROM rapport.participant WHERE conversation_id = :mail AND person_id = :cem;
SELECT count(*) FILTER (WHERE body_hash <> 0) AS hashes, count(*) > 5 AS names FROM rapport.message_dedupe WHERE conversation_id = :mail;
SELECT pg_temp.refusal(format('SELECT rapport.retain_messages(%s)', x)) FROM unnest('{"NULL", "0, 0", "0, -1", "0, NULL"}'::text[]) AS x;

-- An edit keeps no hash of what was said; a retry of the send is still one.
SELECT body_hash <> 0 AS hash FROM rapport.message_dedupe WHERE conversation_id = :party AND client_id = 'new';
SELECT pg_temp.does(:cem, format('edit_message(%s, 9, %L)', :party, 'newer'));
SELECT body_hash FROM rapport.message_dedupe WHERE conversation_id = :party AND client_id = 'new';
SELECT pg_temp.does(:cem, format('send_message(%s, %L, %L)', :party, 'new', 'new'));

-- Messages that disappear: one that stays long does not keep the others, and 0 is none left.
SELECT pg_temp.meet(:ana, :cem) AS slow \gset
SELECT pg_temp.does(:ana, format('set_message_timer(%s, 525600)', :slow)), pg_temp.does(:ana, format('send_message(%s, %L, %L)', :slow, 's1', 'for a year')), pg_temp.does(:ana, format('set_message_timer(%s, 1)', :slow)) \g /dev/null
INSERT INTO rapport.message (conversation_id, seq, sender_id, sent_at, flags, body) SELECT :slow, i, :ana, rapport.now(), 256, 'short' FROM generate_series(4, 12100) AS i;
UPDATE rapport.conversation SET last_seq = 12100 WHERE conversation_id = :slow;
CREATE TEMP TABLE timed AS SELECT n, pg_temp.person('timed' || n) AS one, pg_temp.person('timer' || n) AS other, NULL::bigint AS talk FROM generate_series(1, 7) AS n;
UPDATE timed SET talk = pg_temp.meet(one, other);
SELECT pg_temp.does(one, format('set_message_timer(%s, 1)', talk)), CASE WHEN n = 5 THEN pg_temp.does(one, format('send_message(%s, %L, %L)', talk, 'x', 'gone soon')) END,
	pg_temp.does(one, format('set_message_timer(%s, NULL)', talk)) FROM timed \g /dev/null
SET rapport.now = '2026-07-02 12:00:00+00';
SELECT rapport.act_as((SELECT one FROM timed WHERE n = 5)) \gset
SELECT rapport.export_my_data()::text ~ 'gone soon' AS exported;
RESET ROLE;
SELECT rapport.sweep_expired(1) > 0 AS some, rapport.sweep_expired(1) > 0 AS others;
SELECT rapport.sweep_expired(1), rapport.sweep_expired(), (SELECT count(*) FROM rapport.message WHERE body IN ('short', 'gone soon')) AS left, (SELECT count(*) FROM rapport.message WHERE body = 'for a year') AS long;
SELECT from_seq FROM rapport.message_timer WHERE conversation_id = :slow;
SELECT count(*) FROM rapport.message_timer AS t JOIN timed ON talk = conversation_id;
SELECT pg_temp.refusal(format('SELECT rapport.sweep_expired(%s)', x)) FROM unnest('{0, -1, "NULL"}'::text[]) AS x;

-- Floods: what changes a conversation counts as messages do.
SELECT rapport.set_setting('messages_per_minute', '25') \g /dev/null
SELECT answer, count(*) FROM (SELECT pg_temp.does(:ana, format('set_message_timer(%s, %s)', :talk, 1 + i % 2)) AS answer FROM generate_series(1, 40) AS i) AS x GROUP BY 1 ORDER BY 2;
SELECT pg_temp.does(:ana, format('send_message(%s, %L, %L)', :talk, 'flood', 'one more'));
SELECT answer, count(*) FROM (SELECT pg_temp.does(:cem, format('react(%s, 9, %L)', :party, i % 2)) AS answer FROM generate_series(1, 40) AS i) AS x GROUP BY 1 ORDER BY 2;
SELECT rapport.set_setting('messages_per_minute', '120') \g /dev/null
SET rapport.now = '2026-07-02 12:05:00+00';

-- Erasure is told: what the erased said and reacted to, and that they left.
SELECT pg_temp.group_of(ARRAY[:ana, :ben, :cem]) AS last \gset
SELECT pg_temp.does(:ben, format('send_message(%s, %L, %L)', :last, 'b', 'of ben')), pg_temp.does(:cem, format('send_message(%s, %L, %L)', :last, 'c', 'of cem')), pg_temp.does(:ben, format('react(%s, 3, %L)', :last, 'ok')) \g /dev/null
SELECT rapport.act_as(:ana) \gset
SELECT next AS since FROM rapport.sync() \gset
RESET ROLE;
SELECT rapport.erase_person_for(:ben) \g /dev/null
SELECT rapport.act_as(:ana) \gset
SELECT i ->> 'kind' AS kind, i ->> 'seq' AS seq, i ->> 'state' AS state, i ->> 'body' AS body, i -> 'reactions' AS reactions, i #>> '{attrs,event,type}' AS event
FROM rapport.sync(:'since'), jsonb_array_elements(items) AS i
WHERE (i ->> 'conversation_id')::bigint = :last AND i ->> 'kind' <> 'conversation'
ORDER BY i ->> 'kind', i ->> 'seq';
SELECT seq, state, body, reactions FROM rapport.messages(:last);
RESET ROLE;

-- The app's own attributes stay as they are; a number too small for a double is 0.
SELECT rapport.message_attrs('{"app": {"a": null}, "reply_to": null}', false), rapport.message_attrs('{"app": null}', false), rapport.message_attrs('{"location": {"latitude": 1e-400, "longitude": 0}}', false) ? 'location' AS location;
SELECT pg_temp.refusal(format('SELECT rapport.add_to_group_for(%s, %L)', :last, x)) FROM unnest(ARRAY[NULL, '{NULL}', '{}']) AS x;
