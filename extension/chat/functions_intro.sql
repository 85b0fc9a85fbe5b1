-- chat: writing to somebody before a match.

CREATE OR REPLACE FUNCTION rapport.send_intro(person_id bigint, body text, mode text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	most integer := rapport.setting_int('intros_per_day');
	mode_id smallint;
	old rapport.intro;
	pair rapport.pair;
BEGIN
	IF send_intro.body IS NULL THEN
		PERFORM rapport.fail('missing_field', 'body is required.');
	END IF;
	PERFORM rapport.check_body(send_intro.body, true);
	mode_id := rapport.match_mode(me, send_intro.mode);
	IF send_intro.person_id = me THEN
		PERFORM rapport.fail('self_target');
	END IF;
	PERFORM rapport.lock_two_people(me, send_intro.person_id);
	SELECT p.* INTO pair
	FROM rapport.pair AS p
	WHERE p.lo = least(me, send_intro.person_id)
	AND p.hi = greatest(me, send_intro.person_id)
	AND p.mode = mode_id;
	IF rapport.is_blocked(me, send_intro.person_id) OR pair.ended_at IS NOT NULL THEN
		PERFORM rapport.fail('not_found');
	END IF;
	IF pair.matched_at IS NOT NULL THEN
		PERFORM rapport.fail('already_talking');
	END IF;
	-- A retry is the same intro; so that nobody learns of a refusal, it is one for ever.
	SELECT i.* INTO old FROM rapport.intro AS i WHERE i.person_id = send_intro.person_id AND i.other_id = me;
	IF FOUND AND old.body = send_intro.body AND old.mode = mode_id THEN
		RETURN;
	ELSIF FOUND OR EXISTS (SELECT FROM rapport.intro AS i WHERE i.person_id = me AND i.other_id = send_intro.person_id) THEN
		PERFORM rapport.fail('intro_open');
	END IF;
	IF NOT rapport.fits(me, send_intro.person_id, mode_id) THEN
		PERFORM rapport.fail('not_found');
	END IF;
	-- One person's intros take their turns: the quota is counted.
	PERFORM pg_advisory_xact_lock(hashtextextended('rapport intros ' || me, 0));
	IF (SELECT count(*) >= most
		FROM rapport.intro_sent AS s
		WHERE s.person_id = me
		AND s.at >= rapport.today()::timestamp AT TIME ZONE 'UTC') THEN
		PERFORM rapport.fail('quota_exhausted', format('There are %s intros a day.', most));
	END IF;
	INSERT INTO rapport.intro (person_id, other_id, at, mode, body)
	VALUES (send_intro.person_id, me, rapport.now(), mode_id, send_intro.body);
	INSERT INTO rapport.intro_sent (person_id, other_id, at)
	VALUES (me, send_intro.person_id, rapport.now());
	PERFORM rapport.event_emit('p:' || send_intro.person_id, 'intro', jsonb_build_object('person_id', me));
END;
$$;
COMMENT ON FUNCTION rapport.send_intro(bigint, text, text) IS
'Writes a text, as send_message() takes it, to somebody I have not matched with, in a mode (NULL: the first I take part in): one between two people. They answer with accept_intro(), which is a match; of a refusal nobody is told. The same again changes nothing. Errors: missing_field, message_empty, message_too_long, self_target, intro_open (409: there is one, theirs or mine), already_talking (409), quota_exhausted (intros_per_day), not_found for who would not be shown to me, profile_incomplete, mode_not_enabled, unknown_mode.';
GRANT EXECUTE ON FUNCTION rapport.send_intro(bigint, text, text) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.intros(page_size integer DEFAULT NULL, after text DEFAULT NULL)
RETURNS TABLE (person_id bigint, display_name text, in_mode text, body text, sent_at timestamp with time zone, cursor text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	size integer := rapport.match_page_size(page_size);
	silent bigint[] := rapport.unheard(me);
	scope text := 'intros ' || me;
	last record := rapport.place_after(scope, intros.after);
BEGIN
	RETURN QUERY
	SELECT i.other_id, p.display_name, m.code, i.body, i.at,
		   rapport.seal(scope, concat_ws(' ', (extract(epoch FROM i.at) * 1000000)::bigint, i.other_id))
	FROM rapport.intro AS i
	JOIN rapport.mode AS m ON m.mode = i.mode
	LEFT JOIN rapport.profile AS p ON p.person_id = i.other_id
	WHERE i.person_id = me
	AND NOT i.declined
	AND i.other_id <> ALL (silent)
	AND (i.at, i.other_id) < (last.at, last.id)
	ORDER BY i.at DESC, i.other_id DESC
	LIMIT size;
END;
$$;
COMMENT ON FUNCTION rapport.intros(integer, text) IS
'What people I have not matched with wrote to me and I have not answered, newest first; nobody blocked either way. page_size is 1 to 100 (20); after is the cursor of the last row of the page before. Errors: out_of_range, invalid_cursor.';
GRANT EXECUTE ON FUNCTION rapport.intros(integer, text) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.intros_sent(page_size integer DEFAULT NULL, after text DEFAULT NULL)
RETURNS TABLE (person_id bigint, sent_at timestamp with time zone, cursor text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	size integer := rapport.match_page_size(page_size);
	silent bigint[] := rapport.unheard(me);
BEGIN
	IF intros_sent.after !~ '^[0-9]{1,16}$' THEN
		PERFORM rapport.fail('invalid_cursor');
	END IF;
	RETURN QUERY
	SELECT s.other_id, s.at, s.other_id::text
	FROM rapport.intro_sent AS s
	WHERE s.person_id = me
	AND s.other_id > coalesce(intros_sent.after::bigint, 0)
	AND s.other_id <> ALL (silent)
	ORDER BY s.other_id
	LIMIT size;
END;
$$;
COMMENT ON FUNCTION rapport.intros_sent(integer, text) IS
'Whom I wrote an intro that has not become a match, whatever they think of it. page_size is 1 to 100 (20). Errors: out_of_range, invalid_cursor.';
GRANT EXECUTE ON FUNCTION rapport.intros_sent(integer, text) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.note_like(person_id bigint, other_id bigint, mode smallint, at timestamp with time zone) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	-- A maybe counts in no quota.
	PERFORM rapport.remember_swipe(note_like.person_id, note_like.other_id, note_like.mode, 'maybe');
	UPDATE rapport.swipe AS w
	SET action = 'like', expires = NULL, at = coalesce(note_like.at, w.at)
	WHERE w.person_id = note_like.person_id
	AND w.mode = note_like.mode
	AND w.other_id = note_like.other_id;
	INSERT INTO rapport.like_received AS l (person_id, other_id, mode, at)
	VALUES (note_like.other_id, note_like.person_id, note_like.mode, rapport.now())
	ON CONFLICT DO NOTHING;
END;
$$;
COMMENT ON FUNCTION rapport.note_like(bigint, bigint, smallint, timestamp with time zone) IS
'Writes what a like leaves behind besides the pair, without counting it: the other is not shown to the person again, and erasing one finds what the other has. at is when it was made, NULL for now.';

CREATE OR REPLACE FUNCTION rapport.accept_intro(person_id bigint, OUT conversation_id bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	found_intro rapport.intro;
	pair rapport.pair;
	before rapport.pair;
BEGIN
	PERFORM rapport.lock_two_people(me, accept_intro.person_id);
	SELECT i.* INTO found_intro FROM rapport.intro AS i WHERE i.person_id = me AND i.other_id = accept_intro.person_id;
	IF rapport.is_blocked(me, accept_intro.person_id) THEN
		PERFORM rapport.fail('not_found');
	END IF;
	IF found_intro.mode IS NULL THEN
		-- Accepted before, or matched meanwhile.
		SELECT p.conversation_id INTO conversation_id
		FROM rapport.pair AS p
		WHERE p.lo = least(me, accept_intro.person_id)
		AND p.hi = greatest(me, accept_intro.person_id)
		AND p.matched_at IS NOT NULL
		ORDER BY p.mode
		LIMIT 1;
		IF conversation_id IS NULL THEN
			PERFORM rapport.fail('not_found');
		END IF;
		RETURN;
	END IF;
	SELECT p.* INTO before
	FROM rapport.pair AS p
	WHERE p.lo = least(me, accept_intro.person_id)
	AND p.hi = greatest(me, accept_intro.person_id)
	AND p.mode = found_intro.mode;
	INSERT INTO rapport.pair AS p (lo, hi, mode, lo_action, hi_action, matched_at)
	VALUES (least(me, accept_intro.person_id), greatest(me, accept_intro.person_id), found_intro.mode, 'like', 'like', rapport.now())
	ON CONFLICT ON CONSTRAINT pair_pkey DO UPDATE
	SET lo_action = coalesce(p.lo_action, 'like'), hi_action = coalesce(p.hi_action, 'like'), matched_at = rapport.now()
	WHERE p.ended_at IS NULL
	RETURNING p.* INTO pair;
	IF NOT FOUND THEN
		PERFORM rapport.fail('not_found');
	END IF;
	-- Whoever wrote liked when they wrote: it is not the swipe that they would take back.
	PERFORM rapport.note_like(x.id, x.other, pair.mode, CASE WHEN x.id <> me THEN found_intro.at END)
	FROM (VALUES (pair.lo, pair.hi, before.lo_action), (pair.hi, pair.lo, before.hi_action)) AS x (id, other, action)
	WHERE x.action IS NULL;
	PERFORM rapport.run_hooks('matched', ARRAY[pair.lo, pair.hi, pair.mode]);
	PERFORM rapport.event_emit('p:' || x.id, 'match', jsonb_build_object('person_id', x.other, 'mode', m.code))
	FROM (VALUES (pair.lo, pair.hi), (pair.hi, pair.lo)) AS x (id, other)
	JOIN rapport.mode AS m ON m.mode = pair.mode;
	SELECT p.conversation_id INTO conversation_id
	FROM rapport.pair AS p
	WHERE p.lo = pair.lo AND p.hi = pair.hi AND p.mode = pair.mode;
END;
$$;
COMMENT ON FUNCTION rapport.accept_intro(bigint) IS
'Accepts what somebody wrote to me, also after I declined: we have matched, as if we had liked each other, and the intro is the first message of the conversation. Again gives the same conversation. Errors: not_found where there is none, a block or an ended match.';
GRANT EXECUTE ON FUNCTION rapport.accept_intro(bigint) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.decline_intro(person_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
BEGIN
	UPDATE rapport.intro AS i
	SET declined = true
	WHERE i.person_id = me
	AND i.other_id = decline_intro.person_id
	AND NOT i.declined;
END;
$$;
COMMENT ON FUNCTION rapport.decline_intro(bigint) IS
'Puts an intro away. Who wrote it is not told and cannot write another. Without one nothing happens.';
GRANT EXECUTE ON FUNCTION rapport.decline_intro(bigint) TO rapport_user;
