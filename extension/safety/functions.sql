-- safety: functions and built-in rows.

INSERT INTO rapport.error_code (code, status, title, hint) VALUES
	('self_target', 422, 'that is you', NULL),
	('invalid_cursor', 422, 'the cursor is not valid here', 'Start again without "after".');

INSERT INTO rapport.distribution (tab, grp, col) VALUES
	('rapport.block', 'U', 'person_id'),
	('rapport.blocked_by', 'U', 'person_id');

INSERT INTO rapport.personal_data (tab, col, class, on_erase, withheld) VALUES
	('rapport.block', 'person_id', 'technical', 'delete', NULL),
	('rapport.block', 'other_id', 'behaviour', 'delete', NULL),
	('rapport.block', 'at', 'behaviour', 'delete', NULL),
	('rapport.blocked_by', 'person_id', 'technical', 'delete', 'nobody is told who blocks them'),
	('rapport.blocked_by', 'other_id', 'behaviour', 'delete', 'nobody is told who blocks them');

INSERT INTO rapport.subject (tab, col, own, find, on_erase) VALUES
	('rapport.block', 'other_id', false,
	 '(t.person_id, t.other_id) IN (SELECT b.other_id, b.person_id FROM rapport.blocked_by AS b WHERE b.person_id = ANY ($1))', 'delete'),
	('rapport.blocked_by', 'other_id', false,
	 '(t.person_id, t.other_id) IN (SELECT b.other_id, b.person_id FROM rapport.block AS b WHERE b.person_id = ANY ($1))', 'delete');

INSERT INTO rapport.hook_event (event, ids, description) VALUES
	('person_blocked', 'who blocks, who is blocked', 'One person has blocked another.'),
	('person_unblocked', 'who takes the block back, the other', 'Neither of two people blocks the other any more.'),
	('blocks_changed', 'whose blocks they are', 'A person has blocked somebody, or no longer does.');

CREATE OR REPLACE FUNCTION rapport.is_blocked(a bigint, b bigint) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
	RETURN EXISTS (SELECT FROM rapport.block AS x WHERE x.person_id = a AND x.other_id = b)
		OR EXISTS (SELECT FROM rapport.blocked_by AS x WHERE x.person_id = a AND x.other_id = b);
END;
$$;
COMMENT ON FUNCTION rapport.is_blocked(bigint, bigint) IS
'Whether either of two people blocks the other, read from what is kept with the first.';

CREATE OR REPLACE FUNCTION rapport.lock_two_people(a bigint, b bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	-- Whoever waits here must see what the other did, and an older snapshot hides it: a like would undo a block.
	IF pg_catalog.current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
		PERFORM rapport.fail('internal', 'Likes and blocks need the isolation level read committed.');
	END IF;
	PERFORM rapport.hold_person(a), rapport.hold_person(b);
	PERFORM pg_catalog.pg_advisory_xact_lock(
		pg_catalog.hashtextextended(pg_catalog.format('rapport pair %s %s', least(a, b), greatest(a, b)), 0));
END;
$$;
COMMENT ON FUNCTION rapport.lock_two_people(bigint, bigint) IS
'Until the end of the transaction nobody else decides about these two, and neither is erased: blocks take it, and so can likes. Errors: not_found, internal above read committed.';

CREATE OR REPLACE FUNCTION rapport.lock_if_there(me bigint, other bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	PERFORM rapport.lock_two_people(me, other);
	RETURN true;
EXCEPTION WHEN SQLSTATE 'RP404' THEN
	RETURN false;
END;
$$;
COMMENT ON FUNCTION rapport.lock_if_there(bigint, bigint) IS
'lock_two_people(), where other may be nobody: false then. Errors: internal above read committed.';

CREATE OR REPLACE FUNCTION rapport.block(person_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
BEGIN
	IF block.person_id = me THEN
		PERFORM rapport.fail('self_target', 'Nobody can block themselves.');
	END IF;
	IF block.person_id IS NULL THEN
		PERFORM rapport.fail('missing_field', 'Whom to block is missing.');
	END IF;
	-- Nobody learns from a block which ids somebody has.
	IF NOT rapport.lock_if_there(me, block.person_id) THEN
		RETURN;
	END IF;
	INSERT INTO rapport.block (person_id, other_id, at)
	VALUES (me, block.person_id, rapport.now())
	ON CONFLICT DO NOTHING;
	IF FOUND THEN
		INSERT INTO rapport.blocked_by (person_id, other_id)
		VALUES (block.person_id, me)
		ON CONFLICT DO NOTHING;
		PERFORM rapport.run_hooks('blocks_changed', ARRAY[me]);
		PERFORM rapport.run_hooks('person_blocked', ARRAY[me, block.person_id]);
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.block(bigint) IS
'Blocks a person: from the commit on neither of us finds, sees or writes to the other. They are not told. Blocking twice changes nothing. For an id that nobody has nothing happens, and the answer is the same. Errors: self_target, missing_field.';
GRANT EXECUTE ON FUNCTION rapport.block(bigint) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.unblock(person_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
BEGIN
	IF NOT EXISTS (SELECT FROM rapport.block AS b WHERE b.person_id = me AND b.other_id = unblock.person_id)
		OR NOT rapport.lock_if_there(me, unblock.person_id) THEN
		RETURN;
	END IF;
	DELETE FROM rapport.block AS b WHERE b.person_id = me AND b.other_id = unblock.person_id;
	IF FOUND THEN
		DELETE FROM rapport.blocked_by AS b WHERE b.person_id = unblock.person_id AND b.other_id = me;
		PERFORM rapport.run_hooks('blocks_changed', ARRAY[me]);
		IF NOT rapport.is_blocked(me, unblock.person_id) THEN
			PERFORM rapport.run_hooks('person_unblocked', ARRAY[me, unblock.person_id]);
		END IF;
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.unblock(bigint) IS
'Takes my block of a person back; what we had before is there again unless they block me too. Nothing happens when I do not block them.';
GRANT EXECUTE ON FUNCTION rapport.unblock(bigint) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.blocks(page_size integer DEFAULT NULL, after text DEFAULT NULL)
RETURNS TABLE (person_id bigint, display_name text, blocked_at timestamp with time zone, cursor text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	size integer := coalesce(blocks.page_size, 20);
	last_at timestamp with time zone := 'infinity';
	last_id bigint := 0;
BEGIN
	IF size NOT BETWEEN 1 AND 100 THEN
		PERFORM rapport.fail('out_of_range', 'A page has 1 to 100 people.');
	END IF;
	IF blocks.after IS NOT NULL THEN
		IF blocks.after !~ '^[0-9]{1,16}-[0-9]{1,16}$' THEN
			PERFORM rapport.fail('invalid_cursor');
		END IF;
		last_at := timestamptz 'epoch' + split_part(blocks.after, '-', 1)::bigint * interval '1 microsecond';
		last_id := split_part(blocks.after, '-', 2)::bigint;
	END IF;
	RETURN QUERY
	SELECT b.other_id, p.display_name, b.at,
		   (extract(epoch FROM b.at) * 1000000)::bigint || '-' || b.other_id
	FROM rapport.block AS b
	LEFT JOIN rapport.profile AS p ON p.person_id = b.other_id
	WHERE b.person_id = me
	AND (b.at, b.other_id) < (last_at, last_id)
	ORDER BY b.at DESC, b.other_id DESC
	LIMIT size;
END;
$$;
COMMENT ON FUNCTION rapport.blocks(integer, text) IS
'The people I block, newest first, page_size (1 to 100, 20) at a time; after is the cursor of the last one seen. Errors: out_of_range, invalid_cursor.';
GRANT EXECUTE ON FUNCTION rapport.blocks(integer, text) TO rapport_user;
