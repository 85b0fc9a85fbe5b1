-- Groups, intros before a match, and what sync() tells of all of it.
\i test/lib/chat.sql

SET rapport.now = '2026-05-01 12:00:00+00';
SELECT pg_temp.newcomer('Ada') AS ada, pg_temp.newcomer('Bob') AS bob, pg_temp.newcomer('Cat') AS cat, pg_temp.newcomer('Dan') AS dan,
	pg_temp.newcomer('Eve') AS eve \gset
CREATE TEMPORARY VIEW named AS SELECT person_id, display_name AS name FROM rapport.profile;
GRANT SELECT ON named TO rapport_user;
SELECT pg_temp.meet(:ada, :bob) AS ada_bob, pg_temp.meet(:ada, :cat) AS ada_cat, pg_temp.meet(:bob, :dan) AS bob_dan \gset

-- A group is made by one, and others are asked: by whom they talk to.
SELECT rapport.act_as(:ada) \gset
SELECT pg_temp.refusal(format('SELECT rapport.create_group(%L)', title)) FROM unnest(ARRAY[NULL, '', '  ', U&'\3000\00A0', U&'\200B\2060', E'two\nlines', repeat('x', 101)]) AS title;
SELECT conversation_id AS club FROM rapport.create_group('  Walkers ') \gset
SELECT kind, person_id, title, last_seq, unread FROM rapport.conversations() WHERE conversation_id = :club;
SELECT rapport.invite_to_group(:club, :bob), rapport.invite_to_group(:club, :bob), rapport.invite_to_group(:club, :cat) \gset
SELECT name, pg_temp.refusal(format('SELECT rapport.invite_to_group(%s, %s)', talk, id)) AS refusal
FROM (VALUES ('a stranger', :club, :eve), ('nobody', :club, 1), ('myself', :club, :ada), ('to no group', :ada_bob, :cat), ('to nothing', 1, :cat)) AS x (name, talk, id);
SELECT rapport.act_as(:bob) \gset
SELECT conversation_id = :club AS club, title, display_name FROM rapport.group_invitations();
SELECT pg_temp.refusal(format('SELECT rapport.messages(%s)', :club)) AS not_yet;
SELECT rapport.join_group(:club), rapport.join_group(:club) \gset
SELECT count(*) AS invitations FROM rapport.group_invitations();
SELECT seq, state, attrs - 'event' AS rest, attrs #>> '{event,type}' AS event FROM rapport.messages(:club);
SELECT seq FROM rapport.send_message(:club, 'b-1', 'Hello all');
SELECT rapport.act_as(:eve) \gset
SELECT name, pg_temp.refusal(format('SELECT rapport.%s', attempt)) AS refusal
FROM (VALUES ('join', format('join_group(%s)', :club)), ('send', format('send_message(%s, %L, %L)', :club, 'x', 'x')),
	('members', format('group_members(%s)', :club)), ('leave', format('leave_group(%s)', :club)), ('rename', format('rename_group(%s, %L)', :club, 'x')),
	('decline', format('decline_group(%s)', :club))) AS x (name, attempt);

-- Who joins reads what comes from then on.
SELECT rapport.act_as(:cat) \gset
SELECT rapport.join_group(:club) \gset
SELECT seq, attrs #>> '{event,type}' AS event FROM rapport.messages(:club, after_seq => 0);
SELECT last_seq, read_seq, unread FROM rapport.conversations() WHERE conversation_id = :club;
SELECT n.name, m.role FROM rapport.group_members(:club) AS m JOIN named AS n USING (person_id) ORDER BY 1;
-- A send writes no row of the others.
SELECT rapport.act_as(NULL) \gset
SELECT count(*) AS changed FROM rapport.member AS m
WHERE m.conversation_id = :club AND m.person_id IN (:ada, :bob)
AND (m.last_seq <> 0 OR m.last_at <> rapport.now());
SELECT rapport.act_as(:bob) \gset
SELECT last_seq, unread, last_message FROM rapport.conversations() WHERE conversation_id = :club;

-- Roles.
SELECT name, pg_temp.refusal(format('SELECT rapport.%s', attempt)) AS as_member
FROM (VALUES ('rename', format('rename_group(%s, %L)', :club, 'x')), ('timer', format('set_message_timer(%s, 60)', :club)),
	('invite', format('invite_to_group(%s, %s)', :club, :dan)), ('remove', format('remove_from_group(%s, %s)', :club, :cat)),
	('role', format('set_group_role(%s, %s, %L)', :club, :cat, 'admin')), ('delete', format('delete_message(%s, 5, true)', :club)),
	('remove myself', format('remove_from_group(%s, %s)', :club, :bob))) AS x (name, attempt);
SELECT rapport.act_as(:ada) \gset
SELECT rapport.set_group_role(:club, :bob, 'admin'), rapport.set_group_role(:club, :bob, 'admin') \gset
SELECT pg_temp.refusal(format('SELECT rapport.set_group_role(%s, %s, %L)', :club, id, role)) FROM (VALUES (:bob, 'king'), (:eve, 'admin'), (:ada, 'member'), (:bob, NULL)) AS x (id, role);
SELECT rapport.act_as(:bob) \gset
SELECT rapport.invite_to_group(:club, :dan), rapport.rename_group(:club, 'Hikers'), rapport.rename_group(:club, 'Hikers') \gset
SELECT pg_temp.refusal(format('SELECT rapport.remove_from_group(%s, %s)', :club, :ada)) AS admin_removes_owner,
	pg_temp.refusal(format('SELECT rapport.set_group_role(%s, %s, %L)', :club, :cat, 'admin')) AS admin_makes_admin;
SELECT rapport.act_as(:dan) \gset
SELECT rapport.join_group(:club) \gset
SELECT seq FROM rapport.send_message(:club, 'd-1', 'Rude words');
SELECT rapport.act_as(:bob) \gset
SELECT rapport.delete_message(:club, (SELECT max(seq) FROM rapport.messages(:club)), true), rapport.remove_from_group(:club, :dan) \gset
SELECT pg_temp.refusal(format('SELECT rapport.remove_from_group(%s, %s)', :club, :dan)) AS again;
SELECT rapport.act_as(:dan) \gset
SELECT name, pg_temp.refusal(format('SELECT rapport.%s', attempt)) AS removed
FROM (VALUES ('send', format('send_message(%s, %L, %L)', :club, 'x', 'x')), ('retry', format('send_message(%s, %L, %L)', :club, 'd-1', 'Rude words')),
	('read', format('messages(%s)', :club)), ('join', format('join_group(%s)', :club)), ('react', format('react(%s, 4, %L)', :club, 'x')),
	('mark', format('mark_read(%s, 1)', :club)), ('search', format('search_messages(%L, %s)', 'hello', :club))) AS x (name, attempt);
SELECT count(*) AS inbox FROM rapport.conversations() WHERE conversation_id = :club;

-- A block between two: both stay, neither hears the other.
SELECT rapport.act_as(:cat) \gset
SELECT seq FROM rapport.send_message(:club, 'c-1', 'Cat speaks');
-- A retry leaves the group as it was, whatever is left of its messages; by row and by statements.
BEGIN;
SELECT rapport.act_as(NULL) \gset
CREATE TEMP TABLE was ON COMMIT DROP AS SELECT last_seq, last_at FROM rapport.conversation WHERE conversation_id = :club;
DELETE FROM rapport.message WHERE conversation_id = :club;
SET LOCAL rapport.now = '2026-06-01 13:00:00+00';
SELECT rapport.act_as(:cat) \gset
SELECT seq, duplicate FROM rapport.send_message(:club, 'c-1', 'Cat speaks');
SELECT rapport.act_as(NULL) \gset
SELECT c.last_seq = was.last_seq AS number, c.last_at = was.last_at AS "time" FROM rapport.conversation AS c, was WHERE c.conversation_id = :club;
ALTER TABLE rapport.conversation ADD CONSTRAINT low CHECK (last_seq <= 1000);
SELECT rapport.act_as(:cat) \gset
SELECT seq, duplicate FROM rapport.send_message(:club, 'c-1', 'Cat speaks');
SELECT rapport.act_as(NULL) \gset
SELECT c.last_seq = was.last_seq AS number, c.last_at = was.last_at AS "time" FROM rapport.conversation AS c, was WHERE c.conversation_id = :club;
SELECT rapport.act_as(:cat) \gset
SELECT duplicate FROM rapport.send_message(:club, 'c-2', 'Cat speaks by statements');
SELECT rapport.act_as(NULL) \gset
SELECT c.last_seq - was.last_seq AS more, c.last_at = rapport.now() AS now FROM rapport.conversation AS c, was WHERE c.conversation_id = :club;
ROLLBACK;
SELECT rapport.act_as(:bob) \gset
SELECT rapport.block(:cat) \gset
SELECT state, body FROM rapport.messages(:club, 1);
SELECT last_message FROM rapport.conversations() WHERE conversation_id = :club;
SELECT n.name FROM rapport.group_members(:club) AS m JOIN named AS n USING (person_id) ORDER BY 1;
SELECT jsonb_array_length(items) AS found FROM rapport.search_messages('speaks');
SELECT seq FROM rapport.send_message(:club, 'b-2', 'Bob speaks');
SELECT rapport.act_as(:cat) \gset
SELECT state, body FROM rapport.messages(:club, 2);
SELECT rapport.act_as(:ada) \gset
SELECT state, body FROM rapport.messages(:club, 2);
SELECT n.name, r.read_seq FROM rapport.receipts(:club) AS r JOIN named AS n USING (person_id) ORDER BY 1;
SELECT rapport.act_as(:bob) \gset
SELECT rapport.unblock(:cat) \gset
SELECT state, body FROM rapport.messages(:club, 2);

-- The owner leaves: the admin follows. An owner who is erased is followed as well; the last one closes the group.
SELECT rapport.act_as(:ada) \gset
SELECT rapport.leave_group(:club) \gset
SELECT pg_temp.refusal(format('SELECT rapport.leave_group(%s)', :club)) AS again;
SELECT rapport.act_as(:cat) \gset
SELECT n.name, m.role FROM rapport.group_members(:club) AS m JOIN named AS n USING (person_id) ORDER BY 1;
SELECT attrs #>> '{event,type}' AS event FROM rapport.messages(:club, 2);
SELECT rapport.act_as(NULL) \gset
SELECT rapport.erase_person_for(:bob) \gset
SELECT rapport.act_as(:cat) \gset
SELECT n.name, m.role FROM rapport.group_members(:club) AS m JOIN named AS n USING (person_id) ORDER BY 1;
SELECT seq, state, body FROM rapport.messages(:club, 4);
SELECT rapport.leave_group(:club) \gset
SELECT rapport.act_as(NULL) \gset
SELECT closed_at IS NOT NULL AS closed FROM rapport.conversation WHERE conversation_id = :club;

-- As many as a group may have; what the app adds, and who is in too many.
SELECT array_agg(rapport.new_person('groups-' || n) ORDER BY n) AS crowd FROM generate_series(1, 12) AS n \gset
SELECT rapport.act_as(:ada) \gset
SELECT conversation_id AS party FROM rapport.create_group('Party') \gset
SELECT rapport.act_as(NULL) \gset
SELECT rapport.set_setting('group_members', '11') \gset
SELECT rapport.add_to_group_for(:party, (:'crowd'::bigint[])[1:10]) AS added, rapport.add_to_group_for(:party, (:'crowd'::bigint[])[1:10]) AS again;
SELECT pg_temp.refusal(format('SELECT rapport.add_to_group_for(%s, %L)', talk, ids)) AS refusal
FROM (VALUES (:party, (:'crowd'::bigint[])[11:12]), (:party, '{}'), (:party, '{1}'), (:ada_cat, (:'crowd'::bigint[])[1:1])) AS x (talk, ids);
SELECT count(*) FROM rapport.participant WHERE conversation_id = :party;
SELECT rapport.set_setting('group_members', NULL), rapport.set_setting('groups_per_person', '1') \gset
SELECT rapport.act_as(:ada) \gset
SELECT pg_temp.refusal('SELECT rapport.create_group(''One more'')') AS one_too_many;
WITH RECURSIVE page AS (
	SELECT ARRAY[m.person_id] AS ids, m.cursor FROM rapport.group_members(:party, 1) AS m
	UNION ALL
	SELECT p.ids || m.person_id, m.cursor FROM page AS p CROSS JOIN LATERAL rapport.group_members(:party, 1, p.cursor) AS m)
SELECT max(cardinality(ids)) AS one_by_one FROM page;
SELECT pg_temp.refusal(format('SELECT rapport.%s', call))
FROM unnest(ARRAY[format('group_members(%s, 0)', :party), format('group_members(%s, 1, %L)', :party, 'x'), format('group_members(%s)', :ada_cat),
	format('receipts(%s, 101)', :party), format('receipts(%s, 1, %L)', :party, '-1')]) AS call;
SELECT rapport.act_as(NULL) \gset
SELECT rapport.set_setting('groups_per_person', NULL) \gset

-- An intro: one between two, of which a refusal is not told.
SELECT rapport.act_as(:eve) \gset
SELECT rapport.send_intro(:dan, 'Hello Dan'), rapport.send_intro(:dan, 'Hello Dan') \gset
SELECT name, pg_temp.refusal(format('SELECT rapport.send_intro(%s, %L)', id, body)) AS refusal
FROM (VALUES ('another', :dan, 'Hello again'), ('empty', :cat, ' '), ('long', :cat, repeat('x', 8193)), ('none', :cat, NULL), ('myself', :eve, 'x'),
	('nobody', 1, 'x'), ('without a profile', (:'crowd'::bigint[])[1], 'x')) AS x (name, id, body);
SELECT n.name FROM rapport.intros_sent() AS s JOIN named AS n USING (person_id);
SELECT rapport.act_as(:dan) \gset
SELECT display_name, in_mode, body FROM rapport.intros();
SELECT pg_temp.refusal(format('SELECT rapport.send_intro(%s, %L)', :eve, 'Hello too')) AS both;
SELECT count(*) AS talks FROM rapport.conversations();
SELECT rapport.decline_intro(:eve), rapport.decline_intro(:eve) \gset
SELECT count(*) AS intros FROM rapport.intros();
SELECT rapport.act_as(:eve) \gset
SELECT n.name FROM rapport.intros_sent() AS s JOIN named AS n USING (person_id);
SELECT pg_temp.refusal(format('SELECT rapport.send_intro(%s, %L)', :dan, 'Hello Dan')) AS retry,
	pg_temp.refusal(format('SELECT rapport.send_intro(%s, %L)', :dan, 'Hello again')) AS another;
-- Accepted after all: a match, whose first message it is.
SELECT rapport.act_as(:dan) \gset
SELECT conversation_id AS met FROM rapport.accept_intro(:eve) \gset
SELECT conversation_id = :met AS again FROM rapport.accept_intro(:eve);
SELECT display_name, last_seq, unread, last_message FROM rapport.conversations() WHERE conversation_id = :met;
SELECT count(*) AS matched FROM rapport.matches() WHERE person_id = :eve;
SELECT rapport.act_as(:eve) \gset
SELECT unread, (SELECT count(*) FROM rapport.intros_sent()) AS waiting FROM rapport.conversations() WHERE conversation_id = :met;
SELECT seq FROM rapport.send_message(:met, 'e-1', 'So we meet');
SELECT pg_temp.refusal(format('SELECT rapport.send_intro(%s, %L)', :dan, 'x')) AS already;
-- Two likes that meet bring it too.
SELECT rapport.send_intro(:cat, 'Hello Cat') \gset
SELECT matched FROM rapport."like"(:cat, 'friends');
SELECT rapport.act_as(:cat) \gset
SELECT matched, conversation_id AS liked FROM rapport."like"(:eve, 'friends') \gset
SELECT body FROM rapport.messages(:liked);
-- A block takes it away, whoever blocks; back it is with the block gone.
SELECT rapport.act_as(:ada) \gset
SELECT rapport.send_intro(:eve, 'Hello Eve') \gset
SELECT rapport.block(:eve) \gset
SELECT rapport.act_as(:eve) \gset
SELECT count(*) AS intros FROM rapport.intros();
SELECT pg_temp.refusal(format('SELECT rapport.accept_intro(%s)', :ada)) AS accept, pg_temp.refusal(format('SELECT rapport.send_intro(%s, %L)', :ada, 'x')) AS send,
	pg_temp.refusal(format('SELECT rapport.accept_intro(%s)', 1)) AS of_nobody;
SELECT rapport.act_as(:ada) \gset
SELECT rapport.unblock(:eve) \gset
SELECT rapport.act_as(:eve) \gset
SELECT body FROM rapport.intros();
-- So many a day.
SELECT rapport.act_as(NULL) \gset
SELECT rapport.set_setting('intros_per_day', '1') \gset
SELECT pg_temp.newcomer('Fay') AS fay, pg_temp.newcomer('Gus') AS gus \gset
SELECT rapport.act_as(:fay) \gset
SELECT pg_temp.refusal(format('SELECT rapport.send_intro(%s, %L)', id, 'Hi')) FROM unnest(ARRAY[:gus, :eve]) AS id;
SELECT rapport.act_as(NULL) \gset
SET rapport.now = '2026-05-02 00:00:00+00';
SELECT rapport.act_as(:fay) \gset
SELECT pg_temp.refusal(format('SELECT rapport.send_intro(%s, %L)', id, 'Hi')) FROM unnest(ARRAY[:eve]) AS id;
SELECT rapport.act_as(NULL) \gset
SELECT rapport.set_setting('intros_per_day', NULL) \gset
-- Erased with who wrote it.
SELECT rapport.erase_person_for(:fay) \gset
SELECT rapport.act_as(:eve) \gset
SELECT count(*) AS intros FROM rapport.intros();
-- Who has accepted is not shown the other any more, nor the other way round; what either swiped last is theirs to
-- take back, no like is spent; and nothing is left when one is erased, whoever has the higher number.
SELECT rapport.act_as(NULL) \gset
CREATE FUNCTION pg_temp.accepted(writer bigint, reader bigint, passed bigint)
RETURNS TABLE (shown_to_writer boolean, shown_to_reader boolean, likes bigint, rewound boolean)
LANGUAGE plpgsql
AS $$
DECLARE
	start timestamp with time zone := rapport.now();
BEGIN
	PERFORM rapport.act_as(writer);
	PERFORM rapport.send_intro(reader, 'Hi');
	PERFORM rapport.act_as(NULL);
	PERFORM set_config('rapport.now', (start + interval '1 minute')::text, true);
	PERFORM rapport.act_as(writer);
	PERFORM rapport.pass(passed, 'friends');
	PERFORM rapport.act_as(reader);
	PERFORM rapport.accept_intro(writer);
	shown_to_reader := EXISTS (SELECT FROM rapport.discover('friends', 100) AS d WHERE d.person_id = writer);
	PERFORM rapport.act_as(writer);
	shown_to_writer := EXISTS (SELECT FROM rapport.discover('friends', 100) AS d WHERE d.person_id = reader);
	rewound := (SELECT r.person_id = passed FROM rapport.rewind('friends') AS r);
	PERFORM rapport.act_as(NULL);
	likes := (SELECT sum(s.likes) FROM rapport.swiper AS s WHERE s.person_id IN (writer, reader));
	PERFORM set_config('rapport.now', start::text, true);
	RETURN NEXT;
END;
$$;
SELECT least(a, b) AS low, greatest(a, b) AS high FROM (SELECT pg_temp.newcomer('Low') AS a, pg_temp.newcomer('High') AS b) AS x \gset
SELECT least(a, b) AS low_2, greatest(a, b) AS high_2 FROM (SELECT pg_temp.newcomer('Low') AS a, pg_temp.newcomer('High') AS b) AS x \gset
SELECT * FROM pg_temp.accepted(:low, :high, :eve);
SELECT * FROM pg_temp.accepted(:high_2, :low_2, :eve);
SELECT count(rapport.erase_person_for(p)) FROM unnest(ARRAY[:high, :high_2]) AS p;
SELECT (SELECT count(*) FROM rapport.pair WHERE hi IN (:high, :high_2)) AS pairs,
	(SELECT count(*) FROM rapport.swipe WHERE other_id IN (:high, :high_2)) AS swipes,
	(SELECT count(*) FROM rapport.like_received WHERE other_id IN (:high, :high_2)) AS likes;

-- Everything since.
CREATE FUNCTION pg_temp.told(items jsonb) RETURNS TABLE (kind text, what text) LANGUAGE sql AS $$
	SELECT i ->> 'kind', concat_ws(' ', i ->> 'seq', i ->> 'change_seq', i ->> 'state', i ->> 'body', i ->> 'unread', i ->> 'title')
	FROM jsonb_array_elements(items) WITH ORDINALITY AS x (i, n) ORDER BY n
$$;
SELECT rapport.act_as(NULL) \gset
SELECT pg_temp.newcomer('Hal') AS hal, pg_temp.newcomer('Ida') AS ida \gset
SELECT pg_temp.meet(:hal, :ida) AS talk, pg_temp.meet(:hal, :gus) AS other_talk \gset
SELECT rapport.act_as(:hal) \gset
SELECT reset, jsonb_array_length(items) AS items, more, next AS since FROM rapport.sync() \gset
\echo :reset :items :more
SELECT reset, items, more FROM rapport.sync(:'since');
SELECT rapport.act_as(:ida) \gset
SELECT seq FROM rapport.send_message(:talk, 'i-1', 'one') AS s;
SELECT seq FROM rapport.send_message(:talk, 'i-2', 'two') AS s;
SELECT rapport.act_as(:hal) \gset
SELECT reset, items, more, next AS since_2 FROM rapport.sync(:'since') \gset
SELECT * FROM pg_temp.told(:'items');
SELECT items FROM rapport.sync(:'since_2');
-- What was read, edited, deleted and reacted to meanwhile; told again from the older token.
SELECT rapport.act_as(:ida) \gset
SELECT change_seq FROM rapport.edit_message(:talk, 1, 'ONE');
SELECT rapport.react(:talk, 1, 'x'), rapport.delete_message(:talk, 2, true) \gset
SELECT rapport.act_as(:hal) \gset
SELECT t.* FROM rapport.sync(:'since_2') AS s, pg_temp.told(s.items) AS t;
SELECT t.* FROM rapport.sync(:'since') AS s, pg_temp.told(s.items) AS t;
-- In pages of one item, nothing is lost.
WITH RECURSIVE page AS (
	SELECT s.items, s.more, s.next, 1 AS n FROM rapport.sync(:'since', 1) AS s
	UNION ALL
	SELECT s.items, s.more, s.next, p.n + 1 FROM page AS p CROSS JOIN LATERAL rapport.sync(p.next, 1) AS s WHERE p.more)
SELECT n, t.* FROM page, pg_temp.told(page.items) AS t ORDER BY n;
SELECT next AS since_3 FROM rapport.sync(:'since_2') \gset
-- Receipts of the other, and my own marks of another device.
SELECT rapport.mark_read(:talk, 2) \gset
SELECT i ->> 'read_seq' AS mine FROM rapport.sync(:'since_3') AS s, jsonb_array_elements(s.items) AS i;
SELECT rapport.act_as(:ida) \gset
SELECT next AS ida_since FROM rapport.sync() \gset
SELECT rapport.act_as(:hal) \gset
SELECT rapport.mark_delivered(:talk, 2), rapport.mark_read(:talk, 2) \gset
SELECT rapport.act_as(:ida) \gset
SELECT i ->> 'other_read_seq' AS theirs FROM rapport.sync() AS s, jsonb_array_elements(s.items) AS i;
SELECT items AS nothing_new FROM rapport.sync(:'ida_since');
-- A group is told of without a row of one's own being written; an invitation, an intro, a like and a match are.
SELECT conversation_id AS chess FROM rapport.create_group('Chess') \gset
SELECT rapport.invite_to_group(:chess, :hal) \gset
SELECT rapport.act_as(:hal) \gset
SELECT t.* FROM rapport.sync(:'since_3') AS s, pg_temp.told(s.items) AS t WHERE t.kind = 'group_invitation';
SELECT rapport.join_group(:chess) \gset
SELECT next AS since_4 FROM rapport.sync(:'since_3') \gset
SELECT rapport.act_as(:ida) \gset
SELECT seq FROM rapport.send_message(:chess, 'i-1', 'e4');
SELECT rapport.act_as(:ada) \gset
SELECT rapport.send_intro(:hal, 'Hello Hal') \gset
SELECT rapport.act_as(:eve) \gset
SELECT matched FROM rapport."like"(:hal, 'friends');
SELECT rapport.act_as(:hal) \gset
SELECT t.* FROM rapport.sync(:'since_4') AS s, pg_temp.told(s.items) AS t;
SELECT next AS since_5 FROM rapport.sync(:'since_4') \gset
SELECT matched FROM rapport."like"(:eve, 'friends');
SELECT rapport.block(:gus), rapport.leave_group(:chess) \gset
SELECT t.* FROM rapport.sync(:'since_5') AS s, pg_temp.told(s.items) AS t ORDER BY t.kind;
-- Deleted for oneself on another device, and a conversation cleared.
SELECT next AS since_6 FROM rapport.sync(:'since_5') \gset
SELECT rapport.delete_message(:talk, 1) \gset
SELECT i -> 'hidden' AS hidden FROM rapport.sync(:'since_6') AS s, jsonb_array_elements(s.items) AS i;
-- Tokens are of one person, one timeline, and not of their own making.
SELECT rapport.act_as(:ida) \gset
SELECT pg_temp.refusal(format('SELECT rapport.sync(%s)', call)) FROM unnest(ARRAY[quote_literal(:'since_6'), '''''', '''x''', 'NULL, 0', 'NULL, 501']) AS call;
SELECT rapport.act_as(NULL) \gset
SELECT rapport.seal('sync ' || :hal, concat_ws(' ', regexp_replace(rapport.sync_timeline(), '[0-9A-F]+$', 'FFFFFFFF'), 1, 1)) AS elsewhere,
	rapport.seal('sync ' || :hal, concat_ws(' ', rapport.sync_timeline(), -3000000000, 1)) AS long_ago \gset
SELECT rapport.act_as(:hal) \gset
SELECT reset FROM unnest(ARRAY[:'elsewhere', :'long_ago']) AS t, rapport.sync(t) AS s;
SELECT rapport.act_as(NULL) \gset
RESET rapport.now;
