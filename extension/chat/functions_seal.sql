-- chat: where messages are kept. All reading and rewriting of them goes through here.

INSERT INTO rapport.distribution (tab, grp, col) VALUES
	('rapport.message_block', 'C', 'conversation_id'),
	('rapport.chat_pass', 'R', NULL);
INSERT INTO rapport.personal_data (tab, col, class, on_erase, reason, withheld) VALUES
	('rapport.message_block', 'conversation_id', 'none', 'keep', 'a number of its own', NULL),
	('rapport.message_block', 'first_seq', 'none', 'keep', 'the numbers of a conversation have no gaps', NULL),
	('rapport.message_block', 'part', 'none', 'keep', 'how a block is stored', NULL),
	('rapport.message_block', 'data', 'content', 'keep', 'what an erased person said is taken out before', 'your messages in it are in message'),
	('rapport.chat_pass', 'job', 'none', 'keep', 'the name of a function', NULL),
	('rapport.chat_pass', 'done_to', 'none', 'keep', 'a place in the order of ids', NULL);
INSERT INTO rapport.subject (tab, col, own, find) VALUES
	('rapport.message_block', 'conversation_id', true,
	 't.conversation_id IN (SELECT m.conversation_id FROM rapport.member AS m WHERE m.person_id = ANY ($1))');

-- In C: looks for blocks only where rows are missing.
CREATE OR REPLACE FUNCTION rapport.message_range(conversation_id bigint, first_seq bigint, last_seq bigint)
RETURNS SETOF rapport.message
LANGUAGE c STABLE PARALLEL SAFE STRICT ROWS 20
AS 'MODULE_PATHNAME', 'chat_message_range';
COMMENT ON FUNCTION rapport.message_range(bigint, bigint, bigint) IS
'The messages first_seq to last_seq of a conversation, in their order, whether sealed or not. A building block: whoever calls it has checked who may read them. Errors: data_corrupted where a block is damaged.';

CREATE OR REPLACE FUNCTION rapport.block_messages(conversation_id bigint, first_seq bigint, data bytea)
RETURNS SETOF rapport.message
LANGUAGE c STABLE PARALLEL SAFE STRICT ROWS 128
AS 'MODULE_PATHNAME', 'chat_block_messages';
COMMENT ON FUNCTION rapport.block_messages(bigint, bigint, bytea) IS
'The messages of a block of that conversation whose range begins at first_seq; data is all its parts, in their order. Errors: data_corrupted.';

CREATE OR REPLACE FUNCTION rapport.block_of(messages rapport.message[]) RETURNS bytea
LANGUAGE c STABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'chat_block_of';
COMMENT ON FUNCTION rapport.block_of(rapport.message[]) IS
'A block of the messages of one range of a conversation, in their order; NULL where their texts take more than 4 MB.';

CREATE OR REPLACE FUNCTION rapport.open_sealed(conversation_id bigint, first_seq bigint, last_seq bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	-- Until the transaction ends nobody seals what is about to be changed.
	PERFORM FROM rapport.conversation AS c WHERE c.conversation_id = open_sealed.conversation_id FOR NO KEY UPDATE;
	WITH part AS (
		DELETE FROM rapport.message_block AS b
		WHERE b.conversation_id = open_sealed.conversation_id
		AND b.first_seq BETWEEN open_sealed.first_seq - (open_sealed.first_seq - 1) % 128 AND open_sealed.last_seq
		RETURNING b.first_seq, b.part, b.data)
	INSERT INTO rapport.message
	SELECT m.*
	FROM (SELECT p.first_seq, string_agg(p.data, '' ORDER BY p.part) AS data FROM part AS p GROUP BY p.first_seq) AS b
	CROSS JOIN LATERAL rapport.block_messages(open_sealed.conversation_id, b.first_seq, b.data) AS m;
END;
$$;
COMMENT ON FUNCTION rapport.open_sealed(bigint, bigint, bigint) IS
'Makes the messages first_seq to last_seq of a conversation rows of rapport.message, to be changed or removed, with those that were sealed together with them. Locks the conversation until the transaction ends. Errors: data_corrupted where a block is damaged.';

CREATE OR REPLACE FUNCTION rapport.open_sealed_of(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	block record;
BEGIN
	FOR block IN
		SELECT b.conversation_id, b.first_seq
		FROM (SELECT x.conversation_id, x.first_seq, string_agg(x.data, '' ORDER BY x.part) AS data
			  FROM rapport.message_block AS x
			  WHERE x.conversation_id = ANY (ARRAY(SELECT m.conversation_id FROM rapport.member AS m WHERE m.person_id = ANY (ids)))
			  GROUP BY x.conversation_id, x.first_seq) AS b
		WHERE EXISTS (SELECT FROM rapport.block_messages(b.conversation_id, b.first_seq, b.data) AS s WHERE s.sender_id = ANY (ids))
	LOOP
		PERFORM rapport.open_sealed(block.conversation_id, block.first_seq, block.first_seq);
	END LOOP;
END;
$$;
COMMENT ON FUNCTION rapport.open_sealed_of(bigint[]) IS
'Makes rows of the blocks with messages that these people sent. The caller holds the locks of their conversations. Errors: data_corrupted.';

CREATE OR REPLACE FUNCTION rapport.seal_conversation(conversation_id bigint, before timestamp with time zone, most bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	part_size constant integer := 1776;	-- four of them and the rest of a block fill a page
	range_first bigint;
	next_seq bigint := 1;
	newest timestamp with time zone;
	messages rapport.message[];
	block bytea;
	sealed bigint := 0;
BEGIN
	-- Who changes messages, or sends, holds the row.
	PERFORM FROM rapport.conversation AS c
	WHERE c.conversation_id = seal_conversation.conversation_id
	FOR NO KEY UPDATE SKIP LOCKED;
	IF NOT FOUND THEN
		RETURN 0;
	END IF;
	WHILE sealed < most LOOP
		SELECT m.seq INTO next_seq
		FROM rapport.message AS m
		WHERE m.conversation_id = seal_conversation.conversation_id
		AND m.seq >= next_seq
		ORDER BY m.seq
		LIMIT 1;
		EXIT WHEN NOT FOUND;
		range_first := next_seq - (next_seq - 1) % 128;
		SELECT m.sent_at INTO newest
		FROM rapport.message AS m
		WHERE m.conversation_id = seal_conversation.conversation_id
		AND m.seq BETWEEN next_seq AND range_first + 127
		ORDER BY m.seq DESC
		LIMIT 1;
		EXIT WHEN newest >= before;
		-- The end of a conversation that rested may be sealed; now there is more.
		PERFORM rapport.open_sealed(seal_conversation.conversation_id, range_first, range_first);
		SELECT array_agg(m ORDER BY m.seq) INTO messages
		FROM rapport.message AS m
		WHERE m.conversation_id = seal_conversation.conversation_id
		AND m.seq BETWEEN range_first AND range_first + 127;
		block := rapport.block_of(messages);
		IF block IS NOT NULL THEN
			DELETE FROM rapport.message AS m
			WHERE m.conversation_id = seal_conversation.conversation_id
			AND m.seq BETWEEN range_first AND range_first + 127;
			INSERT INTO rapport.message_block (conversation_id, first_seq, part, data)
			SELECT seal_conversation.conversation_id, range_first, part, substr(block, 1 + part * part_size, part_size)
			FROM generate_series(0, (octet_length(block) - 1) / part_size) AS part;
			sealed := sealed + cardinality(messages);
		END IF;
		next_seq := range_first + 128;
	END LOOP;
	RETURN sealed;
END;
$$;
COMMENT ON FUNCTION rapport.seal_conversation(bigint, timestamp with time zone, bigint) IS
'Seals the ranges of a conversation whose newest message is older than before, the oldest first, until it has sealed so many messages; how many. The last range need not be full: more is sealed with it once that is old enough. Nothing where somebody is sending or changing messages just now.';

CREATE OR REPLACE FUNCTION rapport.seal_messages(batch integer DEFAULT 10000) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
	before timestamp with time zone := rapport.now() - make_interval(days => rapport.setting_int('message_dedupe_days'));
	began bigint;
	done bigint;
	looked_to bigint;
	talks bigint[];
	talk bigint;
	sealed bigint := 0;
BEGIN
	began := rapport.begin_pass('seal_messages');
	done := began;
	<<pass>>
	LOOP
		-- The oldest row of a conversation tells whether its range is due.
		SELECT max(c.conversation_id), array_agg(c.conversation_id ORDER BY c.conversation_id) FILTER (WHERE newest.sent_at < before)
		INTO looked_to, talks
		FROM (SELECT x.conversation_id
			  FROM rapport.conversation AS x
			  WHERE x.conversation_id > done
			  ORDER BY x.conversation_id
			  LIMIT 1000) AS c
		LEFT JOIN LATERAL (SELECT m.seq
						   FROM rapport.message AS m
						   WHERE m.conversation_id = c.conversation_id
						   ORDER BY m.seq
						   LIMIT 1) AS oldest ON true
		LEFT JOIN LATERAL (SELECT m.sent_at
						   FROM rapport.message AS m
						   WHERE m.conversation_id = c.conversation_id
						   AND m.seq BETWEEN oldest.seq AND oldest.seq - (oldest.seq - 1) % 128 + 127
						   ORDER BY m.seq DESC
						   LIMIT 1) AS newest ON true;
		IF looked_to IS NULL THEN
			done := 0;
			-- What came before may be due by now.
			EXIT WHEN sealed > 0 OR began = 0;
			began := 0;
			CONTINUE;
		END IF;
		FOREACH talk IN ARRAY coalesce(talks, '{}') LOOP
			sealed := sealed + rapport.seal_conversation(talk, before, batch - sealed);
			IF sealed >= batch THEN
				-- It may have more.
				done := talk - 1;
				EXIT pass;
			END IF;
		END LOOP;
		done := looked_to;
	END LOOP;
	UPDATE rapport.chat_pass SET done_to = done WHERE job = 'seal_messages';
	RETURN sealed;
END;
$$;
COMMENT ON FUNCTION rapport.seal_messages(integer) IS
'Seals messages older than the setting message_dedupe_days: ranges of 128 of a conversation become compressed blocks, a fifth of the size, which are read, changed and erased as before. Stops at the first range that makes batch messages; how many it sealed. For a maintenance job: call it, each time in a transaction of its own, until it returns 0. Who sends to a conversation that is being sealed waits until that transaction ends; conversations in which somebody is writing just then are left for the next time.';
GRANT EXECUTE ON FUNCTION rapport.seal_messages(integer) TO rapport_service;
