-- chat: what a person sees of conversations, and what they keep of their side.

CREATE OR REPLACE FUNCTION rapport.open_conversation(conversation_id bigint, person_id bigint)
RETURNS TABLE (joined_seq bigint, last_seq bigint, change_seq bigint, is_group boolean, hidden bigint[], role text)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT greatest(p.joined_seq, c.first_seq - 1), c.last_seq, c.change_seq, c.kind = 'group', p.hidden, p.role
	FROM rapport.participant AS p
	JOIN rapport.conversation AS c ON c.conversation_id = p.conversation_id
	WHERE p.conversation_id = open_conversation.conversation_id
	AND p.person_id = open_conversation.person_id
	AND p.left_seq IS NULL
	AND c.closed_at IS NULL;
END;
COMMENT ON FUNCTION rapport.open_conversation(bigint, bigint) IS
'The row of an open conversation the person takes part in: messages after joined_seq are theirs to read. No row otherwise.';

-- Both ways, as everywhere else: who blocks does not read the other, nor the other them.
CREATE OR REPLACE FUNCTION rapport.unheard(person_id bigint) RETURNS bigint[]
LANGUAGE plpgsql STABLE
AS $$
BEGIN
	RETURN ARRAY(SELECT b.other_id FROM rapport.block AS b WHERE b.person_id = unheard.person_id
				 UNION ALL
				 SELECT b.other_id FROM rapport.blocked_by AS b WHERE b.person_id = unheard.person_id);
END;
$$;
COMMENT ON FUNCTION rapport.unheard(bigint) IS 'Whom the person blocks, and who blocks them: neither is heard by the other in groups.';

CREATE OR REPLACE FUNCTION rapport.shown_messages(person_id bigint, conversation_id bigint, first_seq bigint, last_seq bigint,
												   hidden bigint[], is_group boolean, changed boolean)
RETURNS TABLE (seq bigint, sender_id bigint, sent_at timestamp with time zone, state text, body text, attrs jsonb,
			   edited_at timestamp with time zone, expires_at timestamp with time zone, reactions jsonb)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	silent bigint[] := CASE WHEN is_group THEN rapport.unheard(shown_messages.person_id) ELSE '{}' END;
BEGIN
	RETURN QUERY
	SELECT m.seq, m.sender_id, m.sent_at, s.state,
		   CASE WHEN s.state IN ('sent', 'system') THEN m.body END,
		   CASE WHEN s.state IN ('sent', 'system') THEN m.attrs END,
		   CASE WHEN s.state = 'sent' THEN x.edited_at END,
		   CASE WHEN s.state = 'sent' AND m.flags >= 256 THEN m.sent_at + pg_catalog.make_interval(mins => m.flags / 256) END,
		   coalesce(CASE WHEN s.state = 'sent' THEN r.reactions END, '[]')
	FROM rapport.message_range(shown_messages.conversation_id, shown_messages.first_seq, shown_messages.last_seq) AS m
	CROSS JOIN LATERAL (
		SELECT CASE
			WHEN m.seq = ANY (shown_messages.hidden) THEN 'hidden'
			WHEN m.flags & 1 = 1 AND m.attrs IS NOT NULL THEN 'system'
			WHEN m.flags >= 256 AND m.sent_at + pg_catalog.make_interval(mins => m.flags / 256) <= rapport.now() THEN 'expired'
			WHEN m.flags & 4 = 4 OR (m.body IS NULL AND m.attrs IS NULL) OR m.sender_id = ANY (silent) THEN 'deleted'
			ELSE 'sent' END AS state) AS s
	-- Where nothing has changed there is nothing to look for.
	LEFT JOIN (SELECT c.seq, c.edited_at
			   FROM rapport.message_change AS c
			   WHERE shown_messages.changed
			   AND c.conversation_id = shown_messages.conversation_id
			   AND c.seq BETWEEN shown_messages.first_seq AND shown_messages.last_seq) AS x ON x.seq = m.seq
	LEFT JOIN (SELECT y.seq,
					  pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('reaction', y.reaction, 'count', y.n, 'mine', y.mine)
										   ORDER BY y.n DESC, y.reaction) AS reactions
			   FROM (SELECT a.seq, a.reaction, count(*) AS n, bool_or(a.person_id = shown_messages.person_id) AS mine
					 FROM rapport.message_reaction AS a
					 WHERE shown_messages.changed
					 AND a.conversation_id = shown_messages.conversation_id
					 AND a.seq BETWEEN shown_messages.first_seq AND shown_messages.last_seq
					 AND a.person_id <> ALL (silent)
					 GROUP BY a.seq, a.reaction) AS y
			   GROUP BY y.seq) AS r ON r.seq = m.seq
	ORDER BY m.seq;
END;
$$;
COMMENT ON FUNCTION rapport.shown_messages(bigint, bigint, bigint, bigint, bigint[], boolean, boolean) IS
'Messages as the person sees them; hidden and is_group are those of open_conversation(), changed is whether any message of the conversation has changed. state is sent, system, deleted (for all, or by an erased person, or not for the eyes of this one), expired or hidden (deleted for oneself): only sent and system have contents. A building block: whoever calls it has checked that the range is theirs to read.';

CREATE OR REPLACE FUNCTION rapport.messages(conversation_id bigint, page_size integer DEFAULT NULL,
	before_seq bigint DEFAULT NULL, after_seq bigint DEFAULT NULL, around_seq bigint DEFAULT NULL)
RETURNS TABLE (seq bigint, sender_id bigint, sent_at timestamp with time zone, state text, body text, attrs jsonb,
			   edited_at timestamp with time zone, expires_at timestamp with time zone, reactions jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	size integer := coalesce(messages.page_size, 20);
	it record;
	first_seq bigint;
	last_seq bigint;
BEGIN
	IF size NOT BETWEEN 1 AND 100 THEN
		PERFORM rapport.fail('out_of_range', 'page_size is 1 to 100.');
	ELSIF messages.before_seq < 1 THEN
		PERFORM rapport.fail('out_of_range', 'before_seq is 1 or more.');
	ELSIF messages.after_seq < 0 THEN
		PERFORM rapport.fail('out_of_range', 'after_seq is 0 or more.');
	ELSIF messages.around_seq NOT BETWEEN 1 AND 9007199254740992 THEN
		PERFORM rapport.fail('out_of_range', 'around_seq is 1 or more.');
	ELSIF messages.around_seq IS NOT NULL AND (messages.before_seq IS NOT NULL OR messages.after_seq IS NOT NULL) THEN
		PERFORM rapport.fail('invalid_value', 'around_seq goes with neither before_seq nor after_seq.');
	END IF;
	SELECT o.* INTO it FROM rapport.open_conversation(messages.conversation_id, me) AS o;
	IF NOT FOUND THEN
		PERFORM rapport.fail('not_found');
	END IF;
	first_seq := least(greatest(it.joined_seq, messages.after_seq), it.last_seq) + 1;
	last_seq := least(it.last_seq, messages.before_seq - 1);
	-- Numbers have no gaps, so a page is a range of them.
	IF messages.around_seq IS NOT NULL THEN
		first_seq := greatest(first_seq, least(messages.around_seq - size / 2, last_seq - size + 1));
		last_seq := least(last_seq, first_seq + size - 1);
	ELSIF messages.after_seq IS NOT NULL THEN
		last_seq := least(last_seq, first_seq + size - 1);
	ELSE
		first_seq := greatest(first_seq, last_seq - size + 1);
	END IF;
	RETURN QUERY
	SELECT m.*
	FROM rapport.shown_messages(me, messages.conversation_id, first_seq, last_seq, it.hidden, it.is_group, it.change_seq > 0) AS m;
END;
$$;
COMMENT ON FUNCTION rapport.messages(bigint, integer, bigint, bigint, bigint) IS
'Messages of a conversation one takes part in, oldest first, page_size (1 to 100, 20 if not given) of them: the newest; or those just before before_seq, to scroll back; or those just after after_seq, to catch up (seq is a resume point that misses nothing), with before_seq as an end if both are given; or those around around_seq. state is sent; system, with what happened as event in attrs; deleted; expired; or hidden, for what one has deleted for oneself: those three have no body. reactions has objects with reaction, count and mine. Errors: out_of_range, invalid_value, not_found for a conversation that is unknown, not one''s own, left or closed.';
GRANT EXECUTE ON FUNCTION rapport.messages(bigint, integer, bigint, bigint, bigint) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.changed_messages(conversation_id bigint, after_change bigint, page_size integer DEFAULT NULL)
RETURNS TABLE (change_seq bigint, seq bigint, sender_id bigint, sent_at timestamp with time zone, state text, body text, attrs jsonb,
			   edited_at timestamp with time zone, expires_at timestamp with time zone, reactions jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	size integer := coalesce(changed_messages.page_size, 20);
	it record;
BEGIN
	IF changed_messages.after_change IS NULL THEN
		PERFORM rapport.fail('missing_field', 'after_change is required.');
	ELSIF size NOT BETWEEN 1 AND 100 THEN
		PERFORM rapport.fail('out_of_range', 'page_size is 1 to 100.');
	ELSIF changed_messages.after_change < 0 THEN
		PERFORM rapport.fail('out_of_range', 'after_change is 0 or more.');
	END IF;
	SELECT o.* INTO it FROM rapport.open_conversation(changed_messages.conversation_id, me) AS o;
	IF NOT FOUND THEN
		PERFORM rapport.fail('not_found');
	END IF;
	RETURN QUERY
	SELECT c.change_seq, m.*
	FROM (SELECT x.change_seq, x.seq
		  FROM rapport.message_change AS x
		  WHERE x.conversation_id = changed_messages.conversation_id
		  AND x.change_seq > changed_messages.after_change
		  AND x.seq > it.joined_seq
		  ORDER BY x.change_seq
		  LIMIT size) AS c
	CROSS JOIN LATERAL rapport.shown_messages(me, changed_messages.conversation_id, c.seq, c.seq, it.hidden, it.is_group, true) AS m
	ORDER BY c.change_seq;
END;
$$;
COMMENT ON FUNCTION rapport.changed_messages(bigint, bigint, integer) IS
'The messages of a conversation that were edited, deleted or reacted to after the change after_change, as they are now, in the order of their last changes, page_size (1 to 100, 20 if not given) of them. Whoever goes on from the last change_seq until a page is empty has missed none. Errors: missing_field, out_of_range, not_found as for messages().';
GRANT EXECUTE ON FUNCTION rapport.changed_messages(bigint, bigint, integer) TO rapport_user;

-- Two people, or nobody: a group and somebody erased have no other.
CREATE OR REPLACE FUNCTION rapport.inbox(person_id bigint, page_size integer, after_at timestamp with time zone, after_id bigint, archived boolean)
RETURNS TABLE (conversation_id bigint, other_id bigint, is_group boolean, title text, last_seq bigint, last_at timestamp with time zone,
			   change_seq bigint, read_seq bigint, joined_seq bigint, hidden_seq bigint, muted_until timestamp with time zone,
			   other_delivered_seq bigint, other_read_seq bigint)
LANGUAGE sql STABLE ROWS 20
BEGIN ATOMIC
	SELECT m.conversation_id, m.other_id, m.is_group, c.title, s.last_seq, s.last_at, s.change_seq, m.read_seq, greatest(m.joined_seq, c.first_seq - 1), m.hidden_seq,
		m.muted_until, m.other_delivered_seq, m.other_read_seq
	FROM rapport.member AS m
	-- Of a direct conversation the row of a member has it all; with LIMIT the others are looked up one by one.
	LEFT JOIN LATERAL (SELECT x.title, x.first_seq, x.last_seq, x.last_at, x.change_seq
					   FROM rapport.conversation AS x
					   WHERE m.is_group AND x.conversation_id = m.conversation_id
					   LIMIT 1) AS c ON true
	CROSS JOIN LATERAL (SELECT coalesce(c.last_seq, m.last_seq) AS last_seq, coalesce(c.last_at, m.last_at) AS last_at,
							   coalesce(c.change_seq, m.change_seq) AS change_seq) AS s
	WHERE m.person_id = inbox.person_id
	AND NOT m.closed
	AND coalesce(m.archived_seq >= s.last_seq OR m.archived_seq IS NOT NULL AND m.muted_until > rapport.now(), false) = inbox.archived
	AND (inbox.after_at IS NULL OR (s.last_at, m.conversation_id) < (inbox.after_at, inbox.after_id))
	ORDER BY s.last_at DESC, m.conversation_id DESC
	LIMIT inbox.page_size;
END;
COMMENT ON FUNCTION rapport.inbox(bigint, integer, timestamp with time zone, bigint, boolean) IS
'The keys of page_size of somebody''s open conversations, the one with the newest message first, after the one of after_at and after_id unless those are NULL; without the names and texts that conversations() adds. A building block: whoever calls it has checked who may read them.';

CREATE OR REPLACE FUNCTION rapport.conversations(page_size integer DEFAULT NULL, after text DEFAULT NULL, archived boolean DEFAULT NULL)
RETURNS TABLE (conversation_id bigint, kind text, person_id bigint, display_name text, title text, last_seq bigint, change_seq bigint,
			   read_seq bigint, unread bigint, last_message text, last_at timestamp with time zone, muted_until timestamp with time zone,
			   other_delivered_seq bigint, other_read_seq bigint, cursor text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	size integer := coalesce(conversations.page_size, 20);
	after_at timestamp with time zone;
	after_id bigint;
	receipts boolean := rapport.shows_receipts(me);
BEGIN
	IF size NOT BETWEEN 1 AND 100 THEN
		PERFORM rapport.fail('out_of_range', 'page_size is 1 to 100.');
	END IF;
	-- Microseconds since 1970 and an id, both below 2^53.
	IF conversations.after !~ '^[0-9]{1,16}-[0-9]{1,16}$' THEN
		PERFORM rapport.fail('invalid_cursor');
	END IF;
	after_at := 'epoch'::timestamp with time zone + split_part(conversations.after, '-', 1)::bigint * interval '1 microsecond';
	after_id := split_part(conversations.after, '-', 2)::bigint;
	RETURN QUERY
	SELECT page.conversation_id, CASE WHEN page.is_group THEN 'group' ELSE 'direct' END, page.other_id, p.display_name, page.title,
		page.last_seq, page.change_seq, page.read_seq, page.last_seq - greatest(page.read_seq, page.joined_seq),
		left(l.body, 200), page.last_at, page.muted_until,
		CASE WHEN NOT page.is_group THEN page.other_delivered_seq END,
		CASE WHEN NOT page.is_group AND receipts THEN page.other_read_seq END,
		format('%s-%s', (extract(epoch FROM page.last_at) * 1000000)::bigint, page.conversation_id)
	FROM rapport.inbox(me, size, after_at, after_id, coalesce(conversations.archived, false)) AS page
	LEFT JOIN rapport.profile AS p ON p.person_id = page.other_id
	LEFT JOIN LATERAL rapport.shown_messages(me, page.conversation_id, page.last_seq, page.last_seq, ARRAY[page.hidden_seq],
											 page.is_group, false) AS l ON page.last_seq > page.joined_seq
	ORDER BY page.last_at DESC, page.conversation_id DESC;
END;
$$;
COMMENT ON FUNCTION rapport.conversations(integer, text, boolean) IS
'One''s open conversations, the one with the newest message first, page_size (1 to 100, 20 if not given) of them after the cursor; with archived those that one has put away, otherwise the others. kind is direct or group: person_id and display_name are the other person''s, title is the group''s. last_message is up to 200 characters of the last message, NULL while there is none and where it has no text to show; unread counts the messages after read_seq. other_delivered_seq and other_read_seq tell how far the other''s devices and the other have come; the latter is NULL for who does not show it either. One that gets a message between two pages moves to the front. Errors: out_of_range, invalid_cursor.';
GRANT EXECUTE ON FUNCTION rapport.conversations(integer, text, boolean) TO rapport_user;

-- Receipts

CREATE OR REPLACE FUNCTION rapport.shows_receipts(person_id bigint) RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
BEGIN
	RETURN coalesce((SELECT p.read_receipts FROM rapport.chat_preference AS p WHERE p.person_id = shows_receipts.person_id), true);
END;
$$;
COMMENT ON FUNCTION rapport.shows_receipts(bigint) IS 'Whether the person lets others see what they have read.';

CREATE OR REPLACE FUNCTION rapport.chat_preferences(OUT read_receipts boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	read_receipts := rapport.shows_receipts(rapport.acting_person());
END;
$$;
COMMENT ON FUNCTION rapport.chat_preferences() IS 'What I have chosen for all my conversations: read_receipts, whether others see what I have read, and I what they have.';
GRANT EXECUTE ON FUNCTION rapport.chat_preferences() TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.set_chat_preferences(read_receipts boolean) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
BEGIN
	IF set_chat_preferences.read_receipts IS NULL THEN
		PERFORM rapport.fail('missing_field', 'read_receipts is required.');
	END IF;
	INSERT INTO rapport.chat_preference AS p (person_id, read_receipts)
	VALUES (me, set_chat_preferences.read_receipts)
	ON CONFLICT ON CONSTRAINT chat_preference_pkey DO UPDATE SET read_receipts = excluded.read_receipts;
END;
$$;
COMMENT ON FUNCTION rapport.set_chat_preferences(boolean) IS
'Says whether others see what I read from now on; who does not show it does not see it of others either. In direct conversations what was shown stays, and what was not is not shown later; in groups it holds for all that I have read. Errors: missing_field.';
GRANT EXECUTE ON FUNCTION rapport.set_chat_preferences(boolean) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.mark(conversation_id bigint, seq bigint, is_read boolean) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	me bigint := rapport.acting_person();
	shown boolean := NOT is_read OR rapport.shows_receipts(me);
	it record;
	grown boolean;
BEGIN
	IF mark.seq IS NULL THEN
		PERFORM rapport.fail('missing_field', 'seq is required.');
	END IF;
	SELECT o.last_seq, o.is_group INTO it FROM rapport.open_conversation(mark.conversation_id, me) AS o;
	IF NOT FOUND THEN
		PERFORM rapport.fail('not_found');
	ELSIF mark.seq NOT BETWEEN 0 AND it.last_seq THEN
		PERFORM rapport.fail('out_of_range', pg_catalog.format('seq is 0 to %s, the last message.', it.last_seq));
	END IF;
	PERFORM rapport.hold_members(ARRAY[mark.conversation_id]);
	UPDATE rapport.member AS m
	SET read_seq = CASE WHEN is_read THEN greatest(m.read_seq, mark.seq) ELSE m.read_seq END,
		delivered_seq = greatest(m.delivered_seq, mark.seq)
	WHERE m.person_id = me
	AND m.conversation_id = mark.conversation_id
	AND (m.delivered_seq < mark.seq OR is_read AND m.read_seq < mark.seq);
	grown := FOUND;
	-- The copy goes by what it holds itself: a send marks as read without telling the other.
	UPDATE rapport.member AS m
	SET other_delivered_seq = greatest(m.other_delivered_seq, mark.seq),
		other_read_seq = CASE WHEN is_read AND shown THEN greatest(m.other_read_seq, mark.seq) ELSE m.other_read_seq END
	WHERE m.person_id = (SELECT p.person_id
						 FROM rapport.participant AS p
						 WHERE p.conversation_id = mark.conversation_id
						 AND p.person_id <> me
						 AND NOT it.is_group)
	AND m.conversation_id = mark.conversation_id
	AND (m.other_delivered_seq < mark.seq OR is_read AND shown AND m.other_read_seq < mark.seq);
	IF (grown OR FOUND) AND shown THEN
		PERFORM rapport.event_emit('c:' || mark.conversation_id, CASE WHEN is_read THEN 'read' ELSE 'delivered' END,
								   pg_catalog.jsonb_build_object('person_id', me, 'seq', mark.seq));
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.mark(bigint, bigint, boolean) IS 'mark_read() and mark_delivered().';

CREATE OR REPLACE FUNCTION rapport.mark_read(conversation_id bigint, seq bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	PERFORM rapport.mark(mark_read.conversation_id, mark_read.seq, true);
END;
$$;
COMMENT ON FUNCTION rapport.mark_read(bigint, bigint) IS
'Marks the messages of a conversation up to seq as read. The mark only grows: an older seq changes nothing. The others see it unless set_chat_preferences() says otherwise. Errors: missing_field, out_of_range beyond the last message or below 0, not_found for a conversation that is unknown, not one''s own, left or closed.';
GRANT EXECUTE ON FUNCTION rapport.mark_read(bigint, bigint) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.mark_delivered(conversation_id bigint, seq bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	PERFORM rapport.mark(mark_delivered.conversation_id, mark_delivered.seq, false);
END;
$$;
COMMENT ON FUNCTION rapport.mark_delivered(bigint, bigint) IS
'Says that the messages of a conversation up to seq have reached a device. The mark only grows: an older seq changes nothing. Errors: those of mark_read().';
GRANT EXECUTE ON FUNCTION rapport.mark_delivered(bigint, bigint) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.receipts(conversation_id bigint, page_size integer DEFAULT NULL, after text DEFAULT NULL)
RETURNS TABLE (person_id bigint, delivered_seq bigint, read_seq bigint, cursor text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	size integer := coalesce(receipts.page_size, 20);
	shown boolean := rapport.shows_receipts(me);
	silent bigint[];
BEGIN
	IF size NOT BETWEEN 1 AND 100 THEN
		PERFORM rapport.fail('out_of_range', 'page_size is 1 to 100.');
	ELSIF receipts.after !~ '^[0-9]{1,16}$' THEN
		PERFORM rapport.fail('invalid_cursor');
	ELSIF NOT EXISTS (SELECT FROM rapport.open_conversation(receipts.conversation_id, me) AS o) THEN
		PERFORM rapport.fail('not_found');
	END IF;
	silent := rapport.unheard(me);
	RETURN QUERY
	SELECT p.person_id, CASE WHEN m.is_group THEN m.delivered_seq ELSE mine.other_delivered_seq END,
		   CASE WHEN NOT shown THEN NULL
				WHEN NOT m.is_group THEN mine.other_read_seq
				WHEN rapport.shows_receipts(p.person_id) THEN m.read_seq END,
		   p.person_id::text
	FROM rapport.participant AS p
	JOIN rapport.member AS m ON m.person_id = p.person_id AND m.conversation_id = p.conversation_id
	JOIN rapport.member AS mine ON mine.person_id = me AND mine.conversation_id = p.conversation_id
	WHERE p.conversation_id = receipts.conversation_id
	AND p.person_id > coalesce(receipts.after::bigint, 0)
	AND p.person_id <> me
	AND p.left_seq IS NULL
	AND p.person_id <> ALL (silent)
	ORDER BY p.person_id
	LIMIT size;
END;
$$;
COMMENT ON FUNCTION rapport.receipts(bigint, integer, text) IS
'How far the others of a conversation have come: the last message that reached a device of theirs, and the last they have read: in a direct conversation as far as they showed it when they read, in a group NULL for who does not show it now, and NULL everywhere if I do not. page_size is 1 to 100 (20). Errors: out_of_range, invalid_cursor, not_found as for messages().';
GRANT EXECUTE ON FUNCTION rapport.receipts(bigint, integer, text) TO rapport_user;

-- One's own side

CREATE OR REPLACE FUNCTION rapport.mute_conversation(conversation_id bigint, until timestamp with time zone DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
BEGIN
	IF NOT EXISTS (SELECT FROM rapport.open_conversation(mute_conversation.conversation_id, me) AS o) THEN
		PERFORM rapport.fail('not_found');
	END IF;
	UPDATE rapport.member AS m
	SET muted_until = mute_conversation.until
	WHERE m.person_id = me
	AND m.conversation_id = mute_conversation.conversation_id
	AND m.muted_until IS DISTINCT FROM mute_conversation.until;
END;
$$;
COMMENT ON FUNCTION rapport.mute_conversation(bigint, timestamp with time zone) IS
'Asks for no notifications of a conversation until a time, infinity for ever; NULL asks for them again. Nobody else sees it. Errors: not_found as for messages().';
GRANT EXECUTE ON FUNCTION rapport.mute_conversation(bigint, timestamp with time zone) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.archive_conversation(conversation_id bigint, archived boolean) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	last bigint;
BEGIN
	IF archive_conversation.archived IS NULL THEN
		PERFORM rapport.fail('missing_field', 'archived is required.');
	END IF;
	SELECT o.last_seq INTO last FROM rapport.open_conversation(archive_conversation.conversation_id, me) AS o;
	IF NOT FOUND THEN
		PERFORM rapport.fail('not_found');
	END IF;
	UPDATE rapport.member AS m
	SET archived_seq = CASE WHEN archive_conversation.archived THEN last END
	WHERE m.person_id = me
	AND m.conversation_id = archive_conversation.conversation_id
	AND m.archived_seq IS DISTINCT FROM CASE WHEN archive_conversation.archived THEN last END;
END;
$$;
COMMENT ON FUNCTION rapport.archive_conversation(bigint, boolean) IS
'Puts a conversation away, or back: conversations() lists it apart until the next message, or for as long as it is muted. Nobody else sees it. Errors: missing_field, not_found as for messages().';
GRANT EXECUTE ON FUNCTION rapport.archive_conversation(bigint, boolean) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.clear_conversation(conversation_id bigint, seq bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	last bigint;
BEGIN
	IF clear_conversation.seq IS NULL THEN
		PERFORM rapport.fail('missing_field', 'seq is required.');
	END IF;
	-- Two rows are written that leaving and deleting write, too, in another order.
	last := (SELECT h.last_seq FROM rapport.hold_conversation(clear_conversation.conversation_id, me) AS h);
	IF clear_conversation.seq NOT BETWEEN 0 AND last THEN
		PERFORM rapport.fail('out_of_range', format('seq is 0 to %s, the last message.', last));
	END IF;
	UPDATE rapport.participant AS p
	SET joined_seq = clear_conversation.seq,
		hidden = nullif(ARRAY(SELECT h FROM unnest(p.hidden) AS h WHERE h > clear_conversation.seq ORDER BY h), '{}')
	WHERE p.conversation_id = clear_conversation.conversation_id
	AND p.person_id = me
	AND p.joined_seq < clear_conversation.seq;
	UPDATE rapport.member AS m
	SET joined_seq = clear_conversation.seq,
		read_seq = greatest(m.read_seq, clear_conversation.seq)
	WHERE m.person_id = me
	AND m.conversation_id = clear_conversation.conversation_id
	AND m.joined_seq < clear_conversation.seq;
END;
$$;
COMMENT ON FUNCTION rapport.clear_conversation(bigint, bigint) IS
'Empties my side of a conversation up to seq, for good: neither history nor search show me those messages again. Others keep theirs. Errors: missing_field, out_of_range beyond the last message or below 0, not_found as for messages().';
GRANT EXECUTE ON FUNCTION rapport.clear_conversation(bigint, bigint) TO rapport_user;
