-- chat: functions and built-in rows.

INSERT INTO rapport.error_code (code, status, title, hint) VALUES
	('message_empty', 422, 'the message is empty', 'Send a text with at least one character that is not white space, or attachments or a location.'),
	('message_too_long', 422, 'the message is too long', 'Split it into messages of at most 8192 bytes in UTF-8.'),
	('client_id_reused', 409, 'the client_id was used for another message', 'Use a new client_id for a new message.'),
	('too_many_messages', 429, 'too many messages in a minute', 'Try again in a minute.'),
	('not_editable', 422, 'the message cannot be edited any more', NULL),
	('group_role', 403, 'this takes another role in the group', 'The owner and the admins of a group may do this, or the owner alone.'),
	('group_full', 422, 'there is no room for more', NULL),
	('intro_open', 409, 'there is an intro between the two', 'Accept theirs, or wait for an answer to yours.'),
	('already_talking', 409, 'the two have a conversation', NULL);

INSERT INTO rapport.setting_default (name, type, value, minimum, maximum, description) VALUES
	('message_dedupe_days', 'integer', '7', 1, 90, 'Days for which a message sent twice with one client_id is recognised.'),
	('messages_per_minute', 'integer', '120', 0, 1000000, 'How many messages a person may send a minute to one conversation; up to 20 are always allowed. 0: no limit.'),
	('message_edit_minutes', 'integer', '60', 0, 525600, 'For how many minutes a message may be edited. 0: for ever.'),
	('message_retention_days', 'integer', '0', 0, 36500, 'Days after which retain_messages() removes messages. 0: never.'),
	('group_members', 'integer', '10000', 2, 10000, 'How many people a group may have.'),
	('groups_per_person', 'integer', '500', 1, 10000, 'How many groups a person may be in.'),
	('intros_per_day', 'integer', '5', 0, 10000, 'How many intros a person may write a day (UTC), to people they have not matched with. 0: none.'),
	('search_language', 'text', 'simple', NULL, NULL, 'The text search configuration of pg_catalog that search_messages() reads messages with, such as english.'),
	('search_messages_most', 'integer', '5000', 100, 1000000, 'How many messages one call of search_messages() looks at.');

INSERT INTO rapport.dump_exception (rel, reason) VALUES
	('rapport.message_dedupe', 'retries are short-lived');

INSERT INTO rapport.distribution (tab, grp, col) VALUES
	('rapport.conversation', 'C', 'conversation_id'),
	('rapport.participant', 'C', 'conversation_id'),
	('rapport.message', 'C', 'conversation_id'),
	('rapport.message_dedupe', 'C', 'conversation_id'),
	('rapport.message_change', 'C', 'conversation_id'),
	('rapport.message_reaction', 'C', 'conversation_id'),
	('rapport.message_timer', 'C', 'conversation_id'),
	('rapport.member', 'U', 'person_id'),
	('rapport.chat_preference', 'U', 'person_id'),
	('rapport.group_invitation', 'U', 'person_id'),
	('rapport.intro', 'U', 'person_id'),
	('rapport.intro_sent', 'U', 'person_id'),
	('rapport.stale_list', 'U', 'person_id');

INSERT INTO rapport.personal_data (tab, col, class, on_erase, reason) VALUES
	('rapport.conversation', 'conversation_id', 'none', 'keep', 'a number of its own'),
	('rapport.conversation', 'kind', 'none', 'keep', 'of the conversation'),
	('rapport.conversation', 'last_seq', 'none', 'keep', 'of the conversation'),
	('rapport.conversation', 'created_at', 'none', 'keep', 'of the conversation'),
	('rapport.conversation', 'closed_at', 'none', 'keep', 'of the conversation'),
	('rapport.conversation', 'change_seq', 'none', 'keep', 'of the conversation'),
	('rapport.conversation', 'last_at', 'none', 'keep', 'of the conversation'),
	('rapport.conversation', 'expire_minutes', 'none', 'keep', 'of the conversation'),
	('rapport.conversation', 'first_seq', 'none', 'keep', 'of the conversation'),
	('rapport.conversation', 'title', 'none', 'keep', 'of the group, whoever gave it'),
	('rapport.participant', 'conversation_id', 'behaviour', 'delete', NULL),
	('rapport.participant', 'person_id', 'technical', 'delete', NULL),
	('rapport.participant', 'joined_seq', 'behaviour', 'delete', NULL),
	('rapport.participant', 'left_seq', 'behaviour', 'delete', NULL),
	('rapport.participant', 'role', 'behaviour', 'delete', NULL),
	('rapport.participant', 'hidden', 'behaviour', 'delete', NULL),
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
	('rapport.member', 'last_at', 'behaviour', 'delete', NULL),
	('rapport.member', 'is_group', 'behaviour', 'delete', NULL),
	('rapport.member', 'joined_seq', 'behaviour', 'delete', NULL),
	('rapport.member', 'delivered_seq', 'behaviour', 'delete', NULL),
	('rapport.member', 'change_seq', 'behaviour', 'delete', NULL),
	('rapport.member', 'hidden_seq', 'behaviour', 'delete', NULL),
	('rapport.member', 'archived_seq', 'behaviour', 'delete', NULL),
	('rapport.member', 'muted_until', 'behaviour', 'delete', NULL),
	('rapport.member', 'burst_at', 'behaviour', 'delete', NULL),
	('rapport.member', 'burst', 'behaviour', 'delete', NULL),
	('rapport.message_change', 'conversation_id', 'none', 'keep', 'that a message has changed'),
	('rapport.message_change', 'seq', 'none', 'keep', 'that a message has changed'),
	('rapport.message_change', 'change_seq', 'none', 'keep', 'that a message has changed'),
	('rapport.message_change', 'edited_at', 'none', 'keep', 'that a message has changed'),
	('rapport.message_reaction', 'conversation_id', 'behaviour', 'delete', NULL),
	('rapport.message_reaction', 'seq', 'behaviour', 'delete', NULL),
	('rapport.message_reaction', 'person_id', 'technical', 'delete', NULL),
	('rapport.message_reaction', 'reaction', 'content', 'delete', NULL),
	('rapport.message_timer', 'conversation_id', 'none', 'keep', 'of the conversation'),
	('rapport.message_timer', 'from_seq', 'none', 'keep', 'of the conversation'),
	('rapport.chat_preference', 'person_id', 'technical', 'delete', NULL),
	('rapport.chat_preference', 'read_receipts', 'behaviour', 'delete', NULL),
	('rapport.group_invitation', 'person_id', 'technical', 'delete', NULL),
	('rapport.group_invitation', 'conversation_id', 'behaviour', 'delete', NULL),
	('rapport.group_invitation', 'invited_by', 'behaviour', 'delete', NULL),
	('rapport.group_invitation', 'at', 'behaviour', 'delete', NULL),
	('rapport.intro', 'person_id', 'technical', 'delete', NULL),
	('rapport.intro', 'other_id', 'behaviour', 'delete', NULL),
	('rapport.intro', 'at', 'behaviour', 'delete', NULL),
	('rapport.intro', 'mode', 'behaviour', 'delete', NULL),
	('rapport.intro', 'body', 'content', 'delete', NULL),
	('rapport.intro_sent', 'person_id', 'technical', 'delete', NULL),
	('rapport.intro_sent', 'other_id', 'behaviour', 'delete', NULL),
	('rapport.intro_sent', 'at', 'behaviour', 'delete', NULL),
	('rapport.stale_list', 'person_id', 'technical', 'delete', NULL),
	('rapport.stale_list', 'list', 'behaviour', 'delete', NULL),
	('rapport.stale_list', 'times', 'behaviour', 'delete', NULL);
INSERT INTO rapport.personal_data (tab, col, class, on_erase, withheld) VALUES
	('rapport.member', 'closed', 'behaviour', 'delete', 'would tell who blocks'),
	('rapport.member', 'other_delivered_seq', 'behaviour', 'delete', 'is the other person''s'),
	('rapport.member', 'other_read_seq', 'behaviour', 'delete', 'is the other person''s'),
	('rapport.intro', 'declined', 'behaviour', 'delete', 'would tell who wrote that it was declined');

INSERT INTO rapport.subject (tab, col, own, find, on_erase) VALUES
	('rapport.participant', 'person_id', true,
	 't.person_id = ANY ($1) AND t.conversation_id IN (SELECT m.conversation_id FROM rapport.member AS m WHERE m.person_id = ANY ($1))', NULL),
	-- A message of the system tells who came and went; a title is somebody's words.
	('rapport.message', 'sender_id', true,
	 't.sender_id = ANY ($1) AND (t.flags & 1 = 0 OR t.attrs #>> ''{event,type}'' = ''title'') AND t.conversation_id IN (SELECT m.conversation_id FROM rapport.member AS m WHERE m.person_id = ANY ($1))', NULL),
	('rapport.message_dedupe', 'sender_id', true,
	 't.sender_id = ANY ($1) AND t.conversation_id IN (SELECT m.conversation_id FROM rapport.member AS m WHERE m.person_id = ANY ($1))', NULL),
	('rapport.message_reaction', 'person_id', true,
	 't.person_id = ANY ($1) AND t.conversation_id IN (SELECT m.conversation_id FROM rapport.member AS m WHERE m.person_id = ANY ($1))', NULL),
	('rapport.group_invitation', 'invited_by', false, NULL, 'delete'),
	('rapport.intro', 'other_id', true,
	 '(t.person_id, t.other_id) IN (SELECT s.other_id, s.person_id FROM rapport.intro_sent AS s WHERE s.person_id = ANY ($1))', NULL),
	('rapport.intro_sent', 'other_id', false,
	 '(t.person_id, t.other_id) IN (SELECT i.other_id, i.person_id FROM rapport.intro AS i WHERE i.person_id = ANY ($1))', 'delete'),
	('rapport.member', 'other_id', false,
	 '(t.person_id, t.conversation_id) IN (SELECT m.other_id, m.conversation_id FROM rapport.member AS m WHERE m.person_id = ANY ($1))', 'clear');

UPDATE rapport.subject
SET source = 'SELECT m.* FROM rapport.member AS x CROSS JOIN LATERAL rapport.message_range(x.conversation_id, 1, 9223372036854775807) AS m WHERE x.person_id = ANY ($1) AND NOT (m.flags >= 256 AND m.sent_at + pg_catalog.make_interval(mins => m.flags / 256) <= rapport.now())'
WHERE tab = 'rapport.message'::regclass;

INSERT INTO rapport.hook_event (event, ids, description) VALUES
	('message_sent', 'conversation_id, seq, sender_id', 'A message was stored; a retry fires nothing.');

-- Sending

-- Not SECURITY DEFINER, with its settings: that costs every send a tenth. It reads
-- and writes rows by key, which takes no rights, and switches itself for all else.
CREATE OR REPLACE FUNCTION rapport.send_message(conversation_id bigint, client_id text, body text, attrs jsonb DEFAULT NULL,
	OUT seq bigint, OUT sent_at timestamp with time zone, OUT duplicate boolean)
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chat_send';
COMMENT ON FUNCTION rapport.send_message(bigint, text, text, jsonb) IS
'Sends a text of 1 to 8192 bytes, stored as it is, to a conversation one takes part in. client_id names the message: 1 to 64 visible ASCII characters, new for each one. The same call again within message_dedupe_days stores nothing and returns the first answer with duplicate = true. seq counts the messages of the conversation from 1 without gaps, in the order of commits; sending marks the conversation read up to it. attrs, at most 4096 bytes, holds what the message has besides: reply_to (a seq), mentions (up to 50 ids of people who take part), attachments (1 to 10 objects with a ref, such as the key of a file), location (latitude and longitude, of which the grid cell is kept), app (an object of the app''s own); with attachments or a location the text may be empty. Errors: missing_field, invalid_value (client_id), message_empty (nothing but white space), message_too_long, wrong_type, unknown_field and out_of_range (attrs), client_id_reused (409) when it came with another message, too_many_messages (429, messages_per_minute), not_found for a conversation that is unknown, not one''s own, left, or closed by a block or an unmatch.';
GRANT EXECUTE ON FUNCTION rapport.send_message(bigint, text, text, jsonb) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.send_messages(conversation_id bigint, messages jsonb)
RETURNS TABLE (seq bigint, sent_at timestamp with time zone, duplicate boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	message jsonb;
BEGIN
	PERFORM rapport.acting_person();
	IF send_messages.messages IS NULL THEN
		PERFORM rapport.fail('missing_field', 'messages is required.');
	ELSIF jsonb_typeof(send_messages.messages) <> 'array' THEN
		PERFORM rapport.fail('wrong_type', 'messages is an array of objects.');
	ELSIF jsonb_array_length(send_messages.messages) NOT BETWEEN 1 AND 100 THEN
		PERFORM rapport.fail('out_of_range', 'messages has 1 to 100 of them.');
	END IF;
	FOR message IN SELECT e FROM jsonb_array_elements(send_messages.messages) WITH ORDINALITY AS x (e, n) ORDER BY n LOOP
		IF jsonb_typeof(message) <> 'object'
			OR jsonb_typeof(message -> 'client_id') <> 'string' OR jsonb_typeof(message -> 'body') <> 'string' THEN
			PERFORM rapport.fail('wrong_type', 'A message is an object with the strings client_id and body.');
		ELSIF message - ARRAY['client_id', 'body', 'attrs'] <> '{}' THEN
			PERFORM rapport.fail('unknown_field', 'A message has client_id, body and attrs.');
		END IF;
		RETURN QUERY
		SELECT s.seq, s.sent_at, s.duplicate
		FROM rapport.send_message(send_messages.conversation_id, message ->> 'client_id', message ->> 'body',
								  nullif(message -> 'attrs', 'null')) AS s;
	END LOOP;
END;
$$;
COMMENT ON FUNCTION rapport.send_messages(bigint, jsonb) IS
'Sends 1 to 100 messages, objects with client_id, body and, if wanted, attrs, as send_message() does: all of them or, if one is refused, none. Errors: those of send_message(), missing_field, wrong_type, unknown_field, out_of_range.';
GRANT EXECUTE ON FUNCTION rapport.send_messages(bigint, jsonb) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.message_attrs(attrs jsonb, blank boolean) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	clean jsonb;
	cell bigint;
BEGIN
	IF pg_catalog.jsonb_typeof(attrs) <> 'object' THEN
		PERFORM rapport.fail('wrong_type', 'attrs is an object.');
	ELSIF pg_catalog.octet_length(attrs::text) > 4096 THEN
		PERFORM rapport.fail('out_of_range', 'attrs has at most 4096 bytes.');
	END IF;
	-- What is the app's own stays as it is.
	clean := pg_catalog.jsonb_strip_nulls(attrs - 'app')
		|| CASE WHEN pg_catalog.jsonb_typeof(attrs -> 'app') <> 'null' THEN pg_catalog.jsonb_build_object('app', attrs -> 'app') ELSE '{}' END;
	IF clean - ARRAY['reply_to', 'mentions', 'attachments', 'location', 'app'] <> '{}' THEN
		PERFORM rapport.fail('unknown_field', 'attrs has reply_to, mentions, attachments, location and app.');
	END IF;
	IF clean ? 'reply_to' AND clean ->> 'reply_to' !~ '^[1-9][0-9]{0,15}$' OR pg_catalog.jsonb_typeof(clean -> 'reply_to') <> 'number' THEN
		PERFORM rapport.fail('wrong_type', 'reply_to is the seq of a message.');
	END IF;
	IF clean ? 'mentions' THEN
		IF pg_catalog.jsonb_typeof(clean -> 'mentions') <> 'array' THEN
			PERFORM rapport.fail('wrong_type', 'mentions is an array of ids.');
		ELSIF pg_catalog.jsonb_array_length(clean -> 'mentions') > 50 THEN
			PERFORM rapport.fail('out_of_range', 'mentions has at most 50 ids.');
		ELSIF EXISTS (SELECT FROM pg_catalog.jsonb_array_elements(clean -> 'mentions') AS e
					  WHERE pg_catalog.jsonb_typeof(e) <> 'number' OR e::text !~ '^[1-9][0-9]{0,15}$') THEN
			PERFORM rapport.fail('wrong_type', 'mentions is an array of ids.');
		END IF;
	END IF;
	IF clean ? 'attachments' THEN
		IF pg_catalog.jsonb_typeof(clean -> 'attachments') <> 'array' THEN
			PERFORM rapport.fail('wrong_type', 'attachments is an array of objects.');
		ELSIF pg_catalog.jsonb_array_length(clean -> 'attachments') NOT BETWEEN 1 AND 10 THEN
			PERFORM rapport.fail('out_of_range', 'attachments has 1 to 10 objects.');
		ELSIF EXISTS (SELECT FROM pg_catalog.jsonb_array_elements(clean -> 'attachments') AS e
					  WHERE pg_catalog.jsonb_typeof(e) <> 'object'
					  OR coalesce(pg_catalog.jsonb_typeof(e -> 'ref'), '') <> 'string'
					  OR e ->> 'ref' = '') THEN
			PERFORM rapport.fail('wrong_type', 'An attachment is an object with the string ref.');
		END IF;
	END IF;
	IF clean ? 'location' THEN
		IF pg_catalog.jsonb_typeof(clean -> 'location') <> 'object'
			OR coalesce(pg_catalog.jsonb_typeof(clean #> '{location,latitude}'), '') <> 'number'
			OR coalesce(pg_catalog.jsonb_typeof(clean #> '{location,longitude}'), '') <> 'number'
			OR (clean -> 'location') - ARRAY['latitude', 'longitude'] <> '{}' THEN
			PERFORM rapport.fail('wrong_type', 'location is an object with the numbers latitude and longitude.');
		END IF;
		IF (clean #>> '{location,latitude}')::numeric NOT BETWEEN -90 AND 90
			OR (clean #>> '{location,longitude}')::numeric NOT BETWEEN -180 AND 180 THEN
			PERFORM rapport.fail('out_of_range', 'The latitude lies between -90 and 90 degrees, the longitude between -180 and 180.');
		END IF;
		-- As places are: nobody is to be found by what they send, nor by its hash.
		SELECT s.shown INTO cell
		FROM rapport.shown_cell(rapport.grid_cell(pg_catalog.round((clean #>> '{location,latitude}')::numeric, 9)::double precision,
												  pg_catalog.round((clean #>> '{location,longitude}')::numeric, 9)::double precision,
												  rapport.setting_int('grid_metres'), 0, NULL), rapport.doublings()) AS s;
		clean := clean || pg_catalog.jsonb_build_object('location', pg_catalog.jsonb_build_object(
			'latitude', pg_catalog.round(rapport.cell_latitude(cell)::numeric, 5),
			'longitude', pg_catalog.round(rapport.cell_longitude(cell)::numeric, 5)));
	END IF;
	IF clean ? 'app' AND pg_catalog.jsonb_typeof(clean -> 'app') <> 'object' THEN
		PERFORM rapport.fail('wrong_type', 'app is an object.');
	END IF;
	IF blank AND NOT clean ?| ARRAY['attachments', 'location'] THEN
		PERFORM rapport.fail('message_empty');
	END IF;
	RETURN nullif(clean, '{}');
END;
$$;
COMMENT ON FUNCTION rapport.message_attrs(jsonb, boolean) IS
'The attributes of a message as they are stored, NULL for none; blank tells whether the text is. Errors: wrong_type, unknown_field, out_of_range, message_empty.';

CREATE OR REPLACE FUNCTION rapport.message_attrs_fit(conversation_id bigint, sender_id bigint, seq bigint, attrs jsonb) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
	IF (attrs ->> 'reply_to')::bigint >= message_attrs_fit.seq
		OR (attrs ->> 'reply_to')::bigint <= (SELECT p.joined_seq
											  FROM rapport.participant AS p
											  WHERE p.conversation_id = message_attrs_fit.conversation_id
											  AND p.person_id = message_attrs_fit.sender_id) THEN
		PERFORM rapport.fail('out_of_range', 'reply_to is an earlier message of the conversation.');
	END IF;
	IF EXISTS (SELECT FROM pg_catalog.jsonb_array_elements_text(attrs -> 'mentions') AS e
			   WHERE NOT EXISTS (SELECT FROM rapport.participant AS p
								 WHERE p.conversation_id = message_attrs_fit.conversation_id
								 AND p.person_id = e::bigint
								 AND p.left_seq IS NULL)) THEN
		PERFORM rapport.fail('out_of_range', 'mentions are ids of people who take part.');
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.message_attrs_fit(bigint, bigint, bigint, jsonb) IS
'Checks what attributes say of the conversation that the message goes to. Errors: out_of_range.';

CREATE OR REPLACE FUNCTION rapport.check_body(body text, alone boolean) RETURNS void
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'chat_check_body';
COMMENT ON FUNCTION rapport.check_body(text, boolean) IS
'Fails where send_message() would refuse a text: alone tells that the message has nothing else. Errors: message_empty, message_too_long.';

CREATE OR REPLACE FUNCTION rapport.hold_members(conversation_ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	PERFORM FROM rapport.conversation AS c
	JOIN rapport.participant AS p ON p.conversation_id = c.conversation_id
	JOIN rapport.member AS m ON m.person_id = p.person_id AND m.conversation_id = p.conversation_id
	WHERE c.conversation_id = ANY (conversation_ids)
	AND c.kind = 'direct'
	ORDER BY m.conversation_id, m.person_id
	FOR NO KEY UPDATE OF m;
END;
$$;
COMMENT ON FUNCTION rapport.hold_members(bigint[]) IS
'Locks both sides of direct conversations in the order of ids, as a send does. Whoever writes to both calls it before, or two may wait for each other.';

CREATE OR REPLACE FUNCTION rapport.count_burst(conversation_id bigint, person_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	most integer := rapport.setting_int('messages_per_minute');
	n integer;
BEGIN
	PERFORM rapport.hold_members(ARRAY[count_burst.conversation_id]);
	UPDATE rapport.member AS m
	SET burst = CASE WHEN m.burst_at > rapport.now() - interval '1 minute' THEN m.burst + 1 ELSE 1 END,
		burst_at = CASE WHEN m.burst_at > rapport.now() - interval '1 minute' THEN m.burst_at ELSE rapport.now() END
	WHERE m.person_id = count_burst.person_id
	AND m.conversation_id = count_burst.conversation_id
	RETURNING m.burst INTO n;
	-- As send_message(): 20 are always allowed.
	IF most > 0 AND n > greatest(most, 20) THEN
		PERFORM rapport.fail('too_many_messages', pg_catalog.format('One may send and change %s messages a minute in a conversation.', greatest(most, 20)));
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.count_burst(bigint, bigint) IS
'Counts what a person does in a conversation besides sending, together with the messages that send_message() counts. Errors: too_many_messages.';

CREATE OR REPLACE FUNCTION rapport.post_event(conversation_id bigint, person_id bigint, event jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	number bigint;
	grouped boolean;
BEGIN
	UPDATE rapport.conversation AS c
	SET last_seq = c.last_seq + 1,
		last_at = CASE c.kind WHEN 'group' THEN greatest(c.last_at, rapport.now()) END
	WHERE c.conversation_id = post_event.conversation_id
	RETURNING c.last_seq, c.kind = 'group' INTO number, grouped;
	INSERT INTO rapport.message (conversation_id, seq, sender_id, sent_at, flags, attrs)
	VALUES (post_event.conversation_id, number, post_event.person_id, rapport.now(), 1, pg_catalog.jsonb_build_object('event', event));
	PERFORM rapport.hold_members(ARRAY[post_event.conversation_id]);
	UPDATE rapport.member AS m
	SET last_seq = CASE WHEN grouped THEN m.last_seq ELSE number END,
		last_at = CASE WHEN grouped THEN m.last_at ELSE greatest(m.last_at, rapport.now()) END,
		read_seq = CASE m.person_id WHEN post_event.person_id THEN number ELSE m.read_seq END
	WHERE m.conversation_id = post_event.conversation_id
	AND m.person_id = ANY (CASE WHEN grouped THEN ARRAY[post_event.person_id]
						   ELSE ARRAY(SELECT p.person_id FROM rapport.participant AS p
									  WHERE p.conversation_id = post_event.conversation_id) END);
	PERFORM rapport.event_emit('c:' || post_event.conversation_id, 'message',
							   pg_catalog.jsonb_build_object('seq', number, 'sender_id', post_event.person_id));
	RETURN number;
END;
$$;
COMMENT ON FUNCTION rapport.post_event(bigint, bigint, jsonb) IS
'Puts a message of the system into a conversation: what the person did. The caller holds the lock of the conversation''s row, and has checked rights.';

CREATE OR REPLACE FUNCTION rapport.note_stale(list text, person_ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	INSERT INTO rapport.stale_list AS s (person_id, list)
	SELECT DISTINCT p, note_stale.list
	FROM pg_catalog.unnest(note_stale.person_ids) AS p
	ORDER BY p
	ON CONFLICT ON CONSTRAINT stale_list_pkey DO UPDATE SET times = s.times + 1;
END;
$$;
COMMENT ON FUNCTION rapport.note_stale(text, bigint[]) IS
'sync() tells these people to read a list of theirs anew: something has gone from it, or is back. The caller holds them, or has a row of theirs, so whoever is erased meanwhile waits, and takes this one along. Several lists are noted in the order of their names.';

CREATE OR REPLACE FUNCTION rapport.withdraw(invitations rapport.group_invitation[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	DELETE FROM rapport.group_invitation AS i
	WHERE (i.person_id, i.conversation_id) IN (SELECT x.person_id, x.conversation_id FROM pg_catalog.unnest(invitations) AS x);
	PERFORM rapport.note_stale('group_invitations', ARRAY(SELECT x.person_id FROM pg_catalog.unnest(invitations) AS x));
END;
$$;
COMMENT ON FUNCTION rapport.withdraw(rapport.group_invitation[]) IS
'Takes invitations away, accepted or not, and lets the devices of whom they were for know. The caller has locked them in the order of their key, after what it locks of members.';

-- What matching and blocks do to conversations

CREATE OR REPLACE FUNCTION rapport.close_conversations(conversation_ids bigint[], closed boolean) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	PERFORM FROM rapport.conversation AS c
	WHERE c.conversation_id = ANY (close_conversations.conversation_ids)
	ORDER BY c.conversation_id
	FOR NO KEY UPDATE;
	PERFORM rapport.hold_members(close_conversations.conversation_ids);
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
	writer bigint;
	intro text;
BEGIN
	INSERT INTO rapport.conversation (conversation_id, kind, created_at)
	VALUES (conversation, 'direct', rapport.now());
	INSERT INTO rapport.participant (conversation_id, person_id)
	VALUES (conversation, ids[1]), (conversation, ids[2]);
	INSERT INTO rapport.member (person_id, conversation_id, other_id, last_at)
	VALUES (ids[1], conversation, ids[2], rapport.now()), (ids[2], conversation, ids[1], rapport.now());
	PERFORM rapport.pair_set_conversation(ids[1], ids[2], ids[3]::smallint, conversation);
	DELETE FROM rapport.intro AS i
	WHERE (i.person_id, i.other_id) IN ((ids[1], ids[2]), (ids[2], ids[1]))
	RETURNING i.other_id, i.body INTO writer, intro;
	IF FOUND THEN
		DELETE FROM rapport.intro_sent AS s WHERE (s.person_id, s.other_id) IN ((ids[1], ids[2]), (ids[2], ids[1]));
		UPDATE rapport.conversation AS c SET last_seq = 1 WHERE c.conversation_id = conversation;
		INSERT INTO rapport.message (conversation_id, seq, sender_id, sent_at, body)
		VALUES (conversation, 1, writer, rapport.now(), intro);
		UPDATE rapport.member AS m
		SET last_seq = 1,
			read_seq = (m.person_id = writer)::integer
		WHERE m.conversation_id = conversation
		AND m.person_id IN (ids[1], ids[2]);
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.chat_matched(bigint[]) IS
'Hook of "matched": gives the pair a conversation; an intro between them is its first message.';

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
COMMENT ON FUNCTION rapport.chat_blocked(bigint[]) IS
'Hook of "person_blocked": closes the conversations of the two. In groups both stay, unheard by each other.';

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
	theirs bigint[] := ARRAY(SELECT m.conversation_id FROM rapport.member AS m WHERE m.person_id = ANY (ids));
	deserted bigint[];
	-- What is left of a conversation does not say whose it was: not whose intro it began with.
	talked bigint[] := ARRAY(SELECT m.other_id FROM rapport.member AS m WHERE m.person_id = ANY (ids) AND m.other_id <> ALL (ids));
BEGIN
	-- Two who are erased at once take their turns: the second finds nobody left.
	PERFORM FROM rapport.conversation AS c WHERE c.conversation_id = ANY (theirs) ORDER BY c.conversation_id FOR UPDATE;
	deserted := ARRAY(SELECT DISTINCT c FROM unnest(theirs) AS c
					  WHERE NOT EXISTS (SELECT FROM rapport.participant AS p
										WHERE p.conversation_id = c
										AND p.left_seq IS NULL
										AND p.person_id <> ALL (ids)));
	PERFORM rapport.hold_members(theirs);
	-- Lists in the order of their names.
	PERFORM rapport.note_stale('blocks', ARRAY(SELECT b.person_id FROM rapport.block AS b
											   WHERE (b.person_id, b.other_id) IN (SELECT y.other_id, y.person_id FROM rapport.blocked_by AS y WHERE y.person_id = ANY (ids))
											   ORDER BY b.person_id
											   FOR UPDATE));
	PERFORM rapport.withdraw(ARRAY(SELECT i FROM rapport.group_invitation AS i
								   WHERE i.invited_by = ANY (ids)
								   ORDER BY i.person_id, i.conversation_id
								   FOR UPDATE));
	PERFORM rapport.note_stale('intros', ARRAY(SELECT i.person_id FROM rapport.intro AS i
											   WHERE (i.person_id, i.other_id) IN (SELECT s.other_id, s.person_id FROM rapport.intro_sent AS s WHERE s.person_id = ANY (ids))
											   AND NOT i.declined
											   ORDER BY i.person_id
											   FOR UPDATE) || talked);
	PERFORM rapport.note_stale('intros_sent', ARRAY(SELECT s.person_id FROM rapport.intro_sent AS s
													WHERE (s.person_id, s.other_id) IN (SELECT i.other_id, i.person_id FROM rapport.intro AS i WHERE i.person_id = ANY (ids))
													ORDER BY s.person_id
													FOR UPDATE) || talked);
	PERFORM rapport.note_stale('likes ' || x.mode, x.people)
	FROM (SELECT l.mode, pg_catalog.array_agg(l.person_id) AS people
		  FROM (SELECT r.mode, r.person_id
				FROM rapport.like_received AS r
				WHERE (r.person_id, r.mode, r.other_id) IN (SELECT w.other_id, w.mode, w.person_id FROM rapport.swipe AS w WHERE w.person_id = ANY (ids)
															UNION SELECT u.other_id, s.mode, s.person_id FROM rapport.seen AS s, rapport.seen_unpack(s.data) AS u WHERE s.person_id = ANY (ids))
				ORDER BY r.person_id, r.mode
				FOR UPDATE) AS l
		  GROUP BY l.mode) AS x
	ORDER BY x.mode;
	-- What they wrote is cleared where it can be; of groups they take their leave.
	DELETE FROM rapport.message_block AS b WHERE b.conversation_id = ANY (deserted);
	PERFORM rapport.open_sealed_of(ids);
	PERFORM rapport.note_erased(c, ids) FROM unnest(theirs) AS c WHERE c <> ALL (deserted);
	PERFORM rapport.group_leave(p.conversation_id, p.person_id, p.person_id, 'left')
	FROM rapport.participant AS p
	JOIN rapport.conversation AS c ON c.conversation_id = p.conversation_id
	WHERE p.conversation_id = ANY (theirs)
	AND p.conversation_id <> ALL (deserted)
	AND p.person_id = ANY (ids)
	AND p.left_seq IS NULL
	AND c.kind = 'group';
	DELETE FROM rapport.message AS m WHERE m.conversation_id = ANY (deserted);
	DELETE FROM rapport.message_dedupe AS d WHERE d.conversation_id = ANY (deserted);
	DELETE FROM rapport.message_change AS x WHERE x.conversation_id = ANY (deserted);
	DELETE FROM rapport.message_reaction AS r WHERE r.conversation_id = ANY (deserted);
	DELETE FROM rapport.message_timer AS t WHERE t.conversation_id = ANY (deserted);
	DELETE FROM rapport.member AS m
	WHERE (m.person_id, m.conversation_id) IN (SELECT p.person_id, p.conversation_id FROM rapport.participant AS p WHERE p.conversation_id = ANY (deserted));
	DELETE FROM rapport.participant AS p WHERE p.conversation_id = ANY (deserted);
	DELETE FROM rapport.conversation AS c WHERE c.conversation_id = ANY (deserted);
END;
$$;
COMMENT ON FUNCTION rapport.chat_erase(bigint[]) IS
'Hook of "person_erased": deletes the conversations in which nobody is left; groups get another owner. In the others the messages keep their numbers, without what was said; the other side''s stay. The rows go as rapport.subject says.';

INSERT INTO rapport.hook (event, ord, call, builtin) VALUES
	('matched', 100, 'rapport.chat_matched(bigint[])', true),
	('unmatched', 100, 'rapport.chat_unmatched(bigint[])', true),
	('person_blocked', 100, 'rapport.chat_blocked(bigint[])', true),
	('person_unblocked', 100, 'rapport.chat_unblocked(bigint[])', true),
	('person_erased', 200, 'rapport.chat_erase(bigint[])', true);

-- Maintenance

CREATE OR REPLACE FUNCTION rapport.begin_pass(job text) RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	INSERT INTO rapport.chat_pass (job) VALUES (begin_pass.job) ON CONFLICT DO NOTHING;
	RETURN (SELECT p.done_to FROM rapport.chat_pass AS p WHERE p.job = begin_pass.job FOR NO KEY UPDATE);
END;
$$;
COMMENT ON FUNCTION rapport.begin_pass(text) IS
'Where a job goes on, which has the lock of its row in chat_pass until the transaction ends: another run of it waits.';

CREATE OR REPLACE FUNCTION rapport.chat_sweep(after bigint DEFAULT 0, pages integer DEFAULT 1000, OUT removed bigint, OUT next bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	size bigint := pg_relation_size('rapport.message_dedupe') / current_setting('block_size')::integer;
	first tid := format('(%s,0)', least(chat_sweep.after, 4294967294));
	beyond tid := format('(%s,0)', least(chat_sweep.after + chat_sweep.pages, 4294967294));
BEGIN
	IF chat_sweep.after < 0 OR chat_sweep.pages < 1 THEN
		PERFORM rapport.fail('out_of_range', 'after is 0 or more, pages 1 or more.');
	END IF;
	-- By place, not by an index on the time: that would cost every send.
	DELETE FROM rapport.message_dedupe AS d
	WHERE d.ctid = ANY (ARRAY(
		SELECT old.ctid
		FROM rapport.message_dedupe AS old
		WHERE old.ctid >= first
		AND old.ctid < beyond
		AND old.at < rapport.now() - make_interval(days => rapport.setting_int('message_dedupe_days'))
		FOR UPDATE SKIP LOCKED));
	GET DIAGNOSTICS removed = ROW_COUNT;
	next := chat_sweep.after + chat_sweep.pages;
	IF next >= size THEN
		next := NULL;
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.chat_sweep(bigint, integer) IS
'Forgets the names of messages older than the setting message_dedupe_days in so many pages of the table from page after on: how many, and the after of the next call, NULL at the end. For a maintenance job, once a day. Errors: out_of_range.';
GRANT EXECUTE ON FUNCTION rapport.chat_sweep(bigint, integer) TO rapport_service;
