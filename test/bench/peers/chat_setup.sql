-- Conversations for chat.sh: one person a client, each in conversations of
-- their own, under numbers that a script can make up.
SET client_min_messages = warning;
ALTER SYSTEM SET commit_delay = 1000;
ALTER SYSTEM SET commit_siblings = 1;
ALTER SYSTEM SET synchronous_commit = on;
SELECT pg_reload_conf() \g /dev/null
CREATE EXTENSION rapport CASCADE;
SELECT rapport.set_setting('messages_per_minute', '0') \g /dev/null

CREATE TABLE sender AS
SELECT client, rapport.new_person() AS person_id
FROM generate_series(0, :clients - 1) AS client;
CREATE TABLE talk AS
SELECT s.client * :conversations + n AS conversation_id, s.person_id, rapport.new_person() AS other_id
FROM sender AS s
CROSS JOIN generate_series(1, :conversations) AS n;
INSERT INTO rapport.conversation (conversation_id, kind, created_at)
SELECT conversation_id, 'direct', rapport.now() FROM talk;
INSERT INTO rapport.participant (conversation_id, person_id)
SELECT conversation_id, unnest(ARRAY[person_id, other_id]) FROM talk;
INSERT INTO rapport.member (person_id, conversation_id, other_id, last_at)
SELECT person_id, conversation_id, other_id, rapport.now() FROM talk
UNION ALL
SELECT other_id, conversation_id, person_id, rapport.now() FROM talk;

-- A group of 10,000, and who writes to it.
CREATE TABLE crowd AS SELECT rapport.new_person() AS person_id, NULL::bigint AS conversation_id;
GRANT SELECT ON crowd TO rapport_user;
SELECT rapport.act_as(person_id) FROM crowd \g /dev/null
SELECT conversation_id AS crowd FROM rapport.create_group('everybody') \gset
SELECT rapport.act_as(NULL) \g /dev/null
UPDATE crowd SET conversation_id = :crowd;
SELECT rapport.group_join(:crowd, rapport.new_person(), 'member') FROM generate_series(2, 10000) \g /dev/null

-- The peer: the same row into a table with the same key, numbered by a sequence.
CREATE TABLE plain_message (
	conversation_id bigint NOT NULL,
	seq bigint NOT NULL,
	sender_id bigint NOT NULL,
	sent_at timestamp with time zone NOT NULL,
	flags integer NOT NULL DEFAULT 0,
	client_id text,
	body text,
	attrs jsonb,
	PRIMARY KEY (conversation_id, seq)
);
CREATE SEQUENCE plain_seq CACHE 100;
VACUUM ANALYZE;
