-- chat: functions and built-in rows.

INSERT INTO rapport.error_code (code, status, title, hint) VALUES
	('message_empty', 422, 'the message is empty', 'Send a text with at least one character that is not white space.'),
	('message_too_long', 422, 'the message is too long', 'Split it into messages of at most 8192 bytes in UTF-8.'),
	('client_id_reused', 409, 'the client_id was used for another message', 'Use a new client_id for a new message.');

INSERT INTO rapport.setting_default (name, type, value, minimum, maximum, description) VALUES
	('message_dedupe_days', 'integer', '7', 1, 90, 'Days for which a message sent twice with one client_id is recognised.');

INSERT INTO rapport.dump_exception (rel, reason) VALUES
	('rapport.message_dedupe', 'retries are short-lived');

INSERT INTO rapport.distribution (tab, grp, col) VALUES
	('rapport.conversation', 'C', 'conversation_id'),
	('rapport.participant', 'C', 'conversation_id'),
	('rapport.message', 'C', 'conversation_id'),
	('rapport.message_dedupe', 'C', 'conversation_id'),
	('rapport.member', 'U', 'person_id');

INSERT INTO rapport.personal_data (tab, col, class, on_erase, reason) VALUES
	('rapport.conversation', 'conversation_id', 'none', 'keep', 'a number of its own'),
	('rapport.conversation', 'kind', 'none', 'keep', 'of the conversation'),
	('rapport.conversation', 'last_seq', 'none', 'keep', 'of the conversation'),
	('rapport.conversation', 'created_at', 'none', 'keep', 'of the conversation'),
	('rapport.conversation', 'closed_at', 'none', 'keep', 'of the conversation'),
	('rapport.participant', 'conversation_id', 'behaviour', 'delete', NULL),
	('rapport.participant', 'person_id', 'technical', 'delete', NULL),
	('rapport.participant', 'joined_seq', 'behaviour', 'delete', NULL),
	('rapport.participant', 'left_seq', 'behaviour', 'delete', NULL),
	('rapport.message', 'conversation_id', 'behaviour', 'keep', 'the numbers of a conversation have no gaps'),
	('rapport.message', 'seq', 'none', 'keep', 'the numbers of a conversation have no gaps'),
	('rapport.message', 'sender_id', 'technical', 'keep', 'the id of nobody once the person is erased'),
	('rapport.message', 'sent_at', 'behaviour', 'keep', 'the other side''s conversation keeps its order'),
	('rapport.message', 'client_id', 'technical', 'clear', NULL),
	('rapport.message', 'flags', 'none', 'keep', 'the kind of message'),
	('rapport.message', 'body', 'content', 'clear', NULL),
	('rapport.message', 'attrs', 'content', 'clear', NULL),
	('rapport.message_dedupe', 'conversation_id', 'behaviour', 'delete', NULL),
	('rapport.message_dedupe', 'sender_id', 'technical', 'delete', NULL),
	('rapport.message_dedupe', 'client_id', 'technical', 'delete', NULL),
	('rapport.message_dedupe', 'seq', 'behaviour', 'delete', NULL),
	('rapport.message_dedupe', 'body_hash', 'content', 'delete', NULL),
	('rapport.message_dedupe', 'at', 'behaviour', 'delete', NULL),
	('rapport.member', 'person_id', 'technical', 'delete', NULL),
	('rapport.member', 'conversation_id', 'behaviour', 'delete', NULL),
	('rapport.member', 'other_id', 'behaviour', 'delete', NULL),
	('rapport.member', 'read_seq', 'behaviour', 'delete', NULL),
	('rapport.member', 'last_seq', 'behaviour', 'delete', NULL),
	('rapport.member', 'last_at', 'behaviour', 'delete', NULL);
INSERT INTO rapport.personal_data (tab, col, class, on_erase, withheld) VALUES
	('rapport.member', 'closed', 'behaviour', 'delete', 'would tell who blocks');

INSERT INTO rapport.subject (tab, col, own, find, on_erase) VALUES
	('rapport.participant', 'person_id', true,
	 't.person_id = ANY ($1) AND t.conversation_id IN (SELECT m.conversation_id FROM rapport.member AS m WHERE m.person_id = ANY ($1))', NULL),
	('rapport.message', 'sender_id', true,
	 't.sender_id = ANY ($1) AND t.conversation_id IN (SELECT m.conversation_id FROM rapport.member AS m WHERE m.person_id = ANY ($1))', NULL),
	('rapport.message_dedupe', 'sender_id', true,
	 't.sender_id = ANY ($1) AND t.conversation_id IN (SELECT m.conversation_id FROM rapport.member AS m WHERE m.person_id = ANY ($1))', NULL),
	('rapport.member', 'other_id', false,
	 '(t.person_id, t.conversation_id) IN (SELECT m.other_id, m.conversation_id FROM rapport.member AS m WHERE m.person_id = ANY ($1))', 'clear');

INSERT INTO rapport.hook_event (event, ids, description) VALUES
	('message_sent', 'conversation_id, seq, sender_id', 'A message was stored; a retry fires nothing.');

-- Sending

CREATE OR REPLACE FUNCTION rapport.send_message(conversation_id bigint, client_id text, body text,
	OUT seq bigint, OUT sent_at timestamp with time zone, OUT duplicate boolean)
LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS 'MODULE_PATHNAME', 'chat_send_message';
COMMENT ON FUNCTION rapport.send_message(bigint, text, text) IS
'Sends a text of 1 to 8192 bytes, stored as it is, to a conversation one takes part in. client_id names the message: 1 to 64 visible ASCII characters, new for each one. The same call again within message_dedupe_days stores nothing and returns the first answer with duplicate = true. seq counts the messages of the conversation from 1 without gaps, in the order of commits; sending marks the conversation read up to it. Errors: missing_field, invalid_value (client_id), message_empty (nothing but white space), message_too_long, client_id_reused (409) when it came with another body, not_found for a conversation that is unknown, not one''s own, left, or closed by a block or an unmatch.';
GRANT EXECUTE ON FUNCTION rapport.send_message(bigint, text, text) TO rapport_user;

-- Reading

CREATE OR REPLACE FUNCTION rapport.open_conversation(conversation_id bigint, person_id bigint)
RETURNS TABLE (joined_seq bigint, last_seq bigint)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT p.joined_seq, c.last_seq
	FROM rapport.participant AS p
	JOIN rapport.conversation AS c ON c.conversation_id = p.conversation_id
	WHERE p.conversation_id = open_conversation.conversation_id
	AND p.person_id = open_conversation.person_id
	AND p.left_seq IS NULL
	AND c.closed_at IS NULL;
END;
COMMENT ON FUNCTION rapport.open_conversation(bigint, bigint) IS
'The row of an open conversation the person takes part in: messages after joined_seq are theirs to read. No row otherwise.';

CREATE OR REPLACE FUNCTION rapport.messages(conversation_id bigint, page_size integer DEFAULT NULL,
	before_seq bigint DEFAULT NULL, after_seq bigint DEFAULT NULL)
RETURNS TABLE (seq bigint, sender_id bigint, sent_at timestamp with time zone, body text, attrs jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	size integer := coalesce(messages.page_size, 20);
	first_seq bigint;
	last_seq bigint;
BEGIN
	IF size NOT BETWEEN 1 AND 100 THEN
		PERFORM rapport.fail('out_of_range', 'page_size is 1 to 100.');
	ELSIF messages.before_seq < 1 THEN
		PERFORM rapport.fail('out_of_range', 'before_seq is 1 or more.');
	ELSIF messages.after_seq < 0 THEN
		PERFORM rapport.fail('out_of_range', 'after_seq is 0 or more.');
	END IF;
	SELECT least(greatest(o.joined_seq, messages.after_seq), o.last_seq) + 1, least(o.last_seq, messages.before_seq - 1)
	INTO first_seq, last_seq
	FROM rapport.open_conversation(messages.conversation_id, me) AS o;
	IF NOT FOUND THEN
		PERFORM rapport.fail('not_found');
	END IF;
	-- Numbers have no gaps, so a page is a range of them.
	IF messages.after_seq IS NOT NULL THEN
		last_seq := least(last_seq, first_seq + size - 1);
	ELSE
		first_seq := greatest(first_seq, last_seq - size + 1);
	END IF;
	RETURN QUERY
	SELECT m.seq, m.sender_id, m.sent_at, m.body, m.attrs
	FROM rapport.message_range(messages.conversation_id, first_seq, last_seq) AS m;
END;
$$;
COMMENT ON FUNCTION rapport.messages(bigint, integer, bigint, bigint) IS
'Messages of a conversation one takes part in, oldest first, page_size (1 to 100, 20 if not given) of them: the newest; or those just before before_seq, to scroll back; or those just after after_seq, to catch up (seq is a resume point that misses nothing), with before_seq as an end if both are given. body is NULL where it was erased. Errors: out_of_range, not_found for a conversation that is unknown, not one''s own, left or closed.';
GRANT EXECUTE ON FUNCTION rapport.messages(bigint, integer, bigint, bigint) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.conversations(page_size integer DEFAULT NULL, after text DEFAULT NULL)
RETURNS TABLE (conversation_id bigint, kind text, person_id bigint, display_name text, last_seq bigint, read_seq bigint,
			   unread bigint, last_message text, last_at timestamp with time zone, cursor text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	size integer := coalesce(conversations.page_size, 20);
	after_at timestamp with time zone;
	after_id bigint;
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
	SELECT page.conversation_id, c.kind, page.other_id, p.display_name, page.last_seq, page.read_seq,
		page.last_seq - page.read_seq, left(l.body, 200), page.last_at,
		format('%s-%s', (extract(epoch FROM page.last_at) * 1000000)::bigint, page.conversation_id)
	FROM (SELECT m.conversation_id, m.other_id, m.last_seq, m.read_seq, m.last_at
		  FROM rapport.member AS m
		  WHERE m.person_id = me
		  AND NOT m.closed
		  AND (conversations.after IS NULL OR (m.last_at, m.conversation_id) < (after_at, after_id))
		  ORDER BY m.last_at DESC, m.conversation_id DESC
		  LIMIT size) AS page
	JOIN rapport.conversation AS c ON c.conversation_id = page.conversation_id
	LEFT JOIN rapport.profile AS p ON p.person_id = page.other_id
	LEFT JOIN rapport.message AS l ON l.conversation_id = page.conversation_id AND l.seq = page.last_seq
	ORDER BY page.last_at DESC, page.conversation_id DESC;
END;
$$;
COMMENT ON FUNCTION rapport.conversations(integer, text) IS
'One''s open conversations, the one with the newest message first, page_size (1 to 100, 20 if not given) of them after the cursor. person_id and display_name are the other person''s; last_message is up to 200 characters of the last message, NULL while there is none; unread counts the messages after read_seq. One that gets a message between two pages moves to the front. Errors: out_of_range, invalid_cursor.';
GRANT EXECUTE ON FUNCTION rapport.conversations(integer, text) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.mark_read(conversation_id bigint, seq bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	last bigint;
BEGIN
	IF mark_read.seq IS NULL THEN
		PERFORM rapport.fail('missing_field', 'seq is required.');
	END IF;
	SELECT o.last_seq INTO last FROM rapport.open_conversation(mark_read.conversation_id, me) AS o;
	IF NOT FOUND THEN
		PERFORM rapport.fail('not_found');
	ELSIF mark_read.seq NOT BETWEEN 0 AND last THEN
		PERFORM rapport.fail('out_of_range', format('seq is 0 to %s, the last message.', last));
	END IF;
	UPDATE rapport.member AS m
	SET read_seq = mark_read.seq
	WHERE m.person_id = me
	AND m.conversation_id = mark_read.conversation_id
	AND m.read_seq < mark_read.seq;
	IF FOUND THEN
		PERFORM rapport.event_emit('c:' || mark_read.conversation_id, 'read',
								   jsonb_build_object('person_id', me, 'seq', mark_read.seq));
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.mark_read(bigint, bigint) IS
'Marks the messages of a conversation up to seq as read. The mark only grows: an older seq changes nothing. Errors: missing_field, out_of_range beyond the last message or below 0, not_found for a conversation that is unknown, not one''s own, left or closed.';
GRANT EXECUTE ON FUNCTION rapport.mark_read(bigint, bigint) TO rapport_user;

-- What matching and blocks do to conversations

CREATE OR REPLACE FUNCTION rapport.close_conversations(conversation_ids bigint[], closed boolean) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	UPDATE rapport.conversation AS c
	SET closed_at = CASE WHEN close_conversations.closed THEN coalesce(c.closed_at, rapport.now()) END
	WHERE c.conversation_id = ANY (close_conversations.conversation_ids);
	UPDATE rapport.member AS m
	SET closed = close_conversations.closed
	FROM rapport.participant AS p
	WHERE p.conversation_id = ANY (close_conversations.conversation_ids)
	AND m.conversation_id = p.conversation_id
	AND m.person_id = p.person_id
	AND m.closed <> close_conversations.closed;
END;
$$;
COMMENT ON FUNCTION rapport.close_conversations(bigint[], boolean) IS
'Closes conversations, or opens them again: a send that waits for one of them sees it. The caller holds lock_two_people().';

CREATE OR REPLACE FUNCTION rapport.chat_matched(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	conversation bigint := rapport.new_id();
BEGIN
	INSERT INTO rapport.conversation (conversation_id, kind, created_at)
	VALUES (conversation, 'direct', rapport.now());
	INSERT INTO rapport.participant (conversation_id, person_id)
	VALUES (conversation, ids[1]), (conversation, ids[2]);
	INSERT INTO rapport.member (person_id, conversation_id, other_id, last_at)
	VALUES (ids[1], conversation, ids[2], rapport.now()), (ids[2], conversation, ids[1], rapport.now());
	PERFORM rapport.pair_set_conversation(ids[1], ids[2], ids[3]::smallint, conversation);
END;
$$;
COMMENT ON FUNCTION rapport.chat_matched(bigint[]) IS 'Hook of "matched": gives the pair a conversation.';

CREATE OR REPLACE FUNCTION rapport.chat_unmatched(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	PERFORM rapport.close_conversations(
		ARRAY(SELECT p.conversation_id
			  FROM rapport.pair AS p
			  WHERE p.lo = ids[1] AND p.hi = ids[2] AND p.mode = ids[3]), true);
END;
$$;
COMMENT ON FUNCTION rapport.chat_unmatched(bigint[]) IS 'Hook of "unmatched": closes the pair''s conversation.';

CREATE OR REPLACE FUNCTION rapport.chat_blocked(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	PERFORM rapport.close_conversations(
		ARRAY(SELECT p.conversation_id
			  FROM rapport.pair AS p
			  WHERE p.lo = least(ids[1], ids[2]) AND p.hi = greatest(ids[1], ids[2])), true);
END;
$$;
COMMENT ON FUNCTION rapport.chat_blocked(bigint[]) IS 'Hook of "person_blocked": closes the conversations of the two.';

CREATE OR REPLACE FUNCTION rapport.chat_unblocked(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	PERFORM rapport.close_conversations(
		ARRAY(SELECT p.conversation_id
			  FROM rapport.pair AS p
			  WHERE p.lo = least(ids[1], ids[2]) AND p.hi = greatest(ids[1], ids[2])
			  AND p.matched_at IS NOT NULL), false);
END;
$$;
COMMENT ON FUNCTION rapport.chat_unblocked(bigint[]) IS
'Hook of "person_unblocked": opens the conversations of the two again where they still match.';

CREATE OR REPLACE FUNCTION rapport.chat_erase(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	deserted bigint[] := ARRAY(SELECT m.conversation_id FROM rapport.member AS m WHERE m.person_id = ANY (ids));
BEGIN
	-- Two who are erased at once take their turns: the second finds nobody left.
	PERFORM FROM rapport.conversation AS c WHERE c.conversation_id = ANY (deserted) ORDER BY c.conversation_id FOR UPDATE;
	deserted := ARRAY(SELECT c FROM unnest(deserted) AS c
					  WHERE NOT EXISTS (SELECT FROM rapport.participant AS p
										WHERE p.conversation_id = c
										AND p.person_id <> ALL (ids)));
	DELETE FROM rapport.message AS m WHERE m.conversation_id = ANY (deserted);
	DELETE FROM rapport.message_dedupe AS d WHERE d.conversation_id = ANY (deserted);
	DELETE FROM rapport.participant AS p WHERE p.conversation_id = ANY (deserted);
	DELETE FROM rapport.conversation AS c WHERE c.conversation_id = ANY (deserted);
END;
$$;
COMMENT ON FUNCTION rapport.chat_erase(bigint[]) IS
'Hook of "person_erased": deletes the conversations in which nobody is left. In the others the messages keep their numbers, without what was said; the other side''s stay. The rows go as rapport.subject says.';

INSERT INTO rapport.hook (event, ord, call, builtin) VALUES
	('matched', 100, 'rapport.chat_matched(bigint[])', true),
	('unmatched', 100, 'rapport.chat_unmatched(bigint[])', true),
	('person_blocked', 100, 'rapport.chat_blocked(bigint[])', true),
	('person_unblocked', 100, 'rapport.chat_unblocked(bigint[])', true),
	('person_erased', 200, 'rapport.chat_erase(bigint[])', true);

-- Maintenance

CREATE OR REPLACE FUNCTION rapport.chat_sweep(batch integer DEFAULT 10000) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	gone bigint;
BEGIN
	DELETE FROM rapport.message_dedupe AS d
	WHERE d.ctid = ANY (ARRAY(
		SELECT old.ctid
		FROM rapport.message_dedupe AS old
		WHERE old.at < rapport.now() - make_interval(days => rapport.setting_int('message_dedupe_days'))
		LIMIT chat_sweep.batch
		FOR UPDATE SKIP LOCKED));
	GET DIAGNOSTICS gone = ROW_COUNT;
	RETURN gone;
END;
$$;
COMMENT ON FUNCTION rapport.chat_sweep(integer) IS
'Forgets up to batch message names older than the setting message_dedupe_days; the number forgotten. For a maintenance job: call it until it returns 0.';
GRANT EXECUTE ON FUNCTION rapport.chat_sweep(integer) TO rapport_service;
