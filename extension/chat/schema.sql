-- chat: conversations, their messages, and each person's own side of them.

CREATE TABLE rapport.conversation (
	conversation_id bigint PRIMARY KEY,
	kind text NOT NULL,
	last_seq bigint NOT NULL DEFAULT 0,
	created_at timestamp with time zone NOT NULL,
	closed_at timestamp with time zone
) WITH (fillfactor = 70);
COMMENT ON TABLE rapport.conversation IS
'A conversation. Its row is the lock that puts sends in order; no mutable column is indexed, so updates stay HOT.';
-- No CHECK on kind: the server would parse it anew for every send.
COMMENT ON COLUMN rapport.conversation.kind IS 'direct: between the two people of a match.';
COMMENT ON COLUMN rapport.conversation.last_seq IS 'The number of the last message: numbers have no gaps, and their order is the order of commits.';
COMMENT ON COLUMN rapport.conversation.closed_at IS
'Since when a block or an unmatch hides the conversation from both; NULL while it is open.';
SELECT pg_catalog.pg_extension_config_dump('rapport.conversation', '');

CREATE TABLE rapport.participant (
	conversation_id bigint NOT NULL REFERENCES rapport.conversation,
	person_id bigint NOT NULL,
	joined_seq bigint NOT NULL DEFAULT 0,
	left_seq bigint,
	PRIMARY KEY (conversation_id, person_id)
);
COMMENT ON TABLE rapport.participant IS 'Who may read and write a conversation; kept beside it, so a send asks nobody else.';
COMMENT ON COLUMN rapport.participant.joined_seq IS 'The last message before this person came: later ones are theirs to read.';
COMMENT ON COLUMN rapport.participant.left_seq IS 'The last message before this person left; NULL for who takes part.';
SELECT pg_catalog.pg_extension_config_dump('rapport.participant', '');

-- No foreign key: the send that writes a row holds the lock of its conversation.
CREATE TABLE rapport.message (
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
COMMENT ON TABLE rapport.message IS
'The messages. Exactly eight columns: a ninth that may be null costs eight bytes a row.';
COMMENT ON COLUMN rapport.message.sent_at IS 'When the transaction of the send began; seq, not this, gives the order.';
COMMENT ON COLUMN rapport.message.client_id IS 'The name the sender''s client gave the message, for retries.';
COMMENT ON COLUMN rapport.message.flags IS 'Bits for kinds of messages; 0 is a text sent by a person.';
COMMENT ON COLUMN rapport.message.body IS 'The text as it was sent, byte for byte; NULL once erased.';
COMMENT ON COLUMN rapport.message.attrs IS 'What an app attaches to a message.';
SELECT pg_catalog.pg_extension_config_dump('rapport.message', '');

CREATE TABLE rapport.message_dedupe (
	conversation_id bigint NOT NULL,
	sender_id bigint NOT NULL,
	client_id text NOT NULL,
	seq bigint NOT NULL,
	body_hash bigint NOT NULL,
	at timestamp with time zone NOT NULL,
	PRIMARY KEY (conversation_id, sender_id, client_id)
);
COMMENT ON TABLE rapport.message_dedupe IS
'What a retried send is recognised by, for the days of the setting message_dedupe_days.';
COMMENT ON COLUMN rapport.message_dedupe.body_hash IS 'A hash of the body, to tell a retry from a client_id used twice.';
-- For the sweep; it costs a send next to nothing.
CREATE INDEX message_dedupe_at ON rapport.message_dedupe USING brin (at);
SELECT pg_catalog.pg_extension_config_dump('rapport.message_dedupe', 'WHERE false');

CREATE TABLE rapport.member (
	person_id bigint NOT NULL,
	conversation_id bigint NOT NULL,
	other_id bigint,
	read_seq bigint NOT NULL DEFAULT 0,
	last_seq bigint NOT NULL DEFAULT 0,
	last_at timestamp with time zone NOT NULL,
	closed boolean NOT NULL DEFAULT false,
	PRIMARY KEY (person_id, conversation_id)
) WITH (fillfactor = 70);
COMMENT ON TABLE rapport.member IS
'A person''s side of a conversation: the inbox is read from here alone. No mutable column is indexed, so updates stay HOT.';
COMMENT ON COLUMN rapport.member.other_id IS 'The other person of a direct conversation; NULL once erased.';
COMMENT ON COLUMN rapport.member.read_seq IS 'The last message read: it only grows.';
COMMENT ON COLUMN rapport.member.last_seq IS 'A copy of the conversation''s, for direct conversations.';
COMMENT ON COLUMN rapport.member.last_at IS 'When the last message was sent; before the first, when the conversation began.';
COMMENT ON COLUMN rapport.member.closed IS 'Whether conversation.closed_at is set.';
SELECT pg_catalog.pg_extension_config_dump('rapport.member', '');
