-- What happens to messages after they were sent: edits, deletions, reactions,
-- receipts, and what everybody keeps of their own side.
\i test/lib/chat.sql

SET rapport.now = '2026-05-01 12:00:00+00';
SELECT rapport.new_person('changes-ana') AS ana, rapport.new_person('changes-ben') AS ben, rapport.new_person('changes-cem') AS cem \gset
SELECT pg_temp.meet(:ana, :ben) AS talk \gset
SELECT rapport.act_as(:ana) \gset
SELECT seq FROM rapport.send_message(:talk, 'a-1', 'Helo Ben');
SELECT seq FROM rapport.send_message(:talk, 'a-2', 'second');
SELECT rapport.act_as(:ben) \gset
SELECT seq FROM rapport.send_message(:talk, 'b-3', 'third');

-- Attributes: what is kept of them, and what cannot be.
SELECT seq FROM rapport.send_message(:talk, 'b-4', 'look', format('{"reply_to": 1, "mentions": [%s], "attachments": [{"ref": "f/1", "type": "image/webp"}], "app": {"x": 1}}', :ana)::jsonb);
SELECT seq FROM rapport.send_message(:talk, 'b-5', '', '{"location": {"latitude": 52.5212345, "longitude": 13.4112345}}');
-- A retry with the same place is a retry, within a cell at least.
SELECT seq, duplicate FROM rapport.send_message(:talk, 'b-5', '', '{"location": {"latitude": 52.5212346, "longitude": 13.4112344}}');
SELECT pg_temp.refusal(format('SELECT rapport.send_message(%s, %L, %L, %L)', :talk, 'b-4', 'look', '{"reply_to": 2}')) AS other_attrs;
SELECT seq, attrs - 'mentions' AS attrs, (attrs #>> '{mentions,0}')::bigint = :ana AS ana FROM rapport.messages(:talk, after_seq => 3);
SELECT attrs, pg_temp.refusal(format('SELECT rapport.send_message(%s, %L, %L, %L)', :talk, 'x', 'text', attrs))
FROM unnest(ARRAY['[]', '"a"', '{"event": {"type": "joined"}}', '{"reply_to": 6}', '{"reply_to": 0}', '{"reply_to": "1"}', '{"reply_to": 1.5}',
	'{"mentions": [1]}', '{"mentions": 1}', '{"mentions": ["x"]}', '{"attachments": []}', '{"attachments": [{}]}', '{"attachments": [1]}',
	'{"location": {"latitude": 91, "longitude": 0}}', '{"location": {"latitude": 1}}', '{"location": {"latitude": 1, "longitude": "NaN"}}',
	'{"app": 1}']) AS attrs;
SELECT pg_temp.refusal(format('SELECT rapport.send_message(%s, %L, %L, %L)', :talk, 'x', ' ', '{"app": {"x": 1}}')) AS empty,
	pg_temp.refusal(format('SELECT rapport.send_message(%s, %L, %L, %L)', :talk, 'x', 'text', jsonb_build_object('app', jsonb_build_object('x', repeat('y', 4100))))) AS large;

-- Several at once: all or none.
SELECT * FROM rapport.send_messages(:talk, '[{"client_id": "b-6", "body": "six"}, {"client_id": "b-7", "body": "seven", "attrs": {"reply_to": 6}}, {"client_id": "b-6", "body": "six"}]');
-- As one by itself, each may say that it has no attributes.
SELECT seq, duplicate FROM rapport.send_messages(:talk, '[{"client_id": "b-6", "body": "six", "attrs": null}]');
SELECT pg_temp.refusal(format('SELECT rapport.send_messages(%s, %L)', :talk, batch)) AS refusal
FROM (VALUES ('[]'), ('{}'), ('[1]'), ('[{"client_id": "b-8", "body": "eight"}, {"client_id": "b-9", "body": " "}]'),
	('[{"client_id": "b-8", "body": "eight", "seq": 9}]'), ('[{"client_id": "b-8"}]'),
	((SELECT jsonb_agg(jsonb_build_object('client_id', n, 'body', 'x')) FROM generate_series(1, 10000) AS n)::text)) AS bad (batch);
SELECT max(seq) AS still FROM rapport.messages(:talk);

-- Around a message.
SELECT array_agg(seq) AS around_4 FROM rapport.messages(:talk, 3, around_seq => 4);
SELECT array_agg(seq) AS around_1 FROM rapport.messages(:talk, 3, around_seq => 1);
SELECT array_agg(seq) AS around_the_end FROM rapport.messages(:talk, 3, around_seq => 9007199254740992);
SELECT pg_temp.refusal(format('SELECT rapport.messages(%s, around_seq => 0)', :talk)), pg_temp.refusal(format('SELECT rapport.messages(%s, around_seq => 1, after_seq => 1)', :talk));

-- Edits: one's own, in time; the same again changes nothing.
SELECT rapport.act_as(NULL) \gset
SET rapport.now = '2026-05-01 12:10:00+00';
SELECT rapport.act_as(:ana) \gset
SELECT * FROM rapport.edit_message(:talk, 1, 'Hello Ben');
SELECT * FROM rapport.edit_message(:talk, 1, 'Hello Ben');
SELECT pg_temp.refusal(format('SELECT rapport.edit_message(%s, %s, %L)', :talk, seq, body)) AS refusal
FROM (VALUES ('1', ''), ('1', repeat('x', 8193)), ('3', 'not mine'), ('99', 'x'), ('NULL', 'x'), ('0', 'x')) AS bad (seq, body);
SELECT rapport.act_as(:ben) \gset
SELECT seq, body, edited_at FROM rapport.messages(:talk, 1, around_seq => 1);
-- Its place may lose its words.
SELECT change_seq FROM rapport.edit_message(:talk, 5, 'here');
SELECT change_seq FROM rapport.edit_message(:talk, 5, '');
SELECT rapport.act_as(NULL) \gset
SET rapport.now = '2026-05-01 13:00:01+00';
SELECT rapport.act_as(:ana) \gset
SELECT pg_temp.refusal(format('SELECT rapport.edit_message(%s, 1, %L)', :talk, 'too late')) AS late,
	pg_temp.refusal(format('SELECT rapport.edit_message(%s, 1, %L)', :talk, 'Hello Ben')) AS retry;

-- Reactions: one a person, replaced, taken back.
SELECT rapport.react(:talk, 3, '👍') \gset
SELECT rapport.react(:talk, 3, '👍') \gset
SELECT rapport.act_as(:ben) \gset
SELECT rapport.react(:talk, 3, '👍') \gset
SELECT rapport.react(:talk, 1, ':wave:') \gset
SELECT rapport.react(:talk, 1, ':heart:') \gset
\pset format unaligned
SELECT seq, reactions FROM rapport.messages(:talk, 3, after_seq => 0);
\pset format aligned
SELECT rapport.unreact(:talk, 3), rapport.unreact(:talk, 3) \gset
SELECT pg_temp.refusal(format('SELECT rapport.react(%s, 1, %L)', :talk, reaction)) FROM unnest(ARRAY['', 'a b', repeat('x', 65), E'a\n', NULL]) AS reaction;
-- The changes, each message once, with its last number.
SELECT change_seq, seq, state, body, jsonb_array_length(reactions) AS reactions FROM rapport.changed_messages(:talk, 0);
SELECT change_seq, seq FROM rapport.changed_messages(:talk, 5);
SELECT change_seq, seq FROM rapport.changed_messages(:talk, 0, 1);
SELECT pg_temp.refusal(format('SELECT rapport.changed_messages(%s, %s)', :talk, call)) FROM unnest(ARRAY['-1', 'NULL', '0, 0', '0, 101']) AS call;
SELECT rapport.act_as(NULL) \gset
SELECT change_seq AS of_the_conversation, (SELECT array_agg(DISTINCT m.change_seq) FROM rapport.member AS m WHERE m.conversation_id = c.conversation_id) AS of_members
FROM rapport.conversation AS c WHERE conversation_id = :talk;
SELECT rapport.act_as(:ben) \gset

-- Deleted for oneself: the other keeps it. Deleted for all: nobody has it, not even as a hash, but a retry is still one.
SELECT rapport.delete_message(:talk, 2), rapport.delete_message(:talk, 2) \gset
SELECT seq, state, body FROM rapport.messages(:talk, 3, after_seq => 0);
SELECT pg_temp.refusal(format('SELECT rapport.delete_message(%s, %s, true)', :talk, seq)) AS refusal FROM unnest(ARRAY[2, 1, 99]) AS seq;
SELECT pg_temp.refusal(format('SELECT rapport.react(%s, 2, %L)', :talk, 'x')) AS react_to_hidden;
SELECT rapport.act_as(:ana) \gset
SELECT seq, state, body FROM rapport.messages(:talk, 3, after_seq => 0);
SELECT rapport.delete_message(:talk, 1, true), rapport.delete_message(:talk, 1, true) \gset
SELECT seq, state, body, attrs, reactions FROM rapport.messages(:talk, 1, around_seq => 1);
SELECT pg_temp.refusal(format('SELECT rapport.%s', attempt)) AS refusal
FROM unnest(ARRAY[format('edit_message(%s, 1, %L)', :talk, 'again'), format('react(%s, 1, %L)', :talk, 'x')]) AS attempt;
SELECT seq, duplicate FROM rapport.send_message(:talk, 'a-1', 'Helo Ben');
SELECT rapport.act_as(NULL) \gset
SELECT m.body IS NULL AND m.attrs IS NULL AS gone, d.body_hash, (SELECT count(*) FROM rapport.message_reaction AS r WHERE r.conversation_id = m.conversation_id AND r.seq = 1) AS reactions
FROM rapport.message AS m JOIN rapport.message_dedupe AS d USING (conversation_id, sender_id, client_id)
WHERE m.conversation_id = :talk AND m.seq = 1;
SELECT rapport.act_as(:ben) \gset
SELECT change_seq, seq, state FROM rapport.changed_messages(:talk, 8);
-- The last message deleted: the inbox shows nothing of it.
SELECT rapport.delete_message(:talk, 7) \gset
SELECT last_message FROM rapport.conversations();
SELECT rapport.act_as(:ana) \gset
SELECT last_message, unread, read_seq FROM rapport.conversations();

-- Receipts grow, and are the other's to see.
SELECT rapport.mark_delivered(:talk, 6), rapport.mark_read(:talk, 5), rapport.mark_delivered(:talk, 4), rapport.mark_read(:talk, 3) \gset
SELECT read_seq, unread FROM rapport.conversations();
SELECT rapport.act_as(:ben) \gset
SELECT other_delivered_seq, other_read_seq FROM rapport.conversations();
SELECT person_id = :ana AS ana, delivered_seq, read_seq FROM rapport.receipts(:talk);
-- Who sends has read, and the mark tells the other also then.
SELECT rapport.act_as(:ana) \gset
SELECT seq FROM rapport.send_message(:talk, 'a-8', 'eight');
SELECT rapport.mark_read(:talk, 7) \gset
SELECT rapport.act_as(:ben) \gset
SELECT other_delivered_seq, other_read_seq FROM rapport.conversations();
-- Who does not show what they read does not see it either.
SELECT read_receipts FROM rapport.chat_preferences();
SELECT rapport.set_chat_preferences(false) \gset
SELECT other_delivered_seq, other_read_seq, (SELECT r.read_seq FROM rapport.receipts(:talk) AS r) AS receipt FROM rapport.conversations();
SELECT rapport.mark_read(:talk, 8) \gset
SELECT rapport.act_as(:ana) \gset
SELECT other_delivered_seq, other_read_seq, (SELECT r.read_seq FROM rapport.receipts(:talk) AS r) AS receipt FROM rapport.conversations();
SELECT rapport.act_as(:ben) \gset
SELECT rapport.set_chat_preferences(true), rapport.mark_read(:talk, 8) \gset
SELECT rapport.act_as(:ana) \gset
SELECT other_delivered_seq, other_read_seq FROM rapport.conversations();
SELECT pg_temp.refusal(format('SELECT rapport.mark_delivered(%s, %s)', :talk, seq)) FROM unnest(ARRAY['9', '-1', 'NULL']) AS seq;
SELECT pg_temp.refusal('SELECT rapport.set_chat_preferences(NULL)');

-- Mute and archive: mine alone. A message brings an archived conversation back, unless it is muted.
SELECT rapport.mute_conversation(:talk, 'infinity'), rapport.archive_conversation(:talk, true) \gset
SELECT (SELECT count(*) FROM rapport.conversations()) AS inbox, muted_until FROM rapport.conversations(archived => true);
SELECT rapport.act_as(:ben) \gset
SELECT muted_until FROM rapport.conversations();
SELECT seq FROM rapport.send_message(:talk, 'b-9', 'nine');
SELECT rapport.act_as(:ana) \gset
SELECT (SELECT count(*) FROM rapport.conversations()) AS inbox, unread FROM rapport.conversations(archived => true);
SELECT rapport.mute_conversation(:talk, NULL) \gset
SELECT (SELECT count(*) FROM rapport.conversations(archived => true)) AS archived, unread FROM rapport.conversations();
SELECT rapport.archive_conversation(:talk, true), rapport.archive_conversation(:talk, false) \gset
SELECT count(*) AS inbox FROM rapport.conversations();

-- My side cleared: the other keeps theirs.
SELECT rapport.clear_conversation(:talk, 6), rapport.clear_conversation(:talk, 2) \gset
SELECT array_agg(seq) FROM rapport.messages(:talk, after_seq => 0);
SELECT pg_temp.refusal(format('SELECT rapport.%s', attempt)) AS refusal
FROM unnest(ARRAY[format('react(%s, 3, %L)', :talk, 'x'), format('delete_message(%s, 3)', :talk), format('clear_conversation(%s, 10)', :talk),
	format('send_message(%s, %L, %L, %L)', :talk, 'x', 'text', '{"reply_to": 6}')]) AS attempt;
SELECT rapport.clear_conversation(:talk, 9) \gset
SELECT last_message, unread FROM rapport.conversations();
SELECT count(*) AS left_to_me FROM rapport.messages(:talk);
SELECT rapport.act_as(:ben) \gset
SELECT array_agg(seq) FROM rapport.messages(:talk, after_seq => 0);

-- Messages that disappear: nobody reads them from that moment on; a sweep removes them.
SELECT rapport.set_message_timer(:talk, 60), rapport.set_message_timer(:talk, 60) \gset
SELECT seq, state, sender_id = :ben AS ben, attrs FROM rapport.messages(:talk, 1);
SELECT seq FROM rapport.send_message(:talk, 'b-11', 'for an hour');
SELECT rapport.react(:talk, 11, 'x') \gset
SELECT rapport.set_message_timer(:talk, NULL) \gset
SELECT seq FROM rapport.send_message(:talk, 'b-13', 'for ever');
SELECT seq, state, body, expires_at FROM rapport.messages(:talk, 3);
SELECT pg_temp.refusal(format('SELECT rapport.set_message_timer(%s, %s)', :talk, minutes)) FROM unnest(ARRAY['0', '525601', '-1']) AS minutes;
SELECT rapport.act_as(NULL) \gset
-- A sweep that has come as far locks nothing where nothing is due.
SELECT rapport.sweep_expired() AS up_to_the_first \gset
BEGIN;
SELECT rapport.sweep_expired() AS none_yet, count(*) AS timers FROM rapport.message_timer WHERE conversation_id = :talk;
SELECT xmax = pg_current_xact_id()::xid AS locked FROM rapport.conversation WHERE conversation_id = :talk;
COMMIT;
SET rapport.now = '2026-05-01 14:00:00+00';
SELECT rapport.act_as(:ben) \gset
SELECT seq, state, body FROM rapport.messages(:talk, 3);
SELECT still.state, still.body FROM rapport.messages(:talk, 1, around_seq => 11) AS still;
SELECT rapport.act_as(NULL) \gset
SET rapport.now = '2026-05-01 14:00:02+00';
SELECT rapport.act_as(:ben) \gset
SELECT seq, state, body, reactions FROM rapport.messages(:talk, 1, around_seq => 11);
SELECT (rapport.search_messages('hour')).items AS found;
SELECT rapport.act_as(NULL) \gset
SELECT body FROM rapport.message WHERE conversation_id = :talk AND seq = 11;
SELECT rapport.sweep_expired() AS swept, rapport.sweep_expired() AS again;
SELECT body, flags & 4 AS deleted, (SELECT count(*) FROM rapport.message_timer AS t WHERE t.conversation_id = m.conversation_id) AS timers FROM rapport.message AS m WHERE conversation_id = :talk AND seq = 11;

-- Messages that are not kept.
SELECT * FROM rapport.retain_messages();
SELECT rapport.set_setting('message_retention_days', '30') \gset
SELECT removed FROM rapport.retain_messages(:talk - 1, 1);
SET rapport.now = '2026-05-31 12:30:00+00';
SELECT removed FROM rapport.retain_messages(:talk - 1, 1);
SELECT first_seq, last_seq, (SELECT min(m.seq) FROM rapport.message AS m WHERE m.conversation_id = c.conversation_id) AS first FROM rapport.conversation AS c WHERE conversation_id = :talk;
SELECT rapport.act_as(:ben) \gset
SELECT array_agg(seq) FROM rapport.messages(:talk, after_seq => 0);
SELECT seq FROM rapport.send_message(:talk, 'b-14', 'on it goes');
SELECT rapport.act_as(NULL) \gset
SELECT rapport.set_setting('message_retention_days', NULL) \gset

-- Floods: some are always free, then so many a minute.
SELECT rapport.set_setting('messages_per_minute', '25') \gset
SELECT rapport.act_as(:ana) \gset
SELECT pg_temp.refusal(format('SELECT rapport.send_message(%s, %L, %L)', :talk, 'f-' || n, 'flood')) AS refusal, count(*) FROM generate_series(1, 30) AS n GROUP BY 1 ORDER BY 2;
SELECT rapport.act_as(:ben) \gset
SELECT pg_temp.refusal(format('SELECT rapport.send_message(%s, %L, %L)', :talk, 'calm', 'calm')) AS the_other;
SELECT rapport.act_as(NULL) \gset
SET rapport.now = '2026-05-31 12:31:00+00';
SELECT rapport.act_as(:ana) \gset
SELECT pg_temp.refusal(format('SELECT rapport.send_message(%s, %L, %L)', :talk, 'f-30', 'flood')) AS a_minute_later;
SELECT rapport.act_as(NULL) \gset
-- Twenty changes are as free as twenty messages.
SELECT rapport.set_setting('messages_per_minute', '3') \gset
SET rapport.now = '2026-05-31 12:32:00+00';
SELECT max(seq) AS last FROM rapport.message WHERE conversation_id = :talk \gset
SELECT rapport.act_as(:ben) \gset
SELECT pg_temp.refusal(format('SELECT rapport.react(%s, %s, %L)', :talk, :last, 'x' || n)) AS refusal, count(*) FROM generate_series(1, 22) AS n GROUP BY 1 ORDER BY 2;
SELECT rapport.act_as(NULL) \gset
SET rapport.now = '2026-05-31 12:33:00+00';
SELECT rapport.set_setting('messages_per_minute', NULL) \gset

-- Searching: my own conversations, the newest first, what I can read and nothing else.
SELECT pg_temp.meet(:ben, :cem) AS foreign_talk \gset
SELECT rapport.act_as(:cem) \gset
SELECT seq FROM rapport.send_message(:foreign_talk, 'c-1', 'Secrets of gardening');
SELECT rapport.act_as(:ana) \gset
SELECT seq FROM rapport.send_message(:talk, 's-1', 'The gardens of Cordoba') \gset
SELECT seq FROM rapport.send_message(:talk, 's-2', 'A garden, and another') \gset
SELECT jsonb_path_query_array(items, '$[*].body') AS found, next FROM rapport.search_messages('gardens');
SELECT jsonb_path_query_array(items, '$[*].body') AS foreign FROM rapport.search_messages('secrets');
-- However their accents are written.
SELECT seq FROM rapport.send_message(:talk, 's-3', U&'Cafe\0301 by the river') \gset
SELECT jsonb_array_length((rapport.search_messages(U&'caf\00E9')).items) AS composed, jsonb_array_length((rapport.search_messages(U&'cafe\0301')).items) AS decomposed;
SELECT rapport.act_as(NULL) \gset
SELECT pg_temp.refusal('SELECT rapport.set_setting(''search_language'', ''klingon'')');
SELECT rapport.set_setting('search_language', 'english') \gset
SELECT rapport.act_as(:ana) \gset
SELECT jsonb_path_query_array(items, '$[*].body') AS stems FROM rapport.search_messages('gardens');
SELECT jsonb_path_query_array(items, '$[*].body') AS both FROM rapport.search_messages('gardens -another');
SELECT jsonb_array_length(items) AS flood, next IS NOT NULL AS more FROM rapport.search_messages('flood');
SELECT next FROM rapport.search_messages('flood') \gset
SELECT jsonb_array_length(items) AS rest, next IS NOT NULL AS more FROM rapport.search_messages('flood', after => :'next');
SELECT pg_temp.refusal(format('SELECT rapport.search_messages(%s)', call))
FROM unnest(ARRAY['NULL', '''''', '''the''', '''-x''', quote_literal(repeat('x', 401)), '''x'', 1', format('''x'', %s', :foreign_talk), '''x'', NULL, ''abc''',
	format('''other'', NULL, %L', :'next')]) AS call;
SELECT rapport.delete_message(:talk, (SELECT max(seq) - 1 FROM rapport.messages(:talk))) \gset
SELECT jsonb_path_query_array(items, '$[*].body') AS without_hidden FROM rapport.search_messages('gardens', :talk);
-- As much work as the setting says, then a cursor.
SELECT rapport.act_as(NULL) \gset
SELECT rapport.set_setting('search_messages_most', '100') \gset
SELECT rapport.act_as(:ben) \gset
SELECT sum(x.seq) > 0 AS sent FROM generate_series(1, 3) AS part, rapport.send_messages(:foreign_talk,
	(SELECT jsonb_agg(jsonb_build_object('client_id', part || '-' || n, 'body', 'filler')) FROM generate_series(1, 30) AS n)) AS x;
SELECT sum(x.seq) > 0 AS sent FROM rapport.send_messages(:foreign_talk,
	(SELECT jsonb_agg(jsonb_build_object('client_id', '4-' || n, 'body', 'filler')) FROM generate_series(1, 25) AS n)) AS x;
WITH RECURSIVE page AS (
	SELECT s.items, s.next, 1 AS n FROM rapport.search_messages('secrets') AS s
	UNION ALL
	SELECT s.items, s.next, p.n + 1 FROM page AS p CROSS JOIN LATERAL rapport.search_messages('secrets', after => p.next) AS s WHERE p.next IS NOT NULL)
SELECT n, jsonb_array_length(items) AS found, next IS NULL AS done FROM page ORDER BY n;
SELECT rapport.act_as(NULL) \gset
SELECT rapport.set_setting('search_messages_most', NULL), rapport.set_setting('search_language', NULL) \gset
RESET rapport.now;
