-- chat: where messages are kept. All reading and rewriting of them goes through here.

CREATE OR REPLACE FUNCTION rapport.message_range(conversation_id bigint, first_seq bigint, last_seq bigint)
RETURNS SETOF rapport.message
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
	RETURN QUERY
	SELECT m.*
	FROM rapport.message AS m
	WHERE m.conversation_id = message_range.conversation_id
	AND m.seq BETWEEN message_range.first_seq AND message_range.last_seq
	ORDER BY m.seq;
END;
$$;
COMMENT ON FUNCTION rapport.message_range(bigint, bigint, bigint) IS
'The messages first_seq to last_seq of a conversation, in their order. A building block: whoever calls it has checked who may read them.';

CREATE OR REPLACE FUNCTION rapport.open_sealed(conversation_id bigint, first_seq bigint, last_seq bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	-- Every message is a row of its own until ranges are sealed.
END;
$$;
COMMENT ON FUNCTION rapport.open_sealed(bigint, bigint, bigint) IS
'Makes the messages first_seq to last_seq of a conversation rows of rapport.message, to be changed or removed. The caller holds the lock of the conversation''s row.';
