-- chat: everything since. A row says by its xmin which transaction wrote it, and
-- a snapshot which transactions it sees: what an earlier sync() cannot have seen is
-- what is written by a transaction that had not ended at its snapshot. So nothing
-- has to be written for it, and nothing is missed, in whatever order transactions
-- commit. What is told twice is known by its number.

CREATE OR REPLACE FUNCTION rapport.is_since(writer xid, since bigint, next bigint) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	-- A row has the lower half of its transaction's number: it is within 2^31 of the next.
	SELECT is_since.next + ((is_since.writer::text::bigint - is_since.next + 2147483648) & 4294967295) - 2147483648 >= is_since.since;
END;
COMMENT ON FUNCTION rapport.is_since(xid, bigint, bigint) IS
'Whether the transaction writer (the xmin of a row) is since or a later one; next is the end of the snapshot.';

-- Numbers start anew elsewhere: after a failover, in a restored or another database.
CREATE OR REPLACE FUNCTION rapport.sync_timeline() RETURNS text
LANGUAGE plpgsql STABLE
AS $$
BEGIN
	RETURN (SELECT pg_catalog.concat_ws('-', c.system_identifier, d.oid, pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8))
			FROM pg_catalog.pg_control_system() AS c
			JOIN pg_catalog.pg_database AS d ON d.datname = pg_catalog.current_database());
END;
$$;
COMMENT ON FUNCTION rapport.sync_timeline() IS 'The cluster, the database and its timeline, which transactions are numbered in.';

-- A block, or its end, changes what two people read of the groups they have in common,
-- and writes nothing there: each one's row of those groups counts it.
CREATE OR REPLACE FUNCTION rapport.chat_unheard(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	-- Also those that one of them has left: what they wrote is still there.
	common bigint[] := ARRAY(SELECT a.conversation_id
							 FROM rapport.member AS a
							 JOIN rapport.member AS b ON b.person_id = ids[2] AND b.conversation_id = a.conversation_id
							 WHERE a.person_id = ids[1] AND a.is_group);
BEGIN
	PERFORM FROM rapport.member AS m
	WHERE m.person_id = ANY (ids) AND m.conversation_id = ANY (common)
	ORDER BY m.conversation_id, m.person_id
	FOR NO KEY UPDATE;
	UPDATE rapport.member AS m
	SET change_seq = m.change_seq + 1
	WHERE m.person_id = ANY (ids) AND m.conversation_id = ANY (common);
END;
$$;
COMMENT ON FUNCTION rapport.chat_unheard(bigint[]) IS
'Hook of "person_blocked" and "person_unblocked": sync() tells both to read the groups they have in common anew.';

CREATE OR REPLACE FUNCTION rapport.chat_withdraw(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	PERFORM rapport.withdraw(ARRAY(SELECT i FROM rapport.group_invitation AS i
								   WHERE (i.person_id, i.invited_by) IN ((ids[1], ids[2]), (ids[2], ids[1]))
								   ORDER BY i.person_id, i.conversation_id
								   FOR UPDATE));
END;
$$;
COMMENT ON FUNCTION rapport.chat_withdraw(bigint[]) IS 'Hook of "person_blocked": takes back the invitations of one to the other.';

-- Lists do not show those of whom one does not hear. They are noted in the order of their names.
CREATE OR REPLACE FUNCTION rapport.lists_unheard(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	PERFORM rapport.note_stale('intros', ARRAY(SELECT i.person_id FROM rapport.intro AS i
											   WHERE (i.person_id, i.other_id) IN ((ids[1], ids[2]), (ids[2], ids[1]))
											   AND NOT i.declined));
	PERFORM rapport.note_stale('intros_sent', ARRAY(SELECT s.person_id FROM rapport.intro_sent AS s
													WHERE (s.person_id, s.other_id) IN ((ids[1], ids[2]), (ids[2], ids[1]))));
	PERFORM rapport.note_stale('likes ' || p.mode, pg_catalog.array_remove(ARRAY[CASE WHEN p.hi_action IS NOT NULL THEN p.lo END, CASE WHEN p.lo_action IS NOT NULL THEN p.hi END], NULL))
	FROM rapport.pair AS p
	WHERE p.lo = least(ids[1], ids[2])
	AND p.hi = greatest(ids[1], ids[2])
	AND p.matched_at IS NULL
	AND p.ended_at IS NULL
	ORDER BY p.mode;
END;
$$;
COMMENT ON FUNCTION rapport.lists_unheard(bigint[]) IS
'Hook of "person_blocked" and "person_unblocked": sync() tells whoever has an intro or a like of the other, or sent one, to read the list anew.';

-- That a match has gone is told with its conversation; that it is back, by nothing that is new.
CREATE OR REPLACE FUNCTION rapport.matches_back(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	PERFORM rapport.note_stale('matches', ids)
	WHERE EXISTS (SELECT FROM rapport.pair AS p
				  WHERE p.lo = least(ids[1], ids[2])
				  AND p.hi = greatest(ids[1], ids[2])
				  AND p.matched_at IS NOT NULL);
END;
$$;
COMMENT ON FUNCTION rapport.matches_back(bigint[]) IS 'Hook of "person_unblocked": sync() tells two who have matched to read their matches anew.';

CREATE OR REPLACE FUNCTION rapport.blocks_stale(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	PERFORM rapport.note_stale('blocks', ids);
END;
$$;
COMMENT ON FUNCTION rapport.blocks_stale(bigint[]) IS 'Hook of "blocks_changed": sync() tells to read the blocks anew.';

CREATE OR REPLACE FUNCTION rapport.likes_stale(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	PERFORM rapport.note_stale('likes ' || ids[2], ARRAY[ids[1]]);
END;
$$;
COMMENT ON FUNCTION rapport.likes_stale(bigint[]) IS 'Hook of "likes_changed": sync() tells to read the likes of the mode anew.';

INSERT INTO rapport.hook (event, ord, call, builtin) VALUES
	('person_blocked', 110, 'rapport.chat_unheard(bigint[])', true),
	('person_blocked', 120, 'rapport.chat_withdraw(bigint[])', true),
	('person_blocked', 130, 'rapport.lists_unheard(bigint[])', true),
	('person_unblocked', 110, 'rapport.chat_unheard(bigint[])', true),
	('person_unblocked', 130, 'rapport.lists_unheard(bigint[])', true),
	('person_unblocked', 140, 'rapport.matches_back(bigint[])', true),
	('blocks_changed', 100, 'rapport.blocks_stale(bigint[])', true),
	('likes_changed', 100, 'rapport.likes_stale(bigint[])', true);

CREATE OR REPLACE FUNCTION rapport.sync_list(list text, items jsonb[], most integer, lost text[]) RETURNS SETOF jsonb
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
	SELECT x
	FROM pg_catalog.unnest(CASE WHEN pg_catalog.cardinality(sync_list.items) <= sync_list.most AND sync_list.list <> ALL (sync_list.lost) THEN sync_list.items
								ELSE ARRAY[pg_catalog.jsonb_build_object('kind', 'stale', 'list', sync_list.list)] END) AS x;
END;
COMMENT ON FUNCTION rapport.sync_list(text, jsonb[], integer, text[]) IS
'What sync_news() tells of a list: items; where they are more than most, or where it is one of lost, that it is to be read anew.';

CREATE OR REPLACE FUNCTION rapport.sync_news(person_id bigint, since bigint, since_at timestamp with time zone, next bigint) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	-- A transaction is done an hour after it began: times are those of beginnings.
	earliest timestamp with time zone := since_at - interval '1 hour';
	most CONSTANT integer := 100;
	lost text[] := ARRAY(SELECT s.list FROM rapport.stale_list AS s
						 WHERE s.person_id = sync_news.person_id
						 AND rapport.is_since(s.xmin, since, next));
	mine rapport.profile;
	-- What I am and accept decides who is among the likes.
	mine_new boolean;
	preferences_new boolean := false;
	liked record;
	part jsonb[];
	oldest timestamp with time zone;
BEGIN
	RETURN QUERY
	SELECT pg_catalog.jsonb_build_object('kind', 'preferences', 'read_receipts', p.read_receipts)
	FROM rapport.chat_preference AS p
	WHERE p.person_id = sync_news.person_id
	AND rapport.is_since(p.xmin, since, next);

	SELECT rapport.is_since(p.xmin, since, next) INTO mine_new FROM rapport.profile AS p WHERE p.person_id = sync_news.person_id;
	IF 'blocks' = ANY (lost) THEN
		RETURN NEXT pg_catalog.jsonb_build_object('kind', 'stale', 'list', 'blocks');
	END IF;

	-- Of each list one more than is told: if there is, the list is to be read.
	part := ARRAY(
		SELECT pg_catalog.jsonb_build_object('kind', 'match', 'person_id', x.other_id, 'mode', m.code, 'conversation_id', x.conversation_id, 'matched_at', x.matched_at)
		FROM (SELECT p.hi AS other_id, p.mode, p.conversation_id, p.matched_at, p.xmin AS writer
			  FROM rapport.pair AS p WHERE p.lo = sync_news.person_id AND p.matched_at >= earliest
			  UNION ALL
			  SELECT p.lo, p.mode, p.conversation_id, p.matched_at, p.xmin
			  FROM rapport.pair AS p WHERE p.hi = sync_news.person_id AND p.matched_at >= earliest) AS x
		JOIN rapport.mode AS m ON m.mode = x.mode
		WHERE rapport.is_since(x.writer, since, next)
		AND NOT rapport.is_blocked(sync_news.person_id, x.other_id)
		ORDER BY x.matched_at
		LIMIT most + 1);
	RETURN QUERY SELECT * FROM rapport.sync_list('matches', part, most, lost);
	-- A match takes somebody from other lists: it is told with what it was, or those are to be read as well.
	IF pg_catalog.cardinality(part) > most OR 'matches' = ANY (lost) THEN
		lost := lost || ARRAY['intros', 'intros_sent'] || ARRAY(SELECT 'likes ' || m.mode FROM rapport.mode AS m);
	END IF;

	part := ARRAY(
		SELECT CASE WHEN i.declined THEN pg_catalog.jsonb_build_object('kind', 'intro_gone', 'person_id', i.other_id)
			   ELSE pg_catalog.jsonb_build_object('kind', 'intro', 'person_id', i.other_id, 'mode', m.code, 'body', i.body, 'sent_at', i.at) END
		FROM rapport.intro AS i
		JOIN rapport.mode AS m ON m.mode = i.mode
		WHERE i.person_id = sync_news.person_id
		AND rapport.is_since(i.xmin, since, next)
		AND NOT rapport.is_blocked(sync_news.person_id, i.other_id)
		ORDER BY i.at
		LIMIT most + 1);
	RETURN QUERY SELECT * FROM rapport.sync_list('intros', part, most, lost);

	part := ARRAY(
		SELECT pg_catalog.jsonb_build_object('kind', 'intro_sent', 'person_id', s.other_id, 'sent_at', s.at)
		FROM rapport.intro_sent AS s
		WHERE s.person_id = sync_news.person_id
		AND s.at >= earliest
		AND rapport.is_since(s.xmin, since, next)
		AND NOT rapport.is_blocked(sync_news.person_id, s.other_id)
		ORDER BY s.at
		LIMIT most + 1);
	RETURN QUERY SELECT * FROM rapport.sync_list('intros_sent', part, most, lost);

	part := ARRAY(
		SELECT pg_catalog.jsonb_build_object('kind', 'group_invitation', 'conversation_id', i.conversation_id, 'title', c.title, 'invited_by', i.invited_by, 'invited_at', i.at)
		FROM rapport.group_invitation AS i
		JOIN rapport.conversation AS c ON c.conversation_id = i.conversation_id AND c.closed_at IS NULL
		WHERE i.person_id = sync_news.person_id
		AND rapport.is_since(i.xmin, since, next)
		ORDER BY i.at
		LIMIT most + 1);
	RETURN QUERY SELECT * FROM rapport.sync_list('group_invitations', part, most, lost);

	-- Whom likes_received() shows is for it to say; it is asked where there are new rows.
	FOR liked IN
		SELECT m.mode, m.code, s.stale, p.new
		FROM rapport.mode AS m
		JOIN rapport.preference AS f ON f.person_id = sync_news.person_id AND f.mode = m.mode
		CROSS JOIN LATERAL (SELECT rapport.is_since(f.xmin, since, next) AS new) AS p
		CROSS JOIN LATERAL (SELECT mine_new OR p.new OR 'likes ' || m.mode = ANY (lost) AS stale) AS s
		WHERE s.stale
		OR f.enabled AND EXISTS (SELECT FROM rapport.like_received AS l
				   WHERE l.person_id = sync_news.person_id
				   AND l.mode = m.mode
				   AND l.at >= earliest
				   AND rapport.is_since(l.xmin, since, next))
		ORDER BY m.mode
	LOOP
		preferences_new := preferences_new OR liked.new;
		IF liked.stale THEN
			RETURN NEXT pg_catalog.jsonb_build_object('kind', 'stale', 'list', 'likes', 'mode', liked.code);
			CONTINUE;
		END IF;
		SELECT p.* INTO mine FROM rapport.profile AS p WHERE p.person_id = sync_news.person_id;
		CONTINUE WHEN mine.person_id IS NULL OR EXISTS (SELECT FROM rapport.missing_steps(mine));
		SELECT pg_catalog.array_agg(pg_catalog.jsonb_build_object('kind', 'like', 'person_id', r.person_id, 'mode', liked.code,
																  'super_like', r.super_like, 'liked_at', r.liked_at) ORDER BY r.liked_at)
			   FILTER (WHERE rapport.is_since(l.xmin, since, next)),
			   CASE WHEN count(*) = most THEN min(r.liked_at) END
		INTO part, oldest
		FROM rapport.likes_received(liked.code, most) AS r
		JOIN rapport.like_received AS l ON l.person_id = sync_news.person_id AND l.mode = liked.mode AND l.other_id = r.person_id;
		-- New ones may be beyond the newest that it gives.
		IF (SELECT count(*) > (SELECT count(*) FROM pg_catalog.unnest(part) AS x WHERE (x ->> 'liked_at')::timestamp with time zone = oldest)
			FROM rapport.like_received AS l
			WHERE l.person_id = sync_news.person_id
			AND l.mode = liked.mode
			AND l.at BETWEEN earliest AND oldest
			AND rapport.is_since(l.xmin, since, next)) THEN
			RETURN NEXT pg_catalog.jsonb_build_object('kind', 'stale', 'list', 'likes', 'mode', liked.code);
		ELSE
			RETURN QUERY SELECT x FROM pg_catalog.unnest(part) AS x;
		END IF;
	END LOOP;
	IF mine_new OR preferences_new THEN
		RETURN NEXT pg_catalog.jsonb_build_object('kind', 'stale', 'list', 'profile');
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.sync_news(bigint, bigint, timestamp with time zone, bigint) IS
'What has come to a person since, besides conversations: preferences, matches, intros, invitations, likes; where there are more than 100 of a kind, or something has gone or is back, that the list is to be read.';

CREATE OR REPLACE FUNCTION rapport.sync(since text DEFAULT NULL, page_size integer DEFAULT NULL,
	OUT reset boolean, OUT items jsonb, OUT more boolean, OUT next text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	size integer := coalesce(sync.page_size, 100);
	snapshot pg_snapshot := pg_current_snapshot();
	next_xid bigint := pg_snapshot_xmax(snapshot)::text::bigint;
	timeline text := rapport.sync_timeline();
	scope text := 'sync ' || me;
	receipts boolean;
	-- Whether I have chosen anew who sees what is read: then I see others' marks, or no longer.
	receipts_new boolean;
	token text[];
	-- The round goes from one snapshot to another; its pages remember both, and where they are.
	from_xid bigint := 0;
	from_at timestamp with time zone;
	to_xid bigint := pg_snapshot_xmin(snapshot)::text::bigint;
	to_at timestamp with time zone := rapport.now();
	at_conversation bigint := 0;
	at_seq bigint := 0;
	at_change bigint := 0;
	room integer := size;
	part jsonb[] := '{}';
	hits jsonb[];
	talk record;
	written record;
	first_seq bigint;
BEGIN
	IF size NOT BETWEEN 1 AND 500 THEN
		PERFORM rapport.fail('out_of_range', 'page_size is 1 to 500.');
	END IF;
	IF sync.since IS NOT NULL THEN
		token := string_to_array(rapport.unseal(scope, sync.since), ' ');
		IF token IS NULL THEN
			PERFORM rapport.fail('invalid_cursor');
		END IF;
	END IF;
	-- A row tells no more than half of the numbers that there are.
	reset := token IS NULL OR token[1] <> timeline OR token[2]::bigint < next_xid - 2000000000;
	IF NOT reset OR token[1] = timeline THEN
		from_xid := token[2]::bigint;
		from_at := timestamptz 'epoch' + token[3]::bigint * interval '1 microsecond';
		IF cardinality(token) > 3 THEN
			to_xid := token[4]::bigint;
			to_at := timestamptz 'epoch' + token[5]::bigint * interval '1 microsecond';
			at_conversation := token[6]::bigint;
			at_seq := token[7]::bigint;
			at_change := token[8]::bigint;
		END IF;
	END IF;
	from_xid := coalesce(from_xid, 0);
	-- A round that began with nothing goes on with nothing.
	reset := reset OR from_xid = 0;
	IF reset THEN
		from_xid := 0;
	ELSIF at_conversation = 0 THEN
		part := ARRAY(SELECT n FROM rapport.sync_news(me, from_xid, from_at, next_xid) AS n);
		room := greatest(room - cardinality(part), 1);
	END IF;
	receipts_new := NOT reset AND EXISTS (SELECT FROM rapport.chat_preference AS p
										  WHERE p.person_id = me AND rapport.is_since(p.xmin, from_xid, next_xid));
	more := false;
	FOR talk IN
		SELECT m.conversation_id, m.closed, m.is_group, m.other_id, m.read_seq, m.delivered_seq, m.other_delivered_seq,
			   m.other_read_seq, m.muted_until, m.archived_seq, c.title, m.hidden_seq, m.change_seq AS view_seq,
			   -- retain_messages() moves it where one row has it: of a group that is the conversation.
			   greatest(m.joined_seq, c.first_seq - 1) AS joined_seq,
			   coalesce(c.last_seq, m.last_seq) AS last_seq, coalesce(c.last_at, m.last_at) AS last_at, coalesce(c.change_seq, m.change_seq) AS change_seq
		FROM rapport.member AS m
		-- With LIMIT groups are looked up one by one, and nothing is for direct conversations.
		LEFT JOIN LATERAL (SELECT x.title, x.first_seq, x.last_seq, x.last_at, x.change_seq, x.xmin AS writer
						   FROM rapport.conversation AS x
						   WHERE m.is_group AND NOT m.closed AND x.conversation_id = m.conversation_id
						   LIMIT 1) AS c ON true
		WHERE m.person_id = me
		AND m.conversation_id >= at_conversation
		AND (reset AND NOT m.closed OR NOT reset AND (rapport.is_since(m.xmin, from_xid, next_xid)
													  OR receipts_new AND NOT m.is_group AND NOT m.closed
													  OR c.writer IS NOT NULL AND rapport.is_since(c.writer, from_xid, next_xid)))
		ORDER BY m.conversation_id
	LOOP
		IF room <= 0 THEN
			at_conversation := talk.conversation_id;
			at_seq := 0;
			at_change := 0;
			more := true;
			EXIT;
		END IF;
		IF talk.conversation_id <> at_conversation THEN
			at_seq := 0;
			at_change := 0;
		END IF;
		room := room - 1;
		IF talk.closed THEN
			part := part || jsonb_build_object('kind', 'gone', 'conversation_id', talk.conversation_id, 'person_id', talk.other_id, 'mode',
				(SELECT m.code FROM rapport.pair AS p JOIN rapport.mode AS m ON m.mode = p.mode
				 WHERE p.lo = least(me, talk.other_id) AND p.hi = greatest(me, talk.other_id) AND p.conversation_id = talk.conversation_id));
			CONTINUE;
		END IF;
		receipts := coalesce(receipts, rapport.shows_receipts(me));
		part := part || jsonb_build_object('kind', 'conversation', 'conversation_id', talk.conversation_id,
			'is_group', talk.is_group, 'person_id', talk.other_id, 'title', talk.title,
			'last_seq', talk.last_seq, 'last_at', talk.last_at, 'change_seq', talk.change_seq, 'joined_seq', talk.joined_seq,
			'read_seq', talk.read_seq, 'delivered_seq', talk.delivered_seq,
			'unread', talk.last_seq - greatest(talk.read_seq, talk.joined_seq),
			'other_delivered_seq', CASE WHEN NOT talk.is_group THEN talk.other_delivered_seq END,
			'other_read_seq', CASE WHEN NOT talk.is_group AND receipts THEN talk.other_read_seq END,
			-- So that a device knows without being told when it is muted and archived no more.
			'muted_until', talk.muted_until, 'archived_seq', talk.archived_seq,
			-- As in inbox().
			'archived', coalesce(talk.archived_seq >= talk.last_seq OR talk.archived_seq IS NOT NULL AND talk.muted_until > rapport.now(), false),
			'view_seq', CASE WHEN talk.is_group THEN talk.view_seq END,
			'hidden', CASE WHEN talk.hidden_seq > 0 THEN
				(SELECT to_jsonb(p.hidden) FROM rapport.participant AS p WHERE p.conversation_id = talk.conversation_id AND p.person_id = me) END);
		CONTINUE WHEN reset;
		-- Messages of a conversation commit in their order, so the first that is not new ends the way back.
		-- Beyond a thousand the client reads the history, where its own last number tells.
		IF at_seq = 0 THEN
			first_seq := talk.last_seq + 1;
			FOR written IN
				-- A row that was sealed, after a day at the earliest, and is open to be changed is as old as its message.
				SELECT n.seq, n.sent_at >= least(from_at - interval '1 hour', rapport.now() - interval '22 hours')
							  AND rapport.is_since(n.xmin, from_xid, next_xid) AS new
				FROM rapport.message AS n
				WHERE n.conversation_id = talk.conversation_id
				AND n.seq > greatest(talk.joined_seq, talk.last_seq - 1000)
				AND n.seq <= talk.last_seq
				ORDER BY n.seq DESC
			LOOP
				EXIT WHEN NOT written.new;
				first_seq := written.seq;
			END LOOP;
			-- What is sealed, after a day at the earliest, no longer says who wrote it, but when.
			IF from_at < rapport.now() - interval '22 hours' THEN
				first_seq := coalesce((SELECT min(n.seq)
									   FROM rapport.message_range(talk.conversation_id, greatest(talk.joined_seq, talk.last_seq - 1000) + 1, first_seq - 1) AS n
									   WHERE n.sent_at >= from_at - interval '1 hour'), first_seq);
			END IF;
		ELSE
			first_seq := at_seq;
		END IF;
		IF first_seq <= talk.last_seq THEN
			hits := ARRAY(SELECT jsonb_build_object('kind', 'message', 'conversation_id', talk.conversation_id) || to_jsonb(s)
						   FROM rapport.open_conversation(talk.conversation_id, me) AS o
						   CROSS JOIN LATERAL rapport.shown_messages(me, talk.conversation_id, greatest(first_seq, o.joined_seq + 1),
																	 least(talk.last_seq, first_seq + greatest(room, 1) - 1),
																	 o.hidden, o.is_group, o.change_seq > 0) AS s
						   ORDER BY s.seq);
			part := part || hits;
			room := room - cardinality(hits);
			first_seq := least(talk.last_seq, first_seq + greatest(room + cardinality(hits), 1) - 1) + 1;
			IF first_seq <= talk.last_seq THEN
				at_conversation := talk.conversation_id;
				at_seq := first_seq;
				more := true;
				EXIT;
			END IF;
		END IF;
		IF talk.change_seq > at_change THEN
			hits := ARRAY(SELECT jsonb_build_object('kind', 'change', 'conversation_id', talk.conversation_id, 'change_seq', x.change_seq) || to_jsonb(s)
						   FROM rapport.open_conversation(talk.conversation_id, me) AS o
						   CROSS JOIN LATERAL (SELECT y.change_seq, y.seq
											   FROM rapport.message_change AS y
											   WHERE y.conversation_id = talk.conversation_id
											   AND y.change_seq > greatest(at_change, talk.change_seq - 1000)
											   AND y.seq > o.joined_seq
											   AND rapport.is_since(y.xmin, from_xid, next_xid)
											   ORDER BY y.change_seq
											   LIMIT greatest(room, 1) + 1) AS x
						   CROSS JOIN LATERAL rapport.shown_messages(me, talk.conversation_id, x.seq, x.seq, o.hidden, o.is_group, true) AS s
						   ORDER BY x.change_seq);
			IF cardinality(hits) > greatest(room, 1) THEN
				part := part || hits[:greatest(room, 1)];
				at_conversation := talk.conversation_id;
				at_seq := talk.last_seq + 1;
				at_change := (hits[greatest(room, 1)] ->> 'change_seq')::bigint;
				more := true;
				EXIT;
			END IF;
			part := part || hits;
			room := room - cardinality(hits);
		END IF;
	END LOOP;
	items := to_jsonb(part);
	next := rapport.seal(scope, concat_ws(' ', timeline,
		CASE WHEN more THEN from_xid ELSE to_xid END,
		(extract(epoch FROM CASE WHEN more THEN coalesce(from_at, to_at) ELSE to_at END) * 1000000)::bigint,
		CASE WHEN more THEN concat_ws(' ', to_xid, (extract(epoch FROM to_at) * 1000000)::bigint, at_conversation, at_seq, at_change) END));
END;
$$;
COMMENT ON FUNCTION rapport.sync(text, integer) IS
'Everything that has happened for me since an earlier call, in pages of about page_size (1 to 500, 100) items: since is the next of that call, and more tells to go on with the new one at once. Items have a kind: conversation (its numbers, receipts and what I keep of it), followed by its new messages (message) and the messages that were edited, deleted or reacted to (change), as messages() shows them; gone, a conversation that is no longer mine, with whom it was and the mode of the match; match, like, intro, intro_sent, group_invitation (again when the group has a new title); intro_gone, an intro that I have declined; preferences, what I have chosen with set_chat_preferences(); stale, a list to be read anew, as more than 100 of it are new or something of it has gone or is back, whatever the reason: matches, intros, intros_sent, group_invitations, or the likes of a mode, but not as others change what they are and accept; and blocks, or profile with the preferences, when they have changed. A match, and gone, take the two out of each other''s intros and, in its mode, likes. Of a group, read the history anew when view_seq is not the one you know: a block, or its end, has changed what I see of it. Messages up to joined_seq are no longer mine to read. Something can come twice: message by seq, change by change_seq, the others replace what was there. Without since, and with reset = true, where the numbers of an earlier call mean nothing (a failover, a restore, too long ago), every conversation is listed without messages: read after the last seq and the last change you have with messages() and changed_messages(), and the other lists anew. A number beyond the next you expect means the same. Errors: out_of_range, invalid_cursor.';
GRANT EXECUTE ON FUNCTION rapport.sync(text, integer) TO rapport_user;

-- Searching. A GIN index of the words takes 30 bytes a message (200,000 of 65 bytes,
-- built at once; more where it grows), work at every send, and could not know of
-- messages that are sealed: one's own conversations are read instead, so many messages
-- a call. The newest conversation first, not the one with the newest message: that
-- order changes from page to page.
CREATE OR REPLACE FUNCTION rapport.search_messages(query text, conversation_id bigint DEFAULT NULL, after text DEFAULT NULL,
	OUT items jsonb, OUT next text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	config regconfig := coalesce((SELECT c.oid FROM pg_ts_config AS c
								  WHERE c.cfgname = rapport.setting_text('search_language')
								  AND c.cfgnamespace = 'pg_catalog'::regnamespace), 'pg_catalog.simple'::regconfig);
	words tsquery;
	budget integer := rapport.setting_int('search_messages_most');
	scope text := format('search by age %s %s %s', me, search_messages.conversation_id, search_messages.query);
	place text[];
	after_at timestamp with time zone := 'infinity';
	after_id bigint := 9007199254740993;
	top bigint;
	low bigint;
	part jsonb[] := '{}';
	hits jsonb[];
	talk record;
	it record;
BEGIN
	IF search_messages.query IS NULL THEN
		PERFORM rapport.fail('missing_field', 'query is required.');
	ELSIF octet_length(search_messages.query) > 400 THEN
		PERFORM rapport.fail('out_of_range', 'query has at most 400 bytes.');
	END IF;
	-- Texts are stored as they are sent: an accent may be a character of its own.
	words := websearch_to_tsquery(config, normalize(search_messages.query));
	IF numnode(words) = 0 OR querytree(words) = 'T' THEN
		PERFORM rapport.fail('invalid_value', 'query has no word to look for.');
	END IF;
	IF search_messages.after IS NOT NULL THEN
		place := string_to_array(rapport.unseal(scope, search_messages.after), ' ');
		IF place IS NULL THEN
			PERFORM rapport.fail('invalid_cursor');
		END IF;
		after_at := timestamptz 'epoch' + place[1]::bigint * interval '1 microsecond';
		after_id := place[2];
		top := place[3];
	END IF;
	IF search_messages.conversation_id IS NOT NULL
		AND NOT EXISTS (SELECT FROM rapport.open_conversation(search_messages.conversation_id, me) AS o) THEN
		PERFORM rapport.fail('not_found');
	END IF;
	FOR talk IN
		SELECT c.conversation_id AS id, c.created_at
		FROM rapport.member AS m
		JOIN rapport.conversation AS c ON c.conversation_id = m.conversation_id
		WHERE m.person_id = me
		AND NOT m.closed
		AND (search_messages.conversation_id IS NULL OR m.conversation_id = search_messages.conversation_id)
		AND (c.created_at, c.conversation_id) <= (after_at, after_id)
		ORDER BY c.created_at DESC, c.conversation_id DESC
	LOOP
		SELECT o.* INTO it FROM rapport.open_conversation(talk.id, me) AS o;
		CONTINUE WHEN NOT FOUND;
		top := CASE WHEN talk.id = after_id THEN least(top, it.last_seq) ELSE it.last_seq END;
		WHILE top > it.joined_seq LOOP
			low := greatest(it.joined_seq + 1, top - 199);
			hits := ARRAY(SELECT jsonb_build_object('conversation_id', talk.id) || to_jsonb(s)
						   FROM rapport.shown_messages(me, talk.id, low, top, it.hidden, it.is_group, false) AS s
						   WHERE s.state = 'sent'
						   AND to_tsvector(config, normalize(s.body)) @@ words
						   ORDER BY s.seq DESC
						   LIMIT 20 - cardinality(part));
			part := part || hits;
			budget := budget - (top - low + 1)::integer;
			top := CASE WHEN cardinality(part) >= 20 THEN (part[20] ->> 'seq')::bigint ELSE low END - 1;
			IF cardinality(part) >= 20 OR budget <= 0 THEN
				items := to_jsonb(part);
				next := rapport.seal(scope, concat_ws(' ', (extract(epoch FROM talk.created_at) * 1000000)::bigint, talk.id, top));
				RETURN;
			END IF;
		END LOOP;
	END LOOP;
	items := to_jsonb(part);
END;
$$;
COMMENT ON FUNCTION rapport.search_messages(text, bigint, text) IS
'Looks for words in the messages of my conversations, or of one of them, the newest conversation first, in it the newest message, as web searches take them ("in quotes", or, -without); the setting search_language says how words are read. items has up to 20 messages, with conversation_id, as messages() shows them. One call looks at search_messages_most messages, so there can be few and still a next: pass it as after with the same query; NULL at the end. Errors: missing_field, out_of_range, invalid_value without a word, invalid_cursor, not_found as for messages().';
GRANT EXECUTE ON FUNCTION rapport.search_messages(text, bigint, text) TO rapport_user;
