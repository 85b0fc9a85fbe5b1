-- chat: groups. Who is in one is read from rapport.participant; nothing is
-- copied to its members, so that a send costs the same however many there are.

CREATE OR REPLACE FUNCTION rapport.check_group_title(title text) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
BEGIN
	IF title IS NULL THEN
		PERFORM rapport.fail('missing_field', 'title is required.');
	END IF;
	RETURN rapport.clean_text('title', title, 100);
END;
$$;
COMMENT ON FUNCTION rapport.check_group_title(text) IS 'The title as it is stored, cleaned as names are. Errors: missing_field, invalid_value, out_of_range.';

CREATE OR REPLACE FUNCTION rapport.group_join(conversation_id bigint, person_id bigint, role text) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	last bigint := (SELECT c.last_seq FROM rapport.conversation AS c WHERE c.conversation_id = group_join.conversation_id);
BEGIN
	-- Two who are let in at once are counted one after the other.
	PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('rapport groups ' || group_join.person_id, 0));
	IF (SELECT count(*) >= rapport.setting_int('groups_per_person')
		FROM rapport.member AS m
		WHERE m.person_id = group_join.person_id AND m.is_group AND NOT m.closed) THEN
		PERFORM rapport.fail('group_full', 'One may be in so many groups and no more.');
	ELSIF (SELECT count(*) >= rapport.setting_int('group_members')
		   FROM rapport.participant AS p
		   WHERE p.conversation_id = group_join.conversation_id AND p.left_seq IS NULL) THEN
		PERFORM rapport.fail('group_full', 'The group has as many people as it may have.');
	END IF;
	INSERT INTO rapport.participant AS p (conversation_id, person_id, joined_seq, role)
	VALUES (group_join.conversation_id, group_join.person_id, last, group_join.role)
	ON CONFLICT ON CONSTRAINT participant_pkey DO UPDATE
	SET joined_seq = excluded.joined_seq, left_seq = NULL, role = excluded.role, hidden = NULL;
	INSERT INTO rapport.member AS m (person_id, conversation_id, last_at, is_group, joined_seq, read_seq, delivered_seq)
	VALUES (group_join.person_id, group_join.conversation_id, rapport.now(), true, last, last, last)
	ON CONFLICT ON CONSTRAINT member_pkey DO UPDATE
	SET closed = false, joined_seq = excluded.joined_seq, read_seq = greatest(m.read_seq, excluded.read_seq),
		delivered_seq = greatest(m.delivered_seq, excluded.delivered_seq), hidden_seq = 0, archived_seq = NULL;
	PERFORM rapport.withdraw(ARRAY(SELECT i FROM rapport.group_invitation AS i
								   WHERE i.person_id = group_join.person_id
								   AND i.conversation_id = group_join.conversation_id
								   FOR UPDATE));
END;
$$;
COMMENT ON FUNCTION rapport.group_join(bigint, bigint, text) IS
'Takes a person into a group: they read what is sent from now on. The caller holds the conversation. Errors: group_full.';

CREATE OR REPLACE FUNCTION rapport.group_leave(conversation_id bigint, person_id bigint, by_id bigint, event text) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	was text;
	heir bigint;
	number bigint;
BEGIN
	-- Told before they are gone: they see it, and nothing after it.
	number := rapport.post_event(group_leave.conversation_id, group_leave.by_id,
								 pg_catalog.jsonb_build_object('type', event, 'person_id', group_leave.person_id));
	UPDATE rapport.participant AS p
	SET left_seq = number
	WHERE p.conversation_id = group_leave.conversation_id
	AND p.person_id = group_leave.person_id
	RETURNING p.role INTO was;
	UPDATE rapport.member AS m
	SET closed = true
	WHERE m.person_id = group_leave.person_id
	AND m.conversation_id = group_leave.conversation_id;
	PERFORM rapport.withdraw(ARRAY(SELECT i FROM rapport.group_invitation AS i
								   WHERE i.invited_by = group_leave.person_id
								   AND i.conversation_id = group_leave.conversation_id
								   ORDER BY i.person_id
								   FOR UPDATE));
	IF was = 'owner' THEN
		SELECT p.person_id INTO heir
		FROM rapport.participant AS p
		WHERE p.conversation_id = group_leave.conversation_id
		AND p.left_seq IS NULL
		ORDER BY p.role = 'admin' DESC, p.joined_seq, p.person_id
		LIMIT 1;
		UPDATE rapport.participant AS p
		SET role = CASE p.person_id WHEN heir THEN 'owner' ELSE 'member' END
		WHERE p.conversation_id = group_leave.conversation_id
		AND p.person_id IN (heir, group_leave.person_id);
		IF heir IS NULL THEN
			UPDATE rapport.conversation AS c
			SET closed_at = rapport.now()
			WHERE c.conversation_id = group_leave.conversation_id;
		ELSE
			PERFORM rapport.post_event(group_leave.conversation_id, group_leave.by_id,
									   pg_catalog.jsonb_build_object('type', 'role', 'person_id', heir, 'role', 'owner'));
		END IF;
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.group_leave(bigint, bigint, bigint, text) IS
'Takes a person out of a group; event is left or removed, by_id who did it. An owner is followed by the admin, else the member, who has been there longest; without anybody left the group is closed. The caller holds the conversation.';

CREATE OR REPLACE FUNCTION rapport.create_group(title text, OUT conversation_id bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	clean text := rapport.check_group_title(create_group.title);
BEGIN
	conversation_id := rapport.new_id();
	INSERT INTO rapport.conversation (conversation_id, kind, created_at, title)
	VALUES (conversation_id, 'group', rapport.now(), clean);
	PERFORM rapport.group_join(create_group.conversation_id, me, 'owner');
	PERFORM rapport.post_event(create_group.conversation_id, me, jsonb_build_object('type', 'created'));
END;
$$;
COMMENT ON FUNCTION rapport.create_group(text) IS
'Makes a group of which I am the owner and the only one so far; title has 1 to 100 characters, in one line, with something to see. Send an Idempotency-Key to be sure of one. Errors: missing_field, invalid_value, out_of_range (too long), group_full (groups_per_person).';
GRANT EXECUTE ON FUNCTION rapport.create_group(text) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.rename_group(conversation_id bigint, title text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	clean text := rapport.check_group_title(rename_group.title);
	it record;
BEGIN
	SELECT h.* INTO it FROM rapport.hold_conversation(rename_group.conversation_id, me) AS h;
	IF NOT it.is_group THEN
		PERFORM rapport.fail('not_found');
	ELSIF it.role = 'member' THEN
		PERFORM rapport.fail('group_role');
	END IF;
	UPDATE rapport.conversation AS c
	SET title = clean
	WHERE c.conversation_id = rename_group.conversation_id
	AND c.title IS DISTINCT FROM clean;
	IF FOUND THEN
		PERFORM rapport.count_burst(rename_group.conversation_id, me);
		PERFORM rapport.post_event(rename_group.conversation_id, me, jsonb_build_object('type', 'title', 'title', clean));
		-- sync() tells who is invited by their rows.
		PERFORM FROM rapport.group_invitation AS i WHERE i.conversation_id = rename_group.conversation_id ORDER BY i.person_id FOR NO KEY UPDATE;
		UPDATE rapport.group_invitation AS i SET at = i.at WHERE i.conversation_id = rename_group.conversation_id;
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.rename_group(bigint, text) IS
'Gives a group another title: for its owner and its admins. Errors: too_many_messages (429, messages_per_minute: changes count as messages), missing_field, invalid_value, out_of_range (too long), group_role, not_found for what is no group of mine.';
GRANT EXECUTE ON FUNCTION rapport.rename_group(bigint, text) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.group_members(conversation_id bigint, page_size integer DEFAULT NULL, after text DEFAULT NULL)
RETURNS TABLE (person_id bigint, display_name text, role text, cursor text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	size integer := coalesce(group_members.page_size, 20);
	silent bigint[];
BEGIN
	IF size NOT BETWEEN 1 AND 100 THEN
		PERFORM rapport.fail('out_of_range', 'page_size is 1 to 100.');
	ELSIF group_members.after !~ '^[0-9]{1,16}$' THEN
		PERFORM rapport.fail('invalid_cursor');
	ELSIF NOT EXISTS (SELECT FROM rapport.open_conversation(group_members.conversation_id, me) AS o WHERE o.is_group) THEN
		PERFORM rapport.fail('not_found');
	END IF;
	silent := rapport.unheard(me);
	RETURN QUERY
	SELECT p.person_id, f.display_name, p.role, p.person_id::text
	FROM rapport.participant AS p
	LEFT JOIN rapport.profile AS f ON f.person_id = p.person_id
	WHERE p.conversation_id = group_members.conversation_id
	AND p.person_id > coalesce(group_members.after::bigint, 0)
	AND p.left_seq IS NULL
	AND p.person_id <> ALL (silent)
	ORDER BY p.person_id
	LIMIT size;
END;
$$;
COMMENT ON FUNCTION rapport.group_members(bigint, integer, text) IS
'Who is in a group of mine, and their roles: owner, admin, member. Whoever blocks me or is blocked by me is not listed. page_size is 1 to 100 (20). Errors: out_of_range, invalid_cursor, not_found for what is no group of mine.';
GRANT EXECUTE ON FUNCTION rapport.group_members(bigint, integer, text) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.invite_to_group(conversation_id bigint, person_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	it record;
BEGIN
	IF invite_to_group.person_id = me THEN
		PERFORM rapport.fail('self_target');
	END IF;
	-- A block waits here, or is seen.
	PERFORM rapport.lock_two_people(me, invite_to_group.person_id);
	SELECT h.* INTO it FROM rapport.hold_conversation(invite_to_group.conversation_id, me) AS h;
	-- Only whom one talks to: nobody is asked by strangers.
	IF NOT it.is_group
		OR NOT EXISTS (SELECT FROM rapport.member AS m
					   WHERE m.person_id = me AND m.other_id = invite_to_group.person_id AND NOT m.closed) THEN
		PERFORM rapport.fail('not_found');
	ELSIF it.role = 'member' THEN
		PERFORM rapport.fail('group_role');
	ELSIF EXISTS (SELECT FROM rapport.participant AS p
				  WHERE p.conversation_id = invite_to_group.conversation_id
				  AND p.person_id = invite_to_group.person_id
				  AND p.left_seq IS NULL) THEN
		RETURN;
	END IF;
	INSERT INTO rapport.group_invitation (person_id, conversation_id, invited_by, at)
	VALUES (invite_to_group.person_id, invite_to_group.conversation_id, me, rapport.now())
	ON CONFLICT DO NOTHING;
	IF FOUND THEN
		PERFORM rapport.count_burst(invite_to_group.conversation_id, me);
		PERFORM rapport.event_emit('p:' || invite_to_group.person_id, 'group_invitation',
								   jsonb_build_object('conversation_id', invite_to_group.conversation_id, 'invited_by', me));
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.invite_to_group(bigint, bigint) IS
'Asks somebody whom I have an open conversation with to join a group, as its owner or an admin. They answer with join_group() or decline_group(); asking again, or whoever is in it, changes nothing. Errors: too_many_messages (429, messages_per_minute: changes count as messages), self_target, group_role, not_found for what is no group of mine, and for anybody else.';
GRANT EXECUTE ON FUNCTION rapport.invite_to_group(bigint, bigint) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.group_invitations(page_size integer DEFAULT NULL, after text DEFAULT NULL)
RETURNS TABLE (conversation_id bigint, title text, invited_by bigint, display_name text, invited_at timestamp with time zone, cursor text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	size integer := rapport.match_page_size(page_size);
	scope text := 'group invitations ' || me;
	last record := rapport.place_after(scope, group_invitations.after);
BEGIN
	RETURN QUERY
	SELECT i.conversation_id, c.title, i.invited_by, p.display_name, i.at,
		   rapport.seal(scope, concat_ws(' ', (extract(epoch FROM i.at) * 1000000)::bigint, i.conversation_id))
	FROM rapport.group_invitation AS i
	JOIN rapport.conversation AS c ON c.conversation_id = i.conversation_id AND c.closed_at IS NULL
	LEFT JOIN rapport.profile AS p ON p.person_id = i.invited_by
	WHERE i.person_id = me
	AND (i.at, i.conversation_id) < (last.at, last.id)
	ORDER BY i.at DESC, i.conversation_id DESC
	LIMIT size;
END;
$$;
COMMENT ON FUNCTION rapport.group_invitations(integer, text) IS
'The groups that I am asked to join, and by whom, the newest first. page_size is 1 to 100 (20); after is the cursor of the last row of the page before. Errors: out_of_range, invalid_cursor.';
GRANT EXECUTE ON FUNCTION rapport.group_invitations(integer, text) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.join_group(conversation_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	inviter bigint;
BEGIN
	PERFORM FROM rapport.conversation AS c
	WHERE c.conversation_id = join_group.conversation_id AND c.closed_at IS NULL AND c.kind = 'group'
	FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		PERFORM rapport.fail('not_found');
	ELSIF EXISTS (SELECT FROM rapport.open_conversation(join_group.conversation_id, me) AS o) THEN
		RETURN;
	END IF;
	SELECT i.invited_by INTO inviter
	FROM rapport.group_invitation AS i
	WHERE i.person_id = me
	AND i.conversation_id = join_group.conversation_id;
	IF NOT FOUND THEN
		PERFORM rapport.fail('not_found');
	END IF;
	PERFORM rapport.group_join(join_group.conversation_id, me, 'member');
	PERFORM rapport.post_event(join_group.conversation_id, me, jsonb_build_object('type', 'joined', 'person_id', me, 'invited_by', inviter));
END;
$$;
COMMENT ON FUNCTION rapport.join_group(bigint) IS
'Joins a group that I am asked to join; what was sent before I do not see. Again is the same as once. Errors: group_full, not_found without an invitation.';
GRANT EXECUTE ON FUNCTION rapport.join_group(bigint) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.decline_group(conversation_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
BEGIN
	PERFORM rapport.withdraw(ARRAY(SELECT i FROM rapport.group_invitation AS i
								   WHERE i.person_id = me
								   AND i.conversation_id = decline_group.conversation_id
								   FOR UPDATE));
END;
$$;
COMMENT ON FUNCTION rapport.decline_group(bigint) IS 'Forgets an invitation to a group; nobody is told. Without one nothing happens.';
GRANT EXECUTE ON FUNCTION rapport.decline_group(bigint) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.leave_group(conversation_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	it record;
BEGIN
	SELECT h.* INTO it FROM rapport.hold_conversation(leave_group.conversation_id, me) AS h;
	IF NOT it.is_group THEN
		PERFORM rapport.fail('not_found');
	END IF;
	PERFORM rapport.group_leave(leave_group.conversation_id, me, me, 'left');
END;
$$;
COMMENT ON FUNCTION rapport.leave_group(bigint) IS
'Leaves a group: it is no longer mine to read, and an owner is followed by whoever has been there longest, admins first. What I wrote stays; back in takes another invitation. Errors: not_found for what is no group of mine.';
GRANT EXECUTE ON FUNCTION rapport.leave_group(bigint) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.remove_from_group(conversation_id bigint, person_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	it record;
	theirs text;
BEGIN
	IF remove_from_group.person_id = me THEN
		PERFORM rapport.fail('self_target', 'leave_group() is for oneself.');
	END IF;
	SELECT h.* INTO it FROM rapport.hold_conversation(remove_from_group.conversation_id, me) AS h;
	SELECT p.role INTO theirs
	FROM rapport.participant AS p
	WHERE p.conversation_id = remove_from_group.conversation_id
	AND p.person_id = remove_from_group.person_id
	AND p.left_seq IS NULL;
	IF NOT it.is_group OR theirs IS NULL THEN
		PERFORM rapport.fail('not_found');
	ELSIF it.role = 'member' OR it.role = 'admin' AND theirs <> 'member' THEN
		PERFORM rapport.fail('group_role');
	END IF;
	-- Both rows that are written, in the order in which a block between the two takes them.
	PERFORM FROM rapport.member AS m
	WHERE m.conversation_id = remove_from_group.conversation_id
	AND m.person_id IN (me, remove_from_group.person_id)
	ORDER BY m.person_id
	FOR NO KEY UPDATE;
	PERFORM rapport.count_burst(remove_from_group.conversation_id, me);
	PERFORM rapport.group_leave(remove_from_group.conversation_id, remove_from_group.person_id, me, 'removed');
END;
$$;
COMMENT ON FUNCTION rapport.remove_from_group(bigint, bigint) IS
'Takes somebody out of a group, at once: the owner anybody, an admin whoever has no role. Errors: too_many_messages (429, messages_per_minute: changes count as messages), self_target, group_role, not_found for who is not in it and for what is no group of mine.';
GRANT EXECUTE ON FUNCTION rapport.remove_from_group(bigint, bigint) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.set_group_role(conversation_id bigint, person_id bigint, role text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	it record;
BEGIN
	IF set_group_role.role IS NULL THEN
		PERFORM rapport.fail('missing_field', 'role is required.');
	ELSIF set_group_role.role NOT IN ('owner', 'admin', 'member') THEN
		PERFORM rapport.fail('invalid_value', 'role is owner, admin or member.');
	ELSIF set_group_role.person_id = me THEN
		PERFORM rapport.fail('self_target', 'To be followed by somebody, make them the owner.');
	END IF;
	SELECT h.* INTO it FROM rapport.hold_conversation(set_group_role.conversation_id, me) AS h;
	IF NOT it.is_group
		OR NOT EXISTS (SELECT FROM rapport.participant AS p
					   WHERE p.conversation_id = set_group_role.conversation_id
					   AND p.person_id = set_group_role.person_id
					   AND p.left_seq IS NULL) THEN
		PERFORM rapport.fail('not_found');
	ELSIF it.role <> 'owner' THEN
		PERFORM rapport.fail('group_role');
	END IF;
	UPDATE rapport.participant AS p
	SET role = set_group_role.role
	WHERE p.conversation_id = set_group_role.conversation_id
	AND p.person_id = set_group_role.person_id
	AND p.role <> set_group_role.role;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	PERFORM rapport.count_burst(set_group_role.conversation_id, me);
	IF set_group_role.role = 'owner' THEN
		UPDATE rapport.participant AS p
		SET role = 'admin'
		WHERE p.conversation_id = set_group_role.conversation_id
		AND p.person_id = me;
	END IF;
	PERFORM rapport.post_event(set_group_role.conversation_id, me,
							   jsonb_build_object('type', 'role', 'person_id', set_group_role.person_id, 'role', set_group_role.role));
END;
$$;
COMMENT ON FUNCTION rapport.set_group_role(bigint, bigint, text) IS
'Gives somebody in my group another role, as its owner: admin, member, or owner, which makes me an admin. Errors: too_many_messages (429, messages_per_minute: changes count as messages), missing_field, invalid_value, self_target, group_role, not_found for who is not in it and for what is no group of mine.';
GRANT EXECUTE ON FUNCTION rapport.set_group_role(bigint, bigint, text) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.add_to_group_for(conversation_id bigint, person_ids bigint[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	other bigint;
	added bigint := 0;
BEGIN
	IF add_to_group_for.person_ids IS NULL OR cardinality(add_to_group_for.person_ids) NOT BETWEEN 1 AND 1000
		OR EXISTS (SELECT FROM unnest(add_to_group_for.person_ids) AS i WHERE i IS NULL) THEN
		PERFORM rapport.fail('out_of_range', 'person_ids has 1 to 1000 of them, and none is null.');
	END IF;
	PERFORM rapport.hold_person(x.id) FROM (SELECT DISTINCT i AS id FROM unnest(add_to_group_for.person_ids) AS i ORDER BY i) AS x;
	PERFORM FROM rapport.conversation AS c
	WHERE c.conversation_id = add_to_group_for.conversation_id AND c.closed_at IS NULL AND c.kind = 'group'
	FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		PERFORM rapport.fail('not_found');
	END IF;
	FOR other IN
		SELECT DISTINCT i FROM unnest(add_to_group_for.person_ids) AS i
		WHERE NOT EXISTS (SELECT FROM rapport.participant AS p
						  WHERE p.conversation_id = add_to_group_for.conversation_id AND p.person_id = i AND p.left_seq IS NULL)
		ORDER BY i
	LOOP
		PERFORM rapport.group_join(add_to_group_for.conversation_id, other, 'member');
		added := added + 1;
	END LOOP;
	RETURN added;
END;
$$;
COMMENT ON FUNCTION rapport.add_to_group_for(bigint, bigint[]) IS
'Takes 1 to 1000 people into a group without asking them or telling it in a message, such as those of an event; how many were not in it. For back ends. Errors: out_of_range, group_full, not_found for what is no group and for ids that nobody has.';
GRANT EXECUTE ON FUNCTION rapport.add_to_group_for(bigint, bigint[]) TO rapport_service;
