-- Sealing: what is read stays what it was, byte for byte, in fewer bytes.
-- Releases of psql do not agree on how wide an emoji is.
\pset format unaligned
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS rapport CASCADE;
SET rapport.now = '2031-01-01 12:00Z';
-- What other tests have left.
SELECT rapport.seal_messages(1000000), rapport.seal_messages(1000000) \g /dev/null

CREATE SCHEMA seal;
CREATE TABLE seal.was (LIKE rapport.message);
CREATE VIEW seal.is AS
SELECT m.*
FROM rapport.conversation AS c
CROSS JOIN LATERAL rapport.message_range(c.conversation_id, 1, 9223372036854775807) AS m;
-- The rows that only one of the two has: none when nothing is lost, changed or made up.
CREATE VIEW seal.difference AS
(TABLE seal.was EXCEPT ALL SELECT i.* FROM seal.is AS i WHERE i.conversation_id IN (SELECT w.conversation_id FROM seal.was AS w))
UNION ALL
(SELECT i.* FROM seal.is AS i WHERE i.conversation_id IN (SELECT w.conversation_id FROM seal.was AS w) EXCEPT ALL TABLE seal.was);
CREATE VIEW seal.stored AS
SELECT c.conversation_id, (SELECT count(*) FROM rapport.message AS m WHERE m.conversation_id = c.conversation_id) AS rows,
	   ARRAY(SELECT DISTINCT b.first_seq FROM rapport.message_block AS b WHERE b.conversation_id = c.conversation_id ORDER BY 1) AS blocks
FROM rapport.conversation AS c
WHERE c.conversation_id IN (SELECT w.conversation_id FROM seal.was AS w);

-- Every kind of message: texts of all sizes and scripts, none, erased ones, names that are UUIDs
-- and others, attributes, flags, many senders, times in any order.
CREATE FUNCTION seal.fill(conversation bigint, from_seq bigint, n integer, at timestamp with time zone) RETURNS void
BEGIN ATOMIC
	INSERT INTO rapport.conversation (conversation_id, kind, created_at, last_seq)
	SELECT conversation, 'direct', at, from_seq + n - 1;
	INSERT INTO rapport.message (conversation_id, seq, sender_id, sent_at, flags, client_id, body, attrs)
	SELECT conversation, from_seq + i,
		   CASE WHEN conversation = 102 THEN 4503599627370000 + i % 200 ELSE 4503599627370496 + i % 2 END,
		   at + i * interval '1 minute 1.000001 seconds' - (i % 3) * interval '1 hour',
		   CASE i % 11 WHEN 3 THEN 1 WHEN 4 THEN -2147483648 WHEN 5 THEN 2147483647 ELSE 0 END,
		   CASE i % 8
			   WHEN 5 THEN (i * 3.7e15)::bigint::text
			   WHEN 6 THEN '0' || repeat('9', i % 20)
			   WHEN 0 THEN md5('a' || i)::uuid::text
			   WHEN 1 THEN upper(md5('b' || i)::uuid::text)
			   WHEN 2 THEN replace(md5('c' || i)::uuid::text, '-', '_')
			   WHEN 3 THEN 'name-' || i
			   WHEN 4 THEN repeat('~', 64)
		   END,
		   CASE i % 9
			   WHEN 0 THEN 'Shall we meet at the café by the river around six?'
			   WHEN 1 THEN U&'\+01F469\200D\+01F4BB e\0301 \05E9\05DC\05D5\05DD \0645\0631\062D\0628\0627 \4F60\597D'
			   WHEN 2 THEN repeat(md5(i::text), 256)
			   WHEN 3 THEN NULL
			   WHEN 4 THEN E'\t\n\\ "quoted" \x01\x7f'
			   WHEN 5 THEN repeat(U&'\00FC', 4096)
			   ELSE 'text ' || i
		   END,
		   CASE i % 7
			   WHEN 0 THEN '{"place": [52.50, -13.4], "deep": {"a": null, "b": [true, {"ü": 1e10}]}, "n": 12345678901234567890.10}'::jsonb
			   WHEN 1 THEN 'null'::jsonb
		   END
	FROM generate_series(0, n - 1) AS i;
END;
SELECT seal.fill(101, 1, 300, '2030-06-01 12:00Z');
SELECT seal.fill(102, 1, 256, '2030-06-01 12:00Z');
-- Numbers as far as they go in any client.
SELECT seal.fill(103, 9007199254740991 - 200, 200, '2030-06-01 12:00Z');
SELECT seal.fill(104, 1, 1, '2030-06-01 12:00Z');
-- The last 100 are too new.
SELECT seal.fill(105, 1, 400, rapport.now() - interval '7 days' - 300 * interval '1 minute 1.000001 seconds');
SELECT seal.fill(106, 1, 10, rapport.now() - interval '1 day');
INSERT INTO seal.was SELECT * FROM rapport.message WHERE conversation_id BETWEEN 101 AND 106;

-- In batches: whole ranges, until nothing is left.
VACUUM ANALYZE rapport.message_block;
SELECT rapport.seal_messages(1);
SELECT done_to FROM rapport.chat_pass WHERE job = 'seal_messages';
-- In one session, which plans when there is next to nothing: by key all the same.
BEGIN;
SELECT rapport.seal_messages(400);
SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relid = 'rapport.message_block'::regclass;
COMMIT;
SELECT rapport.seal_messages(0);
SELECT rapport.seal_messages();
SELECT rapport.seal_messages();
SELECT * FROM seal.stored ORDER BY 1;
SELECT * FROM seal.difference;
SELECT count(*) FROM seal.is WHERE conversation_id BETWEEN 101 AND 106;

-- Any range, in order, across blocks and rows.
CREATE FUNCTION seal.range(conversation bigint, a bigint, b bigint) RETURNS bigint[]
BEGIN ATOMIC
	SELECT ARRAY(SELECT m.seq FROM rapport.message_range(conversation, a, b) AS m);
END;
SELECT seal.range(101, 127, 131), seal.range(101, 300, 9223372036854775807), seal.range(101, 301, 400), seal.range(101, 5, 4), seal.range(101, -5, 2),
	   seal.range(105, 255, 258), seal.range(103, 9007199254740989, 9007199254740991), seal.range(999, 1, 10), seal.range(101, NULL, 10);
SELECT count(*)
FROM generate_series(0, 400, 7) AS a, generate_series(a, 410, 13) AS b
WHERE seal.range(105, a, b) <> ARRAY(SELECT generate_series(greatest(a, 1), least(b, 400))::bigint);
SELECT count(*) FROM rapport.message_range(101, 1, 300) AS m WHERE m.body = repeat(U&'\00FC', 4096);

-- The client reads on, and writes.
INSERT INTO rapport.participant (conversation_id, person_id) SELECT 101, rapport.new_person();
SELECT person_id AS me FROM rapport.participant WHERE conversation_id = 101 \gset
INSERT INTO rapport.member (person_id, conversation_id, last_seq, last_at) VALUES (:me, 101, 300, '2030-06-01 12:00Z');
SELECT rapport.act_as(:me) \g /dev/null
SELECT seq, left(body, 20) AS body, attrs FROM rapport.messages(101, 3);
SELECT seq, left(body, 20) AS body FROM rapport.messages(101, 2, 130);
SELECT seq FROM rapport.messages(101, 2, NULL, 127);
SELECT last_seq, left(last_message, 20) AS last_message FROM rapport.conversations();
SELECT seq, duplicate FROM rapport.send_message(101, 'new', 'a new one');
SELECT seq, left(body, 20) AS body FROM rapport.messages(101, 3);
SELECT rapport.act_as(NULL) \g /dev/null
INSERT INTO seal.was SELECT * FROM rapport.message WHERE conversation_id = 101;
SELECT * FROM seal.difference;

-- The end of a conversation that rested is sealed again with what came, when that is old enough.
SELECT rapport.seal_messages();
SET rapport.now = '2031-01-20 12:00Z';
SELECT sum(rapport.seal_messages()) FROM generate_series(1, 3);
SELECT * FROM seal.stored ORDER BY 1;
SELECT * FROM seal.difference;

-- Who was away hears of what was sealed meanwhile.
BEGIN;
INSERT INTO rapport.participant (conversation_id, person_id) SELECT 101, rapport.new_person();
SELECT person_id AS other FROM rapport.participant WHERE conversation_id = 101 AND person_id <> :me \gset
INSERT INTO rapport.member (person_id, conversation_id, other_id, last_seq, last_at) VALUES (:other, 101, :me, 301, rapport.now());
UPDATE rapport.member SET other_id = :other WHERE person_id = :me AND conversation_id = 101;
COMMIT;
SELECT rapport.act_as(:me) \g /dev/null
SELECT next AS since FROM rapport.sync() \gset
SELECT rapport.act_as(:other) \g /dev/null
SELECT seq FROM rapport.send_message(101, 'away', 'while you were away');
SELECT rapport.act_as(NULL) \g /dev/null
SET rapport.now = '2031-02-20 12:00Z';
INSERT INTO seal.was SELECT * FROM rapport.message WHERE conversation_id = 101;
SELECT rapport.seal_messages() > 0 AS sealed;
SELECT rapport.act_as(:other) \g /dev/null
SELECT seq FROM rapport.send_message(101, 'back', 'are you back?');
SELECT rapport.act_as(:me) \g /dev/null
SELECT i ->> 'seq' AS seq, i ->> 'body' AS body FROM rapport.sync(:'since') AS s, jsonb_array_elements(s.items) AS i WHERE i ->> 'kind' = 'message';
SELECT rapport.act_as(NULL) \g /dev/null
INSERT INTO seal.was SELECT * FROM rapport.message WHERE conversation_id = 101;
SET rapport.now = '2031-03-20 12:00Z';
SELECT rapport.seal_messages() > 0 AS sealed;

-- Changing a message: its block becomes rows, and a block again.
BEGIN;
SELECT rapport.open_sealed(101, 128, 129);
SELECT * FROM seal.stored WHERE conversation_id = 101;
SELECT * FROM seal.difference;
SELECT seal.range(101, 126, 131);
UPDATE rapport.message SET body = 'edited' WHERE conversation_id = 101 AND seq = 129;
SELECT w.seq, i.body FROM seal.was AS w JOIN seal.is AS i USING (conversation_id, seq) WHERE w.body IS DISTINCT FROM i.body;
SELECT rapport.seal_messages();
SELECT * FROM seal.stored WHERE conversation_id = 101;
SELECT w.seq, i.body FROM seal.was AS w JOIN seal.is AS i USING (conversation_id, seq) WHERE w.body IS DISTINCT FROM i.body;
-- A message that is gone altogether.
SELECT rapport.open_sealed(101, 5, 5);
DELETE FROM rapport.message WHERE conversation_id = 101 AND seq IN (1, 5, 6, 128);
SELECT rapport.seal_messages();
SELECT seal.range(101, 1, 8), seal.range(101, 126, 131);
ROLLBACK;

-- Too much for one block: stays as it is, and is not in the way of the others.
BEGIN;
SELECT seal.fill(107, 1, 260, '2030-06-01 12:00Z');
UPDATE rapport.message SET attrs = jsonb_build_object('x', repeat('x', 40000)) WHERE conversation_id = 107 AND seq <= 128;
SELECT sum(rapport.seal_messages()) FROM generate_series(1, 3);
SELECT (SELECT count(*) FROM rapport.message WHERE conversation_id = 107), ARRAY(SELECT DISTINCT first_seq FROM rapport.message_block WHERE conversation_id = 107 ORDER BY 1),
	   (SELECT count(*) FROM rapport.message_range(107, 1, 260));
ROLLBACK;

-- Damage is told, whichever byte it is in, and never read: each byte of a block flipped, each
-- part missing, parts and blocks in the wrong place.
CREATE FUNCTION seal.outcome(conversation bigint, first bigint, data bytea) RETURNS text
LANGUAGE plpgsql
AS $$
BEGIN
	RETURN CASE WHEN EXISTS (SELECT b.* FROM rapport.block_messages(conversation, first, data) AS b EXCEPT ALL SELECT w.* FROM seal.was AS w)
				THEN 'wrong' ELSE 'right' END;
EXCEPTION WHEN data_corrupted THEN
	RETURN 'data_corrupted';
END;
$$;
CREATE VIEW seal.block AS
SELECT b.conversation_id, b.first_seq, string_agg(b.data, '' ORDER BY b.part) AS data, count(*) AS parts
FROM rapport.message_block AS b
GROUP BY b.conversation_id, b.first_seq;
SELECT seal.outcome(b.conversation_id, b.first_seq, b.data), count(*) FROM seal.block AS b WHERE b.conversation_id BETWEEN 101 AND 106 GROUP BY 1;
SELECT seal.outcome(105, 385, set_byte(b.data, i, get_byte(b.data, i) # (1 << i % 8))), count(*) = octet_length(b.data) AS of_all
FROM seal.block AS b, generate_series(0, octet_length(b.data) - 1) AS i
WHERE b.conversation_id = 105 AND b.first_seq = 385
GROUP BY 1, b.data;
SELECT seal.outcome(105, 385, substr(b.data, 1, i)), count(*) = octet_length(b.data) AS of_all
FROM seal.block AS b, generate_series(0, octet_length(b.data) - 1) AS i
WHERE b.conversation_id = 105 AND b.first_seq = 385
GROUP BY 1, b.data;
SELECT seal.outcome(106, 385, data), seal.outcome(105, 257, data), seal.outcome(105, 385, data || '\x00'), seal.outcome(105, 385, '')
FROM seal.block WHERE conversation_id = 105 AND first_seq = 385;
BEGIN;
UPDATE rapport.message_block SET data = set_byte(data, 1000, get_byte(data, 1000) # 16) WHERE conversation_id = 101 AND first_seq = 129 AND part = 1;
\set VERBOSITY sqlstate
SELECT seal.range(101, 128, 129);
\set VERBOSITY default
ROLLBACK;
BEGIN;
UPDATE rapport.message_block SET data = set_byte(data, 1000, get_byte(data, 1000) # 16) WHERE conversation_id = 101 AND first_seq = 129 AND part = 1;
-- The others are read.
SELECT seal.range(101, 127, 128), seal.range(101, 257, 258);
SELECT rapport.open_sealed(101, 200, 200);
ROLLBACK;
BEGIN;
DELETE FROM rapport.message_block WHERE conversation_id = 101 AND first_seq = 129 AND part = 1;
SELECT seal.range(101, 128, 129);
ROLLBACK;
-- A version to come.
SELECT rapport.block_messages(101, 1, '\x02618dff9b0000');

-- What is no block of one range is not made.
SELECT rapport.block_of(ARRAY[]::rapport.message[]);
SELECT rapport.block_of(array_agg(m ORDER BY m.seq)) FROM rapport.message_range(101, 128, 129) AS m;
SELECT rapport.block_of(array_agg(m ORDER BY m.seq DESC)) FROM rapport.message_range(101, 1, 2) AS m;

-- Services alone seal.
SET ROLE rapport_user;
SELECT rapport.seal_messages();
SELECT rapport.message_range(101, 1, 2);
RESET ROLE;
SET ROLE rapport_service;
SELECT rapport.seal_messages();
RESET ROLE;

SELECT * FROM seal.difference;
DELETE FROM rapport.message_block WHERE conversation_id BETWEEN 101 AND 106;
DELETE FROM rapport.message WHERE conversation_id BETWEEN 101 AND 106;
SELECT rapport.erase_person_for(:me), rapport.erase_person_for(:other) \g /dev/null
DELETE FROM rapport.conversation WHERE conversation_id BETWEEN 101 AND 106;
DROP SCHEMA seal CASCADE;
