-- What sync() tells of what happened elsewhere, and that nothing of it is lost; a search, page by page.
\i test/lib/chat.sql

-- What is told, without numbers that differ from run to run.
CREATE FUNCTION pg_temp.told(items jsonb) RETURNS TABLE (kind text, what jsonb) LANGUAGE sql AS $$
	SELECT i ->> 'kind', (SELECT jsonb_object_agg(key, value) FROM jsonb_each(i)
						  WHERE key = ANY (ARRAY['list', 'mode', 'read_receipts', 'seq', 'body', 'last_seq', 'joined_seq', 'unread', 'other_read_seq', 'archived', 'view_seq']))
	FROM jsonb_array_elements(items) WITH ORDINALITY AS x (i, n) ORDER BY n
$$;
SET rapport.now = '2026-06-01 12:00:00+00';
SELECT rapport.new_person() AS ana, rapport.new_person() AS ben, rapport.new_person() AS cem \gset
SELECT pg_temp.meet(:ana, :ben) AS talk, pg_temp.meet(:ana, :cem) AS other_talk \gset

-- More than a list of news holds: the list is to be read. A hundred are told.
SELECT rapport.new_person() AS star \gset
CREATE TEMPORARY TABLE crowd AS SELECT n, rapport.new_person() AS id FROM generate_series(1, 101) AS n;
SELECT rapport.act_as(:star) \gset
SELECT next AS since FROM rapport.sync() \gset
SELECT rapport.act_as(NULL) \gset
SELECT count(pg_temp.meet(:star, id)) FROM crowd WHERE n < 101;
INSERT INTO rapport.intro (person_id, other_id, at, mode, body) SELECT :star, id, rapport.now(), 1, 'Hi' FROM crowd WHERE n < 101;
INSERT INTO rapport.conversation (conversation_id, kind, title, created_at) SELECT -n, 'group', 'G', rapport.now() FROM crowd;
INSERT INTO rapport.group_invitation (person_id, conversation_id, invited_by, at) SELECT :star, -n, id, rapport.now() FROM crowd WHERE n < 101;
SELECT rapport.act_as(:star) \gset
SELECT i ->> 'kind' AS kind, i ->> 'list' AS list, count(*) FROM rapport.sync(:'since', 500) AS s, jsonb_array_elements(s.items) AS i GROUP BY 1, 2 ORDER BY 1, 2;
SELECT rapport.act_as(NULL) \gset
SELECT count(pg_temp.meet(:star, id)) FROM crowd WHERE n = 101;
INSERT INTO rapport.intro (person_id, other_id, at, mode, body) SELECT :star, id, rapport.now(), 1, 'Hi' FROM crowd WHERE n = 101;
INSERT INTO rapport.group_invitation (person_id, conversation_id, invited_by, at) SELECT :star, -n, id, rapport.now() FROM crowd WHERE n = 101;
SELECT rapport.act_as(:star) \gset
SELECT i ->> 'kind' AS kind, i ->> 'list' AS list, count(*) FROM rapport.sync(:'since', 500) AS s, jsonb_array_elements(s.items) AS i GROUP BY 1, 2 ORDER BY 1, 2;
-- Read page by page, though some came at one time: all of them, the newest first, each once.
SELECT rapport.act_as(NULL) \gset
UPDATE rapport.group_invitation SET at = at + conversation_id / 10 * interval '1 minute' WHERE person_id = :star;
UPDATE rapport.intro SET at = at + other_id % 10 * interval '1 minute' WHERE person_id = :star;
SELECT rapport.act_as(:star) \gset
WITH RECURSIVE page AS (
	SELECT 1 AS n, i.* FROM rapport.group_invitations(1) AS i
	UNION ALL
	SELECT p.n + 1, i.* FROM page AS p CROSS JOIN LATERAL rapport.group_invitations(1, p.cursor) AS i)
SELECT count(*), count(DISTINCT conversation_id) AS different,
	array_agg(conversation_id ORDER BY n) = array_agg(conversation_id ORDER BY invited_at DESC, conversation_id DESC) AS in_order FROM page;
WITH RECURSIVE page AS (
	SELECT 1 AS n, i.* FROM rapport.intros(1) AS i
	UNION ALL
	SELECT p.n + 1, i.* FROM page AS p CROSS JOIN LATERAL rapport.intros(1, p.cursor) AS i)
SELECT count(*), count(DISTINCT person_id) AS different,
	array_agg(person_id ORDER BY n) = array_agg(person_id ORDER BY sent_at DESC, person_id DESC) AS in_order FROM page;
SELECT pg_temp.refusal(format('SELECT rapport.group_invitations(%s)', page))
FROM unnest(ARRAY['0', '101', '20, ''x''', (SELECT format('20, %L', cursor) FROM rapport.intros(1))]) AS page;
SELECT rapport.act_as(NULL) \gset

-- Likes: those that likes_received() shows, a hundred of the newest.
SELECT pg_temp.newcomer('Liked', -54.8, -68.3) AS liked \gset
CREATE TEMPORARY TABLE likers AS SELECT n, pg_temp.newcomer('L' || n, -54.8, -68.3) AS id FROM generate_series(1, 102) AS n;
SELECT mode FROM rapport.mode WHERE code = 'friends' \gset
INSERT INTO rapport.like_received (person_id, other_id, at, mode) SELECT :liked, id, rapport.now(), :mode FROM likers WHERE n = 1;
SELECT rapport.act_as(:liked) \gset
SELECT next AS since FROM rapport.sync() \gset
SELECT rapport.act_as(NULL) \gset
INSERT INTO rapport.like_received (person_id, other_id, at, mode) SELECT :liked, id, rapport.now() + n * interval '1 second', :mode FROM likers WHERE n BETWEEN 2 AND 101;
SELECT rapport.act_as(:liked) \gset
SELECT i ->> 'kind' AS kind, i ->> 'list' AS list, i ->> 'mode' AS mode, count(*) FROM rapport.sync(:'since', 500) AS s, jsonb_array_elements(s.items) AS i GROUP BY 1, 2, 3;
SELECT rapport.act_as(NULL) \gset
-- One more, which began before the others and ended after them.
INSERT INTO rapport.like_received (person_id, other_id, at, mode) SELECT :liked, id, rapport.now() - interval '1 minute', :mode FROM likers WHERE n = 102;
SELECT rapport.act_as(:liked) \gset
SELECT i ->> 'kind' AS kind, i ->> 'list' AS list, i ->> 'mode' AS mode, count(*) FROM rapport.sync(:'since', 500) AS s, jsonb_array_elements(s.items) AS i GROUP BY 1, 2, 3;
SELECT rapport.act_as(NULL) \gset

-- Archived, until the next message; while it is muted, also then: as conversations() lists it.
SELECT rapport.act_as(:ben) \gset
SELECT rapport.send_message(:talk, 'b-1', 'one') \gset
SELECT rapport.act_as(:ana) \gset
SELECT next AS since FROM rapport.sync() \gset
SELECT rapport.archive_conversation(:talk, true) \gset
SELECT t.* FROM rapport.sync(:'since') AS s, pg_temp.told(s.items) AS t;
SELECT next AS since FROM rapport.sync() \gset
SELECT rapport.act_as(:ben) \gset
SELECT rapport.send_message(:talk, 'b-2', 'two') \gset
SELECT rapport.act_as(:ana) \gset
SELECT t.* FROM rapport.sync(:'since') AS s, pg_temp.told(s.items) AS t;
SELECT count(*) AS in_the_inbox FROM rapport.conversations() WHERE conversation_id = :talk;
SELECT rapport.mute_conversation(:talk, 'infinity') \gset
SELECT t.* FROM rapport.sync(:'since') AS s, pg_temp.told(s.items) AS t;
SELECT count(*) AS archived FROM rapport.conversations(archived => true) WHERE conversation_id = :talk;

-- When the mute runs out nothing is told: a device computes from what it has what conversations() does.
SELECT rapport.mute_conversation(:talk, '2026-06-01 13:00:00+00') \gset
SELECT i AS item FROM rapport.sync(:'since') AS s, jsonb_array_elements(s.items) AS i WHERE i ->> 'kind' = 'conversation' \gset
SELECT rapport.act_as(NULL) \gset
CREATE FUNCTION pg_temp.put_away(me bigint, item jsonb, OUT computed boolean, OUT archived boolean)
LANGUAGE plpgsql
AS $$
BEGIN
	computed := coalesce((item ->> 'archived_seq')::bigint >= (item ->> 'last_seq')::bigint
						 OR (item ->> 'archived_seq')::bigint IS NOT NULL AND (item ->> 'muted_until')::timestamp with time zone > rapport.now(), false);
	PERFORM rapport.act_as(me);
	archived := EXISTS (SELECT FROM rapport.conversations(archived => true) AS c WHERE c.conversation_id = (item ->> 'conversation_id')::bigint);
	PERFORM rapport.act_as(NULL);
END;
$$;
SELECT * FROM pg_temp.put_away(:ana, :'item');
SET rapport.now = '2026-06-01 13:00:00+00';
SELECT * FROM pg_temp.put_away(:ana, :'item');
SELECT rapport.act_as(:ana) \gset
SELECT rapport.mute_conversation(:talk, 'infinity') \gset

-- Receipts switched on another device: of every direct conversation what is seen now.
SELECT rapport.send_message(:talk, 'a-1', 'read this') \gset
SELECT rapport.act_as(:ben) \gset
SELECT rapport.mark_read(:talk, 3) \gset
SELECT rapport.act_as(:ana) \gset
SELECT next AS since FROM rapport.sync() \gset
SELECT rapport.set_chat_preferences(false) \gset
SELECT t.* FROM rapport.sync(:'since') AS s, pg_temp.told(s.items) AS t ORDER BY t.kind DESC, t.what;
SELECT next AS since FROM rapport.sync(:'since') \gset
SELECT items FROM rapport.sync(:'since');
SELECT rapport.set_chat_preferences(true) \gset
SELECT t.* FROM rapport.sync(:'since') AS s, pg_temp.told(s.items) AS t ORDER BY t.kind DESC, t.what;
-- Also page by page.
WITH RECURSIVE page AS (
	SELECT s.items, s.more, s.next, 1 AS n FROM rapport.sync(:'since', 1) AS s
	UNION ALL
	SELECT s.items, s.more, s.next, p.n + 1 FROM page AS p CROSS JOIN LATERAL rapport.sync(p.next, 1) AS s WHERE p.more)
SELECT t.kind, count(*), max(n) AS pages FROM page, pg_temp.told(page.items) AS t GROUP BY 1 ORDER BY 1;

-- An intro declined on another device.
SELECT rapport.act_as(NULL) \gset
SELECT id AS writer FROM crowd WHERE n = 1 \gset
INSERT INTO rapport.intro (person_id, other_id, at, mode, body) VALUES (:ana, :writer, rapport.now(), 1, 'Hi');
SELECT rapport.act_as(:ana) \gset
SELECT next AS since FROM rapport.sync() \gset
SELECT rapport.decline_intro(:writer) \gset
SELECT i ->> 'kind' AS kind, (i -> 'person_id')::bigint = :writer AS it FROM rapport.sync(:'since') AS s, jsonb_array_elements(s.items) AS i;

-- An invitation that is gone, whoever made it go, once; and nothing where there was none.
CREATE TEMPORARY TABLE step (n integer, who bigint, call text, what text, told text);
-- What each step tells me, who did not take it on this device; it is a transaction of its own.
CREATE PROCEDURE pg_temp.take(me bigint)
LANGUAGE plpgsql
AS $$
DECLARE
	it step;
	since text;
	next text;
	news jsonb;
	again jsonb;
BEGIN
	FOR it IN SELECT s.* FROM step AS s ORDER BY s.n LOOP
		PERFORM rapport.act_as(me);
		since := (SELECT s.next FROM rapport.sync() AS s);
		PERFORM rapport.act_as(it.who);
		EXECUTE 'SELECT rapport.' || it.call;
		COMMIT;
		PERFORM rapport.act_as(me);
		SELECT s.items, s.next INTO news, next FROM rapport.sync(since) AS s;
		again := (SELECT s.items FROM rapport.sync(next) AS s);
		PERFORM rapport.act_as(NULL);
		UPDATE step AS s
		SET told = (SELECT string_agg(concat_ws(' ', i ->> 'kind', i ->> 'list'), ', ' ORDER BY i ->> 'kind') FROM jsonb_array_elements(news || again) AS i)
		WHERE s.n = it.n;
	END LOOP;
END;
$$;
SELECT rapport.act_as(NULL) \gset
SELECT rapport.new_person() AS dot, rapport.new_person() AS gil, rapport.new_person() AS ian \gset
SELECT pg_temp.meet(:dot, :gil) AS dot_gil, pg_temp.meet(:ian, :gil) AS ian_gil \gset
SELECT rapport.act_as(:dot) \gset
SELECT conversation_id AS club_1 FROM rapport.create_group('One') \gset
SELECT conversation_id AS club_2 FROM rapport.create_group('Two') \gset
SELECT conversation_id AS club_3 FROM rapport.create_group('Three') \gset
SELECT rapport.act_as(:ian) \gset
SELECT conversation_id AS club_4 FROM rapport.create_group('Four') \gset
SELECT rapport.act_as(NULL) \gset
INSERT INTO step VALUES
	(1, :dot, format('invite_to_group(%s, %s)', :club_1, :gil), 'asked'),
	(2, :gil, format('decline_group(%s)', :club_1), 'declined'),
	(3, :gil, format('decline_group(%s)', :club_1), 'declined again'),
	(4, :dot, format('invite_to_group(%s, %s)', :club_1, :gil), 'asked again'),
	(5, :gil, format('join_group(%s)', :club_1), 'joined'),
	(6, :gil, format('join_group(%s)', :club_1), 'joined again'),
	(7, :dot, format('invite_to_group(%s, %s)', :club_2, :gil), 'asked'),
	(8, NULL, format('add_to_group_for(%s, ARRAY[%s])', :club_2, :gil), 'taken in by the app'),
	(9, :dot, format('invite_to_group(%s, %s)', :club_3, :gil), 'asked'),
	(10, :dot, format('leave_group(%s)', :club_3), 'who asked has left'),
	(11, :ian, format('invite_to_group(%s, %s)', :club_4, :gil), 'asked'),
	(12, :ian, format('block(%s)', :gil), 'blocked by who asked'),
	(13, :ian, format('unblock(%s)', :gil), 'the block has ended'),
	(14, :ian, format('invite_to_group(%s, %s)', :club_4, :gil), 'asked'),
	(15, NULL, format('erase_person_for(%s)', :ian), 'who asked is erased');
CALL pg_temp.take(:gil);
SELECT what, told FROM step ORDER BY n;
-- So it is with intros that are no longer shown, or again.
SELECT pg_temp.newcomer('Jon') AS jon, pg_temp.newcomer('Kit') AS kit \gset
TRUNCATE step;
INSERT INTO step VALUES
	(1, :kit, format('send_intro(%s, %L)', :jon, 'Hi'), 'an intro'),
	(2, :kit, format('block(%s)', :jon), 'blocked by who wrote'),
	(3, :kit, format('unblock(%s)', :jon), 'the block has ended'),
	(4, :jon, format('block(%s)', :kit), 'I block who wrote'),
	(5, :jon, format('unblock(%s)', :kit), 'the block has ended'),
	(6, NULL, format('erase_person_for(%s)', :kit), 'who wrote is erased');
CALL pg_temp.take(:jon);
SELECT what, told FROM step ORDER BY n;
-- Nothing of it outlives them.
SELECT count(rapport.erase_person_for(p)) FROM unnest(ARRAY[:gil, :jon]) AS p;
SELECT count(*) FROM rapport.stale_list WHERE person_id IN (:gil, :jon);
SELECT rapport.act_as(:ana) \gset

-- A block between two of a group: both read it anew, nobody else; and when it ends.
SELECT conversation_id AS club FROM rapport.create_group('Club') \gset
SELECT rapport.invite_to_group(:club, :ben), rapport.invite_to_group(:club, :cem) \gset
SELECT rapport.act_as(:ben) \gset
SELECT rapport.join_group(:club), rapport.send_message(:club, 'b-1', 'said by Ben') \gset
SELECT rapport.act_as(:cem) \gset
SELECT rapport.join_group(:club) \gset
SELECT next AS cem_since FROM rapport.sync() \gset
SELECT rapport.act_as(:ben) \gset
SELECT next AS ben_since FROM rapport.sync() \gset
SELECT rapport.act_as(:ana) \gset
SELECT next AS since FROM rapport.sync() \gset
SELECT rapport.block(:ben) \gset
SELECT state FROM rapport.messages(:club) WHERE sender_id = :ben ORDER BY seq;
SELECT t.* FROM rapport.sync(:'since') AS s, pg_temp.told(s.items) AS t ORDER BY t.kind;
SELECT rapport.act_as(:ben) \gset
SELECT t.* FROM rapport.sync(:'ben_since') AS s, pg_temp.told(s.items) AS t ORDER BY t.kind;
SELECT rapport.act_as(:cem) \gset
SELECT items AS nobody_else FROM rapport.sync(:'cem_since');
SELECT rapport.act_as(:ana) \gset
SELECT next AS since FROM rapport.sync(:'since') \gset
SELECT rapport.unblock(:ben) \gset
SELECT t.* FROM rapport.sync(:'since') AS s, pg_temp.told(s.items) AS t WHERE t.what ? 'view_seq' AND t.what -> 'view_seq' <> 'null';
-- Also when Ben has left.
SELECT rapport.act_as(:ben) \gset
SELECT rapport.leave_group(:club) \gset
SELECT rapport.act_as(:ana) \gset
SELECT next AS since FROM rapport.sync() \gset
SELECT rapport.block(:ben) \gset
SELECT t.* FROM rapport.sync(:'since') AS s, pg_temp.told(s.items) AS t WHERE t.kind = 'conversation';
SELECT rapport.unblock(:ben) \gset

-- What is no longer kept: a group begins after it.
SELECT next AS since FROM rapport.sync() \gset
SELECT last_seq FROM rapport.conversations() WHERE conversation_id = :club \gset
SELECT rapport.act_as(NULL) \gset
UPDATE rapport.conversation SET first_seq = :last_seq WHERE conversation_id = :club;
SELECT rapport.act_as(:ana) \gset
SELECT (i ->> 'joined_seq')::bigint = :last_seq - 1 AS begins_later, i ->> 'unread' AS unread FROM rapport.sync(:'since') AS s, jsonb_array_elements(s.items) AS i;
SELECT (i ->> 'joined_seq')::bigint = :last_seq - 1 AS begins_later FROM rapport.sync() AS s, jsonb_array_elements(s.items) AS i WHERE (i ->> 'conversation_id')::bigint = :club;

-- A search loses nothing to messages that come between its pages.
SELECT rapport.act_as(:ben) \gset
SELECT max(seq) - min(seq) AS sent FROM rapport.send_messages(:talk, (SELECT jsonb_agg(jsonb_build_object('client_id', 'n-' || n, 'body', 'needle ' || n)) FROM generate_series(1, 50) AS n));
SELECT rapport.act_as(:cem) \gset
SELECT max(seq) - min(seq) AS sent FROM rapport.send_messages(:other_talk, (SELECT jsonb_agg(jsonb_build_object('client_id', 'n-' || n, 'body', 'needle ' || n)) FROM generate_series(1, 50) AS n));
CREATE FUNCTION pg_temp.search(me bigint, talks bigint[], one bigint, OUT told bigint, OUT different bigint)
LANGUAGE plpgsql
AS $$
DECLARE
	page record;
	pages integer := 0;
	hits jsonb := '[]';
	after text;
BEGIN
	LOOP
		PERFORM rapport.act_as(me);
		page := rapport.search_messages('needle', one, after);
		PERFORM rapport.act_as(NULL);
		pages := pages + 1;
		hits := hits || page.items;
		after := page.next;
		EXIT WHEN after IS NULL;
		-- The others write, in turns, later than before.
		PERFORM set_config('rapport.now', (rapport.now() + interval '1 minute')::text, false);
		PERFORM rapport.act_as((SELECT p.person_id FROM rapport.participant AS p WHERE p.conversation_id = talks[1 + pages % 2] AND p.person_id <> me));
		PERFORM rapport.send_message(talks[1 + pages % 2], 'hi' || pages || coalesce(one, 0), 'hi');
		PERFORM rapport.act_as(NULL);
	END LOOP;
	SELECT count(*), count(DISTINCT (h -> 'conversation_id', h -> 'seq')) INTO told, different FROM jsonb_array_elements(hits) AS h;
END;
$$;
SELECT rapport.act_as(NULL) \gset
SELECT 'one' AS search, s.* FROM pg_temp.search(:ana, ARRAY[:talk, :other_talk], :talk) AS s;
SELECT 'all' AS search, s.* FROM pg_temp.search(:ana, ARRAY[:talk, :other_talk], NULL) AS s;

-- A transaction may have begun long before another device asked, and end long after.
SET rapport.now = '2026-06-02 12:00:00+00';
SELECT rapport.act_as(:ana) \gset
SELECT next AS since FROM rapport.sync() \gset
SELECT rapport.act_as(NULL) \gset
SET rapport.now = '2026-06-02 06:00:00+00';
SELECT rapport.act_as(:cem) \gset
SELECT rapport.send_message(:other_talk, 'slow', 'slow') \g /dev/null
SELECT rapport.act_as(NULL) \gset
SET rapport.now = '2026-06-02 12:00:00+00';
SELECT rapport.act_as(:ana) \gset
SELECT t.what ->> 'body' AS body FROM rapport.sync(:'since') AS s, pg_temp.told(s.items) AS t WHERE t.kind = 'message';
SELECT rapport.act_as(NULL) \gset
RESET rapport.now;
