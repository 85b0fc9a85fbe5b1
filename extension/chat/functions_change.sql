-- chat: what happens to messages after they were sent.

CREATE OR REPLACE FUNCTION rapport.hold_conversation(conversation_id bigint, person_id bigint,
	OUT joined_seq bigint, OUT last_seq bigint, OUT is_group boolean, OUT role text, OUT hidden bigint[])
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	-- Whatever is read after the lock is as the last who held it left it.
	PERFORM FROM rapport.conversation AS c WHERE c.conversation_id = hold_conversation.conversation_id FOR NO KEY UPDATE;
	SELECT o.joined_seq, o.last_seq, o.is_group, o.role, o.hidden
	INTO joined_seq, last_seq, is_group, role, hidden
	FROM rapport.open_conversation(hold_conversation.conversation_id, hold_conversation.person_id) AS o;
	IF NOT FOUND THEN
		PERFORM rapport.fail('not_found');
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.hold_conversation(bigint, bigint) IS
'Until the end of the transaction nobody else sends to the conversation or changes it; what open_conversation() says of it. Errors: not_found.';

CREATE OR REPLACE FUNCTION rapport.message_to_change(conversation_id bigint, person_id bigint, seq bigint,
	OUT sender_id bigint, OUT sent_at timestamp with time zone, OUT state text, OUT body text, OUT attrs jsonb,
	OUT edited_at timestamp with time zone, OUT is_group boolean, OUT role text)
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	it record;
BEGIN
	IF message_to_change.seq IS NULL THEN
		PERFORM rapport.fail('missing_field', 'seq is required.');
	END IF;
	SELECT h.* INTO it FROM rapport.hold_conversation(message_to_change.conversation_id, message_to_change.person_id) AS h;
	SELECT m.sender_id, m.sent_at, m.state, m.body, m.attrs, m.edited_at, it.is_group, it.role
	INTO sender_id, sent_at, state, body, attrs, edited_at, is_group, role
	FROM rapport.shown_messages(message_to_change.person_id, message_to_change.conversation_id, message_to_change.seq, message_to_change.seq,
								it.hidden, it.is_group, true) AS m
	WHERE m.seq > it.joined_seq;
	IF NOT FOUND THEN
		PERFORM rapport.fail('not_found');
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.message_to_change(bigint, bigint, bigint) IS
'A message as the person sees it, with the lock of its conversation. Errors: missing_field, not_found.';

CREATE OR REPLACE FUNCTION rapport.note_change(conversation_id bigint, seq bigint, edited_at timestamp with time zone DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	number bigint;
	grouped boolean;
BEGIN
	PERFORM rapport.count_burst(note_change.conversation_id, rapport.acting_person());
	UPDATE rapport.conversation AS c
	SET change_seq = c.change_seq + 1
	WHERE c.conversation_id = note_change.conversation_id
	RETURNING c.change_seq, c.kind = 'group' INTO number, grouped;
	INSERT INTO rapport.message_change AS x (conversation_id, seq, change_seq, edited_at)
	VALUES (note_change.conversation_id, note_change.seq, number, note_change.edited_at)
	ON CONFLICT ON CONSTRAINT message_change_pkey DO UPDATE
	SET change_seq = excluded.change_seq,
		edited_at = coalesce(excluded.edited_at, x.edited_at);
	UPDATE rapport.member AS m
	SET change_seq = number
	FROM rapport.participant AS p
	WHERE NOT grouped
	AND p.conversation_id = note_change.conversation_id
	AND m.person_id = p.person_id
	AND m.conversation_id = note_change.conversation_id;
	PERFORM rapport.event_emit('c:' || note_change.conversation_id, 'change',
							   pg_catalog.jsonb_build_object('seq', note_change.seq, 'change_seq', number));
	RETURN number;
END;
$$;
COMMENT ON FUNCTION rapport.note_change(bigint, bigint, timestamp with time zone) IS
'Gives the change of a message by the acting person its number. The caller holds the lock of the conversation''s row. Errors: too_many_messages.';

CREATE OR REPLACE FUNCTION rapport.note_erased(conversation_id bigint, ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	changed bigint;
BEGIN
	WITH message AS (
		SELECT m.seq
		FROM rapport.message AS m
		WHERE m.conversation_id = note_erased.conversation_id
		AND m.sender_id = ANY (ids)
		AND (m.body IS NOT NULL OR m.attrs IS NOT NULL)
		AND (m.flags & 1 = 0 OR m.attrs #>> '{event,type}' = 'title')
		UNION
		SELECT r.seq
		FROM rapport.message_reaction AS r
		WHERE r.conversation_id = note_erased.conversation_id
		AND r.person_id = ANY (ids)),
	numbered AS (
		INSERT INTO rapport.message_change AS x (conversation_id, seq, change_seq)
		SELECT c.conversation_id, m.seq, c.change_seq + row_number() OVER (ORDER BY m.seq)
		FROM rapport.conversation AS c
		CROSS JOIN message AS m
		WHERE c.conversation_id = note_erased.conversation_id
		AND c.kind = 'group'
		ON CONFLICT ON CONSTRAINT message_change_pkey DO UPDATE SET change_seq = excluded.change_seq
		RETURNING x.change_seq)
	UPDATE rapport.conversation AS c
	SET change_seq = n.change_seq
	FROM (SELECT max(x.change_seq) AS change_seq FROM numbered AS x) AS n
	WHERE c.conversation_id = note_erased.conversation_id
	AND n.change_seq > c.change_seq
	RETURNING c.change_seq INTO changed;
	IF FOUND THEN
		PERFORM rapport.event_emit('c:' || note_erased.conversation_id, 'change', pg_catalog.jsonb_build_object('change_seq', changed));
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.note_erased(bigint, bigint[]) IS
'Numbers as changed what people who are about to be erased wrote in a group, and what they reacted to. The caller holds the lock of the conversation''s row, and nothing of theirs is sealed.';

CREATE OR REPLACE FUNCTION rapport.forget_hashes(conversation_id bigint, seqs bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	UPDATE rapport.message_dedupe AS d
	SET body_hash = 0
	FROM rapport.message AS m
	WHERE m.conversation_id = forget_hashes.conversation_id
	AND m.seq = ANY (seqs)
	AND d.conversation_id = m.conversation_id
	AND d.sender_id = m.sender_id
	AND d.client_id = m.client_id;
END;
$$;
COMMENT ON FUNCTION rapport.forget_hashes(bigint, bigint[]) IS
'Keeps not even a hash of what messages said: a retry of their send is still known for one, whatever it says. They are rows of rapport.message.';

CREATE OR REPLACE FUNCTION rapport.blank_messages(conversation_id bigint, seqs bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	PERFORM rapport.open_sealed(blank_messages.conversation_id, min(s), max(s)) FROM pg_catalog.unnest(seqs) AS s HAVING count(*) > 0;
	UPDATE rapport.message AS m
	SET body = NULL,
		attrs = NULL,
		flags = m.flags | 4
	WHERE m.conversation_id = blank_messages.conversation_id
	AND m.seq = ANY (seqs);
	PERFORM rapport.forget_hashes(blank_messages.conversation_id, seqs);
	DELETE FROM rapport.message_reaction AS r
	WHERE r.conversation_id = blank_messages.conversation_id
	AND r.seq = ANY (seqs);
END;
$$;
COMMENT ON FUNCTION rapport.blank_messages(bigint, bigint[]) IS
'Removes what was said in messages, and the reactions to it; their numbers stay. The caller holds the lock of the conversation''s row.';

CREATE OR REPLACE FUNCTION rapport.edit_message(conversation_id bigint, seq bigint, body text,
	OUT change_seq bigint, OUT edited_at timestamp with time zone)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	minutes integer := rapport.setting_int('message_edit_minutes');
	it record;
BEGIN
	IF edit_message.body IS NULL THEN
		PERFORM rapport.fail('missing_field', 'body is required.');
	END IF;
	SELECT m.* INTO it FROM rapport.message_to_change(edit_message.conversation_id, me, edit_message.seq) AS m;
	IF it.state <> 'sent' OR it.sender_id <> me THEN
		PERFORM rapport.fail('not_found');
	END IF;
	PERFORM rapport.check_body(edit_message.body, coalesce(NOT it.attrs ?| ARRAY['attachments', 'location'], true));
	IF it.body = edit_message.body THEN
		edited_at := it.edited_at;
		change_seq := (SELECT c.change_seq FROM rapport.message_change AS c
					   WHERE c.conversation_id = edit_message.conversation_id AND c.seq = edit_message.seq);
		RETURN;
	END IF;
	IF minutes > 0 AND it.sent_at < rapport.now() - make_interval(mins => minutes) THEN
		PERFORM rapport.fail('not_editable', format('A message may be edited for %s minutes.', minutes));
	END IF;
	PERFORM rapport.open_sealed(edit_message.conversation_id, edit_message.seq, edit_message.seq);
	UPDATE rapport.message AS m
	SET body = edit_message.body,
		flags = m.flags | 2
	WHERE m.conversation_id = edit_message.conversation_id
	AND m.seq = edit_message.seq;
	PERFORM rapport.forget_hashes(edit_message.conversation_id, ARRAY[edit_message.seq]);
	edited_at := rapport.now();
	change_seq := rapport.note_change(edit_message.conversation_id, edit_message.seq, edited_at);
END;
$$;
COMMENT ON FUNCTION rapport.edit_message(bigint, bigint, text) IS
'Replaces the text of a message of mine, within message_edit_minutes; what it said before is not kept. Others see that it was edited, and change_seq tells who was away. The same text again changes nothing. Errors: too_many_messages (429, messages_per_minute: changes count as messages), missing_field, message_empty, message_too_long, not_editable (422, too late), not_found for a message that is not mine, deleted or expired, and as for messages().';
GRANT EXECUTE ON FUNCTION rapport.edit_message(bigint, bigint, text) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.delete_message(conversation_id bigint, seq bigint, for_all boolean DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	it record;
	stored rapport.message;
BEGIN
	SELECT m.* INTO it FROM rapport.message_to_change(delete_message.conversation_id, me, delete_message.seq) AS m;
	IF coalesce(delete_message.for_all, false) THEN
		-- By what is stored, not by what I see: who blocks me does not keep what they said from being deleted.
		SELECT m.* INTO stored FROM rapport.message_range(delete_message.conversation_id, delete_message.seq, delete_message.seq) AS m;
		IF stored.flags & 1 = 1 OR stored.sender_id <> me AND NOT (it.is_group AND it.role IN ('owner', 'admin')) THEN
			PERFORM rapport.fail('not_found');
		ELSIF stored.body IS NOT NULL OR stored.attrs IS NOT NULL THEN
			PERFORM rapport.blank_messages(delete_message.conversation_id, ARRAY[delete_message.seq]);
			PERFORM rapport.note_change(delete_message.conversation_id, delete_message.seq);
		END IF;
	ELSIF it.state <> 'hidden' THEN
		UPDATE rapport.participant AS p
		SET hidden = p.hidden || delete_message.seq
		WHERE p.conversation_id = delete_message.conversation_id
		AND p.person_id = me
		AND coalesce(cardinality(p.hidden), 0) < 1000;
		IF NOT FOUND THEN
			PERFORM rapport.fail('out_of_range', 'One may delete 1000 messages of a conversation for oneself; clear it instead.');
		END IF;
		UPDATE rapport.member AS m
		SET hidden_seq = greatest(m.hidden_seq, delete_message.seq)
		WHERE m.person_id = me
		AND m.conversation_id = delete_message.conversation_id;
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.delete_message(bigint, bigint, boolean) IS
'Deletes a message: for me alone, whoever sent it; or with for_all for everybody, which is for who sent it and for the owner and the admins of a group. Its number stays, what it said is gone from the database. There is no way back; again is the same as once. Errors: too_many_messages (429, messages_per_minute: changes count as messages), missing_field, out_of_range (1000 deleted for oneself in a conversation), not_found for a message that is not mine to delete, and as for messages().';
GRANT EXECUTE ON FUNCTION rapport.delete_message(bigint, bigint, boolean) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.react(conversation_id bigint, seq bigint, reaction text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	it record;
BEGIN
	IF react.reaction IS NULL THEN
		PERFORM rapport.fail('missing_field', 'reaction is required.');
	ELSIF octet_length(react.reaction) NOT BETWEEN 1 AND 64 OR react.reaction ~ '[\s[:cntrl:]]' THEN
		PERFORM rapport.fail('invalid_value', 'A reaction has 1 to 64 bytes and no white space.');
	END IF;
	SELECT m.* INTO it FROM rapport.message_to_change(react.conversation_id, me, react.seq) AS m;
	IF it.state <> 'sent' THEN
		PERFORM rapport.fail('not_found');
	END IF;
	IF (SELECT count(DISTINCT r.reaction) >= 20 AND NOT coalesce(bool_or(r.reaction = react.reaction), false)
		FROM rapport.message_reaction AS r
		WHERE r.conversation_id = react.conversation_id
		AND r.seq = react.seq) THEN
		PERFORM rapport.fail('out_of_range', 'A message has at most 20 different reactions.');
	END IF;
	INSERT INTO rapport.message_reaction AS r (conversation_id, seq, person_id, reaction)
	VALUES (react.conversation_id, react.seq, me, react.reaction)
	ON CONFLICT ON CONSTRAINT message_reaction_pkey DO UPDATE
	SET reaction = excluded.reaction
	WHERE r.reaction <> excluded.reaction;
	IF FOUND THEN
		PERFORM rapport.note_change(react.conversation_id, react.seq);
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.react(bigint, bigint, text) IS
'Sets my reaction to a message, an emoji or another text of up to 64 bytes without white space, in place of the one I had. The same again changes nothing. Errors: too_many_messages (429, messages_per_minute: changes count as messages), missing_field, invalid_value, out_of_range (20 different ones), not_found for a message that is deleted, expired or of the system, and as for messages().';
GRANT EXECUTE ON FUNCTION rapport.react(bigint, bigint, text) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.unreact(conversation_id bigint, seq bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
BEGIN
	PERFORM FROM rapport.message_to_change(unreact.conversation_id, me, unreact.seq) AS m;
	DELETE FROM rapport.message_reaction AS r
	WHERE r.conversation_id = unreact.conversation_id
	AND r.seq = unreact.seq
	AND r.person_id = me;
	IF FOUND THEN
		PERFORM rapport.note_change(unreact.conversation_id, unreact.seq);
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.unreact(bigint, bigint) IS
'Takes my reaction to a message back; without one nothing happens. Errors: too_many_messages (429, messages_per_minute: changes count as messages), not_found for a message that is not there, and as for messages().';
GRANT EXECUTE ON FUNCTION rapport.unreact(bigint, bigint) TO rapport_user;

-- Messages that disappear, and messages that are not kept

CREATE OR REPLACE FUNCTION rapport.set_message_timer(conversation_id bigint, minutes integer DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	it record;
BEGIN
	IF set_message_timer.minutes NOT BETWEEN 1 AND 525600 THEN
		PERFORM rapport.fail('out_of_range', 'minutes is 1 to 525600, a year.');
	END IF;
	SELECT h.* INTO it FROM rapport.hold_conversation(set_message_timer.conversation_id, me) AS h;
	IF it.is_group AND it.role = 'member' THEN
		PERFORM rapport.fail('group_role');
	END IF;
	UPDATE rapport.conversation AS c
	SET expire_minutes = set_message_timer.minutes
	WHERE c.conversation_id = set_message_timer.conversation_id
	AND c.expire_minutes IS DISTINCT FROM set_message_timer.minutes;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	PERFORM rapport.count_burst(set_message_timer.conversation_id, me);
	IF set_message_timer.minutes IS NOT NULL THEN
		INSERT INTO rapport.message_timer (conversation_id, from_seq)
		VALUES (set_message_timer.conversation_id, it.last_seq + 1)
		ON CONFLICT DO NOTHING;
	END IF;
	PERFORM rapport.post_event(set_message_timer.conversation_id, me,
							   jsonb_build_object('type', 'timer', 'minutes', set_message_timer.minutes));
END;
$$;
COMMENT ON FUNCTION rapport.set_message_timer(bigint, integer) IS
'Makes messages sent from now on disappear after 1 to 525600 minutes; NULL makes them stay. Nobody can read an expired message from that moment on; sweep_expired() removes it from the database. Either person of a direct conversation may, in a group the owner and the admins. A message of the system tells it. Errors: too_many_messages (429, messages_per_minute: changes count as messages), out_of_range, group_role, not_found as for messages().';
GRANT EXECUTE ON FUNCTION rapport.set_message_timer(bigint, integer) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.expire_messages(conversation_id bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	step constant bigint := 10000;
	at bigint;
	moment timestamp with time zone := rapport.now();
	timer record;
	first_left bigint;
	found_left bigint;
	expired bigint[];
	gone bigint := 0;
BEGIN
	-- Looked at without the lock: mostly nothing is due, and a sweep of many conversations keeps nobody from sending.
	IF NOT EXISTS (SELECT
				   FROM rapport.message_timer AS t
				   JOIN rapport.conversation AS c ON c.conversation_id = t.conversation_id
				   CROSS JOIN LATERAL (SELECT min(m.seq) FILTER (WHERE NOT x.over) AS first_left, bool_or(x.over) AS over
									   FROM rapport.message_range(t.conversation_id, t.from_seq, c.last_seq) AS m
									   CROSS JOIN LATERAL (SELECT m.sent_at + pg_catalog.make_interval(mins => m.flags / 256) <= moment AS over) AS x
									   WHERE m.flags >= 256
									   AND m.flags & 4 = 0) AS due
				   WHERE t.conversation_id = expire_messages.conversation_id
				   AND (due.over
						OR coalesce(due.first_left, c.last_seq + 1) <> t.from_seq
						OR due.first_left IS NULL AND c.expire_minutes IS NULL)) THEN
		RETURN 0;
	END IF;
	SELECT t.from_seq, c.last_seq, c.expire_minutes INTO timer
	FROM rapport.message_timer AS t
	JOIN rapport.conversation AS c ON c.conversation_id = t.conversation_id
	WHERE t.conversation_id = expire_messages.conversation_id
	FOR NO KEY UPDATE OF c SKIP LOCKED;
	IF NOT FOUND THEN
		RETURN 0;
	END IF;
	at := timer.from_seq;
	WHILE at <= timer.last_seq LOOP
		SELECT pg_catalog.array_agg(m.seq ORDER BY m.seq) FILTER (WHERE x.over), min(m.seq) FILTER (WHERE NOT x.over)
		INTO expired, found_left
		FROM rapport.message_range(expire_messages.conversation_id, at, least(timer.last_seq, at + step - 1)) AS m
		CROSS JOIN LATERAL (SELECT m.sent_at + pg_catalog.make_interval(mins => m.flags / 256) <= moment AS over) AS x
		WHERE m.flags >= 256
		AND m.flags & 4 = 0;
		IF expired IS NOT NULL THEN
			PERFORM rapport.blank_messages(expire_messages.conversation_id, expired);
			gone := gone + pg_catalog.cardinality(expired);
		END IF;
		first_left := coalesce(first_left, found_left);
		at := at + step;
	END LOOP;
	IF timer.expire_minutes IS NULL AND first_left IS NULL THEN
		DELETE FROM rapport.message_timer AS t WHERE t.conversation_id = expire_messages.conversation_id;
	ELSE
		UPDATE rapport.message_timer AS t
		SET from_seq = coalesce(first_left, timer.last_seq + 1)
		WHERE t.conversation_id = expire_messages.conversation_id
		AND t.from_seq <> coalesce(first_left, timer.last_seq + 1);
	END IF;
	RETURN gone;
END;
$$;
COMMENT ON FUNCTION rapport.expire_messages(bigint) IS
'Removes what expired messages of a conversation said; how many. Nothing where somebody is sending or changing messages just now.';

CREATE OR REPLACE FUNCTION rapport.sweep_expired(batch integer DEFAULT 100) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	began bigint;
	done bigint;
	talk bigint;
	n bigint;
	gone bigint := 0;
	swept integer := 0;
BEGIN
	IF sweep_expired.batch IS NULL OR sweep_expired.batch < 1 THEN
		PERFORM rapport.fail('out_of_range', 'batch is 1 or more.');
	END IF;
	began := rapport.begin_pass('sweep_expired');
	done := began;
	WHILE swept < sweep_expired.batch LOOP
		SELECT t.conversation_id INTO talk
		FROM rapport.message_timer AS t
		WHERE t.conversation_id > done
		ORDER BY t.conversation_id
		LIMIT 1;
		IF NOT FOUND THEN
			done := 0;
			-- What came before may have expired by now.
			EXIT WHEN gone > 0 OR began = 0;
			began := 0;
			CONTINUE;
		END IF;
		done := talk;
		n := rapport.expire_messages(talk);
		gone := gone + n;
		swept := swept + (n > 0)::integer;
	END LOOP;
	UPDATE rapport.chat_pass AS p SET done_to = done WHERE p.job = 'sweep_expired' AND p.done_to <> done;
	RETURN gone;
END;
$$;
COMMENT ON FUNCTION rapport.sweep_expired(integer) IS
'Removes from the database what expired messages said, in up to batch conversations; the number of messages. For a maintenance job: call it, each time in a transaction of its own, until it returns 0; conversations in which somebody is writing just then are left for the next time. VACUUM and scrub() remove the last traces. Errors: out_of_range.';
GRANT EXECUTE ON FUNCTION rapport.sweep_expired(integer) TO rapport_service;

CREATE OR REPLACE FUNCTION rapport.retain_messages(after bigint DEFAULT 0, batch integer DEFAULT 1000, OUT removed bigint, OUT next bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	days integer := rapport.setting_int('message_retention_days');
	horizon timestamp with time zone := rapport.now() - make_interval(days => days);
	seen integer := 0;
	talk record;
	until bigint;
	step bigint;
BEGIN
	removed := 0;
	IF retain_messages.after IS NULL OR retain_messages.batch IS NULL OR retain_messages.batch < 1 THEN
		PERFORM rapport.fail('out_of_range', 'after is an id or 0, batch 1 or more.');
	ELSIF days = 0 THEN
		RETURN;
	END IF;
	FOR talk IN
		SELECT c.conversation_id, c.kind, c.first_seq, c.last_seq
		FROM rapport.conversation AS c
		WHERE c.conversation_id > retain_messages.after
		ORDER BY c.conversation_id
		LIMIT retain_messages.batch
		FOR NO KEY UPDATE
	LOOP
		seen := seen + 1;
		next := talk.conversation_id;
		-- In steps, up to the first that is young enough: numbers are as old as they are small.
		until := talk.first_seq;
		LOOP
			SELECT count(*) FILTER (WHERE m.sent_at < horizon) INTO step
			FROM rapport.message_range(talk.conversation_id, until, least(until + 99, talk.last_seq)) AS m;
			until := until + step;
			EXIT WHEN step < 100;
		END LOOP;
		IF until > talk.first_seq THEN
			PERFORM rapport.open_sealed(talk.conversation_id, talk.first_seq, until - 1);
			UPDATE rapport.message_dedupe AS d
			SET body_hash = 0
			WHERE d.conversation_id = talk.conversation_id
			AND d.seq < until
			AND d.body_hash <> 0;
			DELETE FROM rapport.message AS m WHERE m.conversation_id = talk.conversation_id AND m.seq < until;
			DELETE FROM rapport.message_reaction AS r WHERE r.conversation_id = talk.conversation_id AND r.seq < until;
			DELETE FROM rapport.message_change AS x WHERE x.conversation_id = talk.conversation_id AND x.seq < until;
			UPDATE rapport.conversation AS c SET first_seq = until WHERE c.conversation_id = talk.conversation_id;
			UPDATE rapport.participant AS p
			SET hidden = nullif(ARRAY(SELECT h FROM unnest(p.hidden) AS h WHERE h >= until ORDER BY h), '{}')
			WHERE p.conversation_id = talk.conversation_id
			AND until > ANY (p.hidden);
			-- A group's is read from its own row.
			PERFORM rapport.hold_members(ARRAY[talk.conversation_id]);
			UPDATE rapport.member AS m
			SET joined_seq = until - 1
			FROM rapport.participant AS p
			WHERE talk.kind = 'direct'
			AND p.conversation_id = talk.conversation_id
			AND m.person_id = p.person_id
			AND m.conversation_id = p.conversation_id
			AND m.joined_seq < until - 1;
			removed := removed + until - talk.first_seq;
		END IF;
	END LOOP;
	IF seen < retain_messages.batch THEN
		next := NULL;
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.retain_messages(bigint, integer) IS
'Removes messages older than the setting message_retention_days from batch conversations, those after the id after: how many, and the after of the next call, NULL at the end. Numbers go on as before: a conversation begins later. For a maintenance job. Errors: out_of_range.';
GRANT EXECUTE ON FUNCTION rapport.retain_messages(bigint, integer) TO rapport_service;
