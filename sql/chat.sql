-- Conversations: what a match opens, a block or unmatch closes, and a send fills.
\i test/lib/chat.sql

SET rapport.now = '2026-05-01 12:00:00+00';
SELECT rapport.new_person('chat-ana') AS ana, rapport.new_person('chat-ben') AS ben, rapport.new_person('chat-cem') AS cem \gset
SELECT rapport.act_as(:ana) \gset
SELECT FROM rapport.update_profile('{"display_name": "Ana", "birth_date": "1996-04-01"}') \gset
SELECT rapport.set_place(52.52, 13.4) \gset
SELECT rapport.set_preference('friends', '{"enabled": true}') \gset
SELECT rapport.act_as(:ben) \gset
SELECT FROM rapport.update_profile('{"display_name": "Ben", "birth_date": "1994-09-01"}') \gset
SELECT rapport.set_place(52.5, 13.5) \gset
SELECT rapport.set_preference('friends', '{"enabled": true}') \gset

-- A match opens a conversation, which both have in their inbox.
SELECT matched, conversation_id AS conversation FROM rapport."like"(:ana, 'friends');
SELECT rapport.act_as(:ana) \gset
SELECT matched, conversation_id AS conversation FROM rapport."like"(:ben, 'friends') \gset
\echo :matched
SELECT kind, person_id = :ben AS with_ben, display_name, last_seq, read_seq, unread, last_message, last_at
FROM rapport.conversations();
SELECT count(*) FROM rapport.messages(:conversation);

-- Messages are numbered from 1.
SELECT * FROM rapport.send_message(:conversation, 'a-1', 'Hello Ben');
SELECT * FROM rapport.send_message(:conversation, 'a-2', E'two lines,\n\tand שלום 👋🏽');

-- A retry is the same message: it gets the first answer, and the numbers go on without a gap.
SELECT * FROM rapport.send_message(:conversation, 'a-1', 'Hello Ben');
SELECT seq, duplicate FROM rapport.send_message(:conversation, 'a-3', 'three');

-- Another text under the same client_id is a mistake of the client.
SELECT pg_temp.refusal(format('SELECT rapport.send_message(%s, %L, %L)', :conversation, 'a-1', 'Hello Cem'));

-- A client_id belongs to its sender: Ben may use the same one.
SELECT rapport.act_as(:ben) \gset
SELECT seq, duplicate FROM rapport.send_message(:conversation, 'a-1', 'Hello Ana');
SELECT seq, sender_id = :ben AS mine, body, attrs FROM rapport.messages(:conversation);

-- Unread counts what came after the mark; sending moves one's own mark to the end.
SELECT last_seq, read_seq, unread, last_message FROM rapport.conversations();
SELECT rapport.act_as(:ana) \gset
SELECT last_seq, read_seq, unread, last_message FROM rapport.conversations();
SELECT rapport.mark_read(:conversation, 4) \gset
SELECT read_seq, unread FROM rapport.conversations();

-- The mark only grows.
SELECT rapport.mark_read(:conversation, 2) \gset
SELECT read_seq, unread FROM rapport.conversations();
SELECT seq, pg_temp.refusal(format('SELECT rapport.mark_read(%s, %s)', :conversation, seq))
FROM unnest(ARRAY['0', '4', '5', '9007199254740993', '-1', 'NULL']) AS seq;

-- Paging both ways: back from the newest, or on from the last one seen.
SELECT rapport.send_message(:conversation, 'a-' || n, 'message ' || n) FROM generate_series(5, 12) AS n \g /dev/null
SELECT array_agg(seq) AS newest FROM rapport.messages(:conversation, 5);
SELECT array_agg(seq) AS before_8 FROM rapport.messages(:conversation, 5, before_seq => 8);
SELECT array_agg(seq) AS before_3 FROM rapport.messages(:conversation, 5, before_seq => 3);
SELECT array_agg(seq) AS after_0 FROM rapport.messages(:conversation, 5, after_seq => 0);
SELECT array_agg(seq) AS after_10 FROM rapport.messages(:conversation, 5, after_seq => 10);
SELECT array_agg(seq) AS after_2_before_6 FROM rapport.messages(:conversation, 5, before_seq => 6, after_seq => 2);
SELECT array_agg(seq) AS after_the_end FROM rapport.messages(:conversation, after_seq => 9223372036854775807);
SELECT array_agg(seq) AS before_the_first FROM rapport.messages(:conversation, before_seq => 1);
SELECT count(*) AS far_back FROM rapport.messages(:conversation, before_seq => 9223372036854775807);
SELECT call, pg_temp.refusal(format('SELECT rapport.messages(%s, %s)', :conversation, call))
FROM unnest(ARRAY['0', '-1', '101', '2147483647', 'before_seq => 0', 'before_seq => -9223372036854775808',
				  'after_seq => -1', '100', 'before_seq => 1']) AS call;

-- What cannot be sent. Nothing but white space is empty, in any script.
SELECT name, pg_temp.refusal(format('SELECT rapport.send_message(%s, %L, %L)', :conversation, client_id, body))
FROM (VALUES
	('no text', 'x', NULL),
	('empty', 'x', ''),
	('white space', 'x', E' \t\r\n'),
	('ideographic space', 'x', U&'\3000\2003\00A0'),
	('8193 bytes', 'x', repeat('a', 8193)),
	('8193 bytes in 2731 characters', 'x', repeat('€', 2731)),
	('a megabyte', 'x', repeat('a', 1000000)),
	('no client_id', NULL, 'text'),
	('empty client_id', '', 'text'),
	('client_id of 65', repeat('x', 65), 'text'),
	('huge client_id', repeat('x', 1000000), 'text'),
	('client_id with a space', 'x y', 'text'),
	('client_id beyond ASCII', 'é', 'text')) AS bad (name, client_id, body);
SELECT pg_temp.refusal(format('SELECT rapport.send_message(%s, %L, E''a\000b'')', :conversation, 'x')) AS nul,
	pg_temp.refusal(format('SELECT rapport.send_message(%s, %L, E''a\xff'')', :conversation, 'x')) AS not_utf8;
SELECT max(seq) AS still FROM rapport.messages(:conversation);

-- The longest text, the longest client_id, joined characters: all are stored as they are.
SELECT seq FROM rapport.send_message(:conversation, repeat('y', 64), repeat('€', 2730) || 'ab');
SELECT seq FROM rapport.send_message(:conversation, 'a-14', '👩‍👩‍👧');
-- Unaligned: how wide psql takes an emoji to be depends on its version.
\pset format unaligned
SELECT seq, octet_length(body), left(body, 5) AS body FROM rapport.messages(:conversation, 2);
\pset format aligned
SELECT rapport.act_as(:ben) \gset
SELECT rapport.send_message(:conversation, 'b-15', repeat('€', 201)) \g /dev/null
SELECT char_length(last_message) FROM rapport.conversations();

-- Where one may not send, read or mark: no telling why.
SELECT rapport.act_as(NULL) \gset
SELECT pg_temp.meet(:ben, :cem) AS foreign_conversation, pg_temp.meet(:ana, :cem) AS left_conversation \gset
UPDATE rapport.participant SET left_seq = 0 WHERE conversation_id = :left_conversation AND person_id = :ana;
DELETE FROM rapport.member WHERE conversation_id = :left_conversation AND person_id = :ana;
SELECT rapport.act_as(:ana) \gset
SELECT name,
	pg_temp.refusal(format('SELECT rapport.send_message(%s, %L, %L)', id, 'x', 'text')) AS send,
	pg_temp.refusal(format('SELECT rapport.messages(%s)', id)) AS read,
	pg_temp.refusal(format('SELECT rapport.mark_read(%s, 0)', id)) AS mark
FROM (VALUES
	('foreign', :foreign_conversation::text),
	('left', :left_conversation::text),
	('unknown', '1'),
	('negative', '-1'),
	('the largest', '9223372036854775807'),
	('none', 'NULL')) AS wrong (name, id);
SELECT rapport.act_as(NULL) \gset
SELECT pg_temp.refusal(format('SELECT rapport.send_message(%s, %L, %L)', :conversation, 'x', 'text')) AS nobody;
SELECT last_seq FROM rapport.conversation WHERE conversation_id IN (:foreign_conversation, :left_conversation);
-- A send that is refused has not written in vain.
SELECT xmax AS before FROM rapport.conversation WHERE conversation_id = :foreign_conversation \gset
SELECT rapport.act_as(:ana) \gset
SELECT pg_temp.refusal(format('SELECT rapport.send_message(%s, %L, %L)', :foreign_conversation, 'x', 'text')) AS refusal;
SELECT rapport.act_as(NULL) \gset
SELECT xmax = :'before'::xid AS untouched FROM rapport.conversation WHERE conversation_id = :foreign_conversation;

-- A block takes the conversation from both at once; whoever blocked loses it too.
SELECT rapport.act_as(:ben) \gset
SELECT rapport.block(:ana) \gset
SELECT count(*) AS ben_has FROM rapport.conversations() WHERE person_id = :ana;
SELECT rapport.act_as(:ana) \gset
SELECT count(*) AS ana_has FROM rapport.conversations();
SELECT pg_temp.refusal(format('SELECT rapport.send_message(%s, %L, %L)', :conversation, 'x', 'text')) AS send,
	pg_temp.refusal(format('SELECT rapport.send_message(%s, %L, %L)', :conversation, 'a-1', 'Hello Ben')) AS retry,
	pg_temp.refusal(format('SELECT rapport.messages(%s)', :conversation)) AS read,
	pg_temp.refusal(format('SELECT rapport.mark_read(%s, 14)', :conversation)) AS mark;

-- Both block: it stays closed until both have taken the block back; then all is as it was.
SELECT rapport.block(:ben) \gset
SELECT rapport.act_as(:ben) \gset
SELECT rapport.unblock(:ana) \gset
SELECT count(*) AS one_block_left FROM rapport.conversations() WHERE person_id = :ana;
SELECT rapport.act_as(:ana) \gset
SELECT rapport.unblock(:ben) \gset
SELECT person_id = :ben AS with_ben, last_seq, unread FROM rapport.conversations();
SELECT count(*) FROM rapport.messages(:conversation, 100);

-- An unmatch closes one too, and no unblock opens it then.
SELECT rapport.act_as(NULL) \gset
SELECT rapport.new_person('chat-dee') AS dee \gset
SELECT pg_temp.meet(:ana, :dee) AS ended \gset
SELECT rapport.act_as(:dee) \gset
SELECT seq FROM rapport.send_message(:ended, 'd-1', 'bye');
SELECT rapport.unmatch(:ana) \gset
SELECT count(*) AS dee_has FROM rapport.conversations();
SELECT pg_temp.refusal(format('SELECT rapport.messages(%s)', :ended)) AS read;
SELECT rapport.act_as(:ana) \gset
SELECT rapport.block(:dee) \gset
SELECT rapport.unblock(:dee) \gset
SELECT count(*) AS with_dee FROM rapport.conversations() WHERE person_id = :dee;
SELECT pg_temp.refusal(format('SELECT rapport.send_message(%s, %L, %L)', :ended, 'x', 'text')) AS send;

-- The inbox: newest message first, in pages.
SELECT rapport.act_as(NULL) \gset
SELECT array_agg(pg_temp.meet(:ana, rapport.new_person('chat-' || n)) ORDER BY n) AS more FROM generate_series(1, 5) AS n \gset
SET rapport.now = '2026-05-01 12:05:00+00';
SELECT rapport.act_as(:ana) \gset
SELECT seq FROM rapport.send_message((:'more'::bigint[])[3], 'm-3', 'to the third');
SELECT rapport.act_as(NULL) \gset
SET rapport.now = '2026-05-01 12:06:00+00';
SELECT rapport.act_as(:ana) \gset
SELECT seq FROM rapport.send_message((:'more'::bigint[])[1], 'm-1', 'to the first');
SELECT array_position(:'more'::bigint[], conversation_id) AS n, last_message, last_at, display_name FROM rapport.conversations(2);
SELECT cursor FROM rapport.conversations(2) OFFSET 1 \gset
SELECT count(*), bool_or(last_at > '2026-05-01 12:00:00+00') AS newer FROM rapport.conversations(100, :'cursor');
WITH RECURSIVE page AS (
	SELECT ARRAY[c.conversation_id] AS ids, c.cursor
	FROM rapport.conversations(1) AS c
	UNION ALL
	SELECT p.ids || c.conversation_id, c.cursor
	FROM page AS p
	CROSS JOIN LATERAL rapport.conversations(1, p.cursor) AS c)
SELECT cardinality(ids) AS pages_of_one,
	ids = ARRAY(SELECT c.conversation_id FROM rapport.conversations() AS c) AS the_same_as_one_page
FROM page
ORDER BY pages_of_one DESC
LIMIT 1;
SELECT call, pg_temp.refusal(format('SELECT rapport.conversations(%s)', call))
FROM unnest(ARRAY['0', '101', '-2147483648', '1, ''''', '1, ''x''', '1, ''1-2-3''', '1, ''99999999999999999-1''', '1, ''-1-1''',
				  '1, ''9999999999999999-9999999999999999''']) AS call;

-- The name of a message is kept for a week; what was said stays.
SELECT rapport.act_as(NULL) \gset
SET rapport.now = '2026-05-08 12:05:30+00';
SELECT count(*) AS names FROM rapport.message_dedupe WHERE at < '2026-06-01';
SELECT removed AS beyond_the_end, next FROM rapport.chat_sweep(1000000);
SELECT removed > 0 AS removed, next FROM rapport.chat_sweep(0, 1000);
SELECT removed AS nothing_left, next FROM rapport.chat_sweep();
SELECT call, pg_temp.refusal(format('SELECT rapport.chat_sweep(%s)', call)) FROM unnest(ARRAY['-1', '0, 0']) AS call;
SELECT count(*) AS names FROM rapport.message_dedupe WHERE at < '2026-06-01';
SELECT count(*) AS messages, max(seq) AS last FROM rapport.message WHERE conversation_id = :conversation;

-- A send reaches the hooks of message_sent, a retry does not.
CREATE TABLE public.heard (conversation_id bigint, seq bigint, sender_id bigint);
GRANT INSERT ON public.heard TO rapport_owner;
CREATE FUNCTION public.hear(ids bigint[]) RETURNS void LANGUAGE sql AS 'INSERT INTO public.heard VALUES (ids[1], ids[2], ids[3])';
SELECT rapport.add_hook('message_sent', 'public.hear(bigint[])') \gset
SELECT rapport.act_as(:ana) \gset
SELECT seq, duplicate FROM rapport.send_message(:conversation, 'h-1', 'heard');
SELECT seq, duplicate FROM rapport.send_message(:conversation, 'h-1', 'heard');
SELECT rapport.act_as(NULL) \gset
SELECT conversation_id = :conversation AS here, seq, sender_id = :ana AS ana FROM public.heard;
SELECT rapport.drop_hook('message_sent', 'public.hear(bigint[])') \gset
DROP FUNCTION public.hear(bigint[]);

-- Nor does a send leave out what somebody has added to a table.
CREATE FUNCTION public.watch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.heard (conversation_id, seq) VALUES (new.conversation_id, new.last_seq);
	RETURN new;
END;
$$;
SELECT rapport.act_as(:ana) \gset
SELECT seq, duplicate FROM rapport.send_message(:conversation, 'w-0', 'plain');
SELECT rapport.act_as(NULL) \gset
TRUNCATE public.heard;
CREATE TRIGGER watch BEFORE UPDATE ON rapport.conversation FOR EACH ROW EXECUTE FUNCTION public.watch();
SELECT rapport.act_as(:ana) \gset
SELECT seq, duplicate FROM rapport.send_message(:conversation, 'w-1', 'watched');
SELECT seq, duplicate FROM rapport.send_message(:conversation, 'w-1', 'watched');
SELECT pg_temp.refusal(format('SELECT rapport.send_message(%s, ''w-1'', ''another'')', :conversation));
SELECT last_seq, read_seq, unread, last_message FROM rapport.conversations(1);
SELECT rapport.act_as(NULL) \gset
SELECT conversation_id = :conversation AS here, seq FROM public.heard ORDER BY ctid;
DROP TRIGGER watch ON rapport.conversation;
DROP FUNCTION public.watch();
DROP TABLE public.heard;
ALTER TABLE rapport.conversation ADD CONSTRAINT short CHECK (last_seq <= 18);
SELECT rapport.act_as(:ana) \gset
SELECT left(pg_temp.refusal(format('SELECT rapport.send_message(%s, ''w-2'', ''one too many'')', :conversation)), 11) AS refusal;
SELECT rapport.act_as(NULL) \gset
ALTER TABLE rapport.conversation DROP CONSTRAINT short;
CREATE INDEX by_seq ON rapport.conversation (last_seq);
CREATE INDEX by_last ON rapport.member (last_seq);
SELECT rapport.act_as(:ben) \gset
SELECT seq FROM rapport.send_message(:conversation, 'w-3', 'found by indexes');
SELECT rapport.act_as(NULL) \gset
SET enable_seqscan = off;
SELECT count(*) FROM rapport.conversation WHERE last_seq = 19 AND conversation_id + 0 = :conversation;
SELECT count(*) FROM rapport.member WHERE last_seq = 19 AND conversation_id + 0 = :conversation;
RESET enable_seqscan;
DROP INDEX rapport.by_seq, rapport.by_last;
-- Their functions run with the rights of the tables' owner, who sees our schema first.
CREATE FUNCTION public.fold(body text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT current_user || lower(body) $$;
REVOKE ALL ON FUNCTION public.fold(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.fold(text) TO rapport_owner;
CREATE INDEX by_body ON rapport.message (public.fold(body)) WHERE conversation_id > 0;
CREATE INDEX by_time ON rapport.message_dedupe (at);
CREATE INDEX by_read ON rapport.member (public.fold(read_seq::text));
SELECT rapport.act_as(:ana) \gset
SELECT seq, duplicate FROM rapport.send_message(:conversation, 'w-5', 'FOLDED');
SELECT seq, duplicate FROM rapport.send_message(:conversation, 'w-5', 'FOLDED');
SELECT pg_temp.refusal(format('SELECT rapport.send_message(%s, ''w-5'', ''another'')', :conversation));
SELECT rapport.act_as(NULL) \gset
SET enable_seqscan = off;
SELECT count(*) FROM rapport.message WHERE public.fold(body) = 'rapport_ownerfolded' AND conversation_id > 0;
SELECT count(*) FROM rapport.member WHERE public.fold(read_seq::text) = 'rapport_owner20';
RESET enable_seqscan;
DROP INDEX rapport.by_body, rapport.by_time, rapport.by_read;
DROP FUNCTION public.fold(text);
-- Without them a retry is found while its name is entered, and leaves nothing behind.
SELECT rapport.act_as(:ana) \gset
SELECT seq, duplicate FROM rapport.send_message(:conversation, 'w-5', 'FOLDED');
SELECT seq, duplicate FROM rapport.send_message(:conversation, 'w-6', 'the next number');
SELECT rapport.act_as(NULL) \gset
SELECT client_id, seq FROM rapport.message_dedupe WHERE conversation_id = :conversation AND client_id IN ('w-5', 'w-6') ORDER BY seq;
BEGIN READ ONLY;
SELECT rapport.act_as(:ana, true) \gset
SELECT rapport.send_message(:conversation, 'w-4', 'not now');
ROLLBACK;
RESET rapport.now;
