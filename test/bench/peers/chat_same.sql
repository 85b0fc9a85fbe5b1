\if :started = 0
SELECT person_id AS me FROM sender WHERE client = :client_id \gset
\set started 1
\endif
\set n random(1, :conversations)
\set conversation :client_id * :conversations + :n
\set name random(1, 1000000000000000)
\startpipeline
BEGIN;
UPDATE rapport.conversation SET last_seq = last_seq + 1 WHERE conversation_id = :conversation AND closed_at IS NULL;
INSERT INTO rapport.message_dedupe (conversation_id, sender_id, client_id, seq, body_hash, at)
SELECT conversation_id, :me, :name::text, last_seq, hashtextextended('Shall we meet at the cafe by the river around six?', 0), now()
FROM rapport.conversation WHERE conversation_id = :conversation;
INSERT INTO rapport.message (conversation_id, seq, sender_id, sent_at, client_id, body)
SELECT conversation_id, last_seq, :me, now(), :name::text, 'Shall we meet at the cafe by the river around six?'
FROM rapport.conversation WHERE conversation_id = :conversation;
UPDATE rapport.member AS m
SET last_seq = c.last_seq, last_at = now(), read_seq = CASE m.person_id WHEN :me THEN c.last_seq ELSE m.read_seq END
FROM rapport.conversation AS c, rapport.participant AS p
WHERE c.conversation_id = :conversation AND p.conversation_id = :conversation
AND m.conversation_id = :conversation AND m.person_id = p.person_id;
COMMIT;
\endpipeline
