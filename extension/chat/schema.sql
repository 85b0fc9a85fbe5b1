-- chat: conversations, their messages, and each person's own side of them.

CREATE TABLE rapport.conversation (
	conversation_id bigint PRIMARY KEY,
	kind text NOT NULL,
	last_seq bigint NOT NULL DEFAULT 0,
	created_at timestamp with time zone NOT NULL,
	closed_at timestamp with time zone,
	change_seq bigint NOT NULL DEFAULT 0,
	last_at timestamp with time zone,
	expire_minutes integer,
	title text,
	first_seq bigint NOT NULL DEFAULT 1
) WITH (fillfactor = 70);
COMMENT ON TABLE rapport.conversation IS
'A conversation. Its row is the lock that puts sends in order; no mutable column is indexed, so updates stay HOT.';
-- No CHECK on kind: the server would parse it anew for every send.
COMMENT ON COLUMN rapport.conversation.kind IS 'direct: between the two people of a match; group: of people who were invited.';
COMMENT ON COLUMN rapport.conversation.last_seq IS 'The number of the last message: numbers have no gaps, and their order is the order of commits.';
COMMENT ON COLUMN rapport.conversation.closed_at IS
'Since when a block or an unmatch hides the conversation from both; NULL while it is open.';
COMMENT ON COLUMN rapport.conversation.change_seq IS 'The number of the last change of a message: an edit, a deletion or a reaction.';
COMMENT ON COLUMN rapport.conversation.last_at IS 'When the last message of a group was sent; NULL before the first and in direct conversations, where the members have it.';
COMMENT ON COLUMN rapport.conversation.expire_minutes IS 'How long messages sent from now on can be read; NULL for ever.';
COMMENT ON COLUMN rapport.conversation.title IS 'The name of a group.';
COMMENT ON COLUMN rapport.conversation.first_seq IS 'The first message that is kept: the setting message_retention_days moves it.';
SELECT pg_catalog.pg_extension_config_dump('rapport.conversation', '');

CREATE TABLE rapport.participant (
	conversation_id bigint NOT NULL REFERENCES rapport.conversation,
	person_id bigint NOT NULL,
	joined_seq bigint NOT NULL DEFAULT 0,
	left_seq bigint,
	role text NOT NULL DEFAULT 'member',
	hidden bigint[],
	PRIMARY KEY (conversation_id, person_id)
);
COMMENT ON TABLE rapport.participant IS 'Who takes part in a conversation, or did: what they may read of it, and their role.';
COMMENT ON COLUMN rapport.participant.joined_seq IS 'The last message before this person came, or that they have cleared: later ones are theirs to read.';
COMMENT ON COLUMN rapport.participant.left_seq IS 'The last message before this person left; NULL for who takes part.';
COMMENT ON COLUMN rapport.participant.role IS 'owner, admin or member of a group.';
COMMENT ON COLUMN rapport.participant.hidden IS 'The messages this person has deleted for themselves.';
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
COMMENT ON COLUMN rapport.message.flags IS 'Bits: 1 a message of the system, 2 edited, 4 deleted or expired; times 256 the minutes for which it can be read, 0 for ever.';
COMMENT ON COLUMN rapport.message.body IS 'The text as it was sent, byte for byte; NULL once erased.';
COMMENT ON COLUMN rapport.message.attrs IS 'What a message has besides its text: reply_to, mentions, attachments, location, app; event for a message of the system.';
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
COMMENT ON COLUMN rapport.message_dedupe.body_hash IS 'A hash of the body and the attributes, to tell a retry from a client_id used twice; 0 once the message is deleted.';
SELECT pg_catalog.pg_extension_config_dump('rapport.message_dedupe', 'WHERE false');

CREATE TABLE rapport.member (
	person_id bigint NOT NULL,
	conversation_id bigint NOT NULL,
	other_id bigint,
	read_seq bigint NOT NULL DEFAULT 0,
	last_seq bigint NOT NULL DEFAULT 0,
	last_at timestamp with time zone NOT NULL,
	closed boolean NOT NULL DEFAULT false,
	is_group boolean NOT NULL DEFAULT false,
	joined_seq bigint NOT NULL DEFAULT 0,
	delivered_seq bigint NOT NULL DEFAULT 0,
	change_seq bigint NOT NULL DEFAULT 0,
	other_delivered_seq bigint NOT NULL DEFAULT 0,
	other_read_seq bigint NOT NULL DEFAULT 0,
	hidden_seq bigint NOT NULL DEFAULT 0,
	archived_seq bigint,
	muted_until timestamp with time zone,
	burst_at timestamp with time zone,
	burst integer NOT NULL DEFAULT 0,
	PRIMARY KEY (person_id, conversation_id)
) WITH (fillfactor = 70);
COMMENT ON TABLE rapport.member IS
'A person''s side of a conversation: the inbox is read from here alone. No mutable column is indexed, so updates stay HOT.';
COMMENT ON COLUMN rapport.member.other_id IS 'The other person of a direct conversation; NULL once erased.';
COMMENT ON COLUMN rapport.member.read_seq IS 'The last message read: it only grows.';
COMMENT ON COLUMN rapport.member.last_seq IS 'A copy of the conversation''s, for direct conversations.';
COMMENT ON COLUMN rapport.member.last_at IS 'When the last message was sent; before the first, when the conversation began.';
COMMENT ON COLUMN rapport.member.closed IS 'Whether the person no longer has it: conversation.closed_at is set, or they have left the group.';
COMMENT ON COLUMN rapport.member.is_group IS 'Whether it is a group: then last_seq, last_at and change_seq are those of the conversation, so that a send does not write a row for each member.';
COMMENT ON COLUMN rapport.member.joined_seq IS 'A copy of the participant''s.';
COMMENT ON COLUMN rapport.member.delivered_seq IS 'The last message that reached a device: it only grows.';
COMMENT ON COLUMN rapport.member.change_seq IS 'A copy of the conversation''s, for direct conversations; of a group, how often a block or its end has changed what the person reads of it.';
COMMENT ON COLUMN rapport.member.other_delivered_seq IS 'A copy of the other person''s delivered_seq, for direct conversations.';
COMMENT ON COLUMN rapport.member.other_read_seq IS 'A copy of the other person''s read_seq where they let it be seen, for direct conversations.';
COMMENT ON COLUMN rapport.member.hidden_seq IS 'The last message that the person has deleted for themselves.';
COMMENT ON COLUMN rapport.member.archived_seq IS 'The last message when the person archived the conversation; a later one brings it back, unless it is muted.';
COMMENT ON COLUMN rapport.member.muted_until IS 'Until when the person wants no notifications; infinity for ever.';
COMMENT ON COLUMN rapport.member.burst_at IS 'When the minute began in which the person sent burst messages here; NULL before the first.';
COMMENT ON COLUMN rapport.member.burst IS 'How many messages the person has sent since burst_at.';
SELECT pg_catalog.pg_extension_config_dump('rapport.member', '');

-- One row a changed message, however often it changes: its number moves to the end.
CREATE TABLE rapport.message_change (
	conversation_id bigint NOT NULL,
	seq bigint NOT NULL,
	change_seq bigint NOT NULL,
	edited_at timestamp with time zone,
	PRIMARY KEY (conversation_id, seq)
);
COMMENT ON TABLE rapport.message_change IS
'The last change of each message that was edited, deleted or reacted to: who was away reads from here what they missed.';
COMMENT ON COLUMN rapport.message_change.change_seq IS 'The number of the change, from conversation.change_seq.';
COMMENT ON COLUMN rapport.message_change.edited_at IS 'When its text was last edited; NULL if never.';
CREATE INDEX message_change_seq ON rapport.message_change (conversation_id, change_seq);
SELECT pg_catalog.pg_extension_config_dump('rapport.message_change', '');

-- Apart from the messages, so that it does not matter how those are stored.
CREATE TABLE rapport.message_reaction (
	conversation_id bigint NOT NULL,
	seq bigint NOT NULL,
	person_id bigint NOT NULL,
	reaction text NOT NULL,
	PRIMARY KEY (conversation_id, seq, person_id)
);
COMMENT ON TABLE rapport.message_reaction IS 'Who reacted to a message, and how: one reaction a person.';
COMMENT ON COLUMN rapport.message_reaction.reaction IS 'An emoji, or what the app uses for one.';
SELECT pg_catalog.pg_extension_config_dump('rapport.message_reaction', '');

CREATE TABLE rapport.message_timer (
	conversation_id bigint PRIMARY KEY,
	from_seq bigint NOT NULL
);
COMMENT ON TABLE rapport.message_timer IS 'The conversations with messages that disappear, for the sweep.';
COMMENT ON COLUMN rapport.message_timer.from_seq IS 'No message before this one has text that is to disappear.';
SELECT pg_catalog.pg_extension_config_dump('rapport.message_timer', '');

CREATE TABLE rapport.chat_preference (
	person_id bigint PRIMARY KEY,
	read_receipts boolean NOT NULL DEFAULT true
);
COMMENT ON TABLE rapport.chat_preference IS 'What a person has chosen for all their conversations; no row for the defaults.';
COMMENT ON COLUMN rapport.chat_preference.read_receipts IS 'Whether others see what the person has read, and the person what others have.';
SELECT pg_catalog.pg_extension_config_dump('rapport.chat_preference', '');

CREATE TABLE rapport.group_invitation (
	person_id bigint NOT NULL,
	conversation_id bigint NOT NULL,
	invited_by bigint NOT NULL,
	at timestamp with time zone NOT NULL,
	PRIMARY KEY (person_id, conversation_id)
);
COMMENT ON TABLE rapport.group_invitation IS 'Who is asked to join which group, by whom.';
-- For erasing who invited.
CREATE INDEX group_invitation_by ON rapport.group_invitation (invited_by);
-- For a new title.
CREATE INDEX group_invitation_to ON rapport.group_invitation (conversation_id);
SELECT pg_catalog.pg_extension_config_dump('rapport.group_invitation', '');

CREATE TABLE rapport.intro (
	person_id bigint NOT NULL,
	other_id bigint NOT NULL,
	at timestamp with time zone NOT NULL,
	mode smallint NOT NULL,
	declined boolean NOT NULL DEFAULT false,
	body text NOT NULL,
	PRIMARY KEY (person_id, other_id)
);
COMMENT ON TABLE rapport.intro IS 'What people who have not matched wrote to person_id, until it is accepted.';
COMMENT ON COLUMN rapport.intro.other_id IS 'Who wrote it.';
COMMENT ON COLUMN rapport.intro.declined IS 'Whether person_id does not want it; it stays, so that the other cannot ask again.';
SELECT pg_catalog.pg_extension_config_dump('rapport.intro', '');

CREATE TABLE rapport.intro_sent (
	person_id bigint NOT NULL,
	other_id bigint NOT NULL,
	at timestamp with time zone NOT NULL,
	PRIMARY KEY (person_id, other_id)
);
COMMENT ON TABLE rapport.intro_sent IS 'The same as rapport.intro, as who wrote reads it: without the answer.';
-- For the day's quota, and for sync().
CREATE INDEX intro_sent_at ON rapport.intro_sent (person_id, at);
SELECT pg_catalog.pg_extension_config_dump('rapport.intro_sent', '');

CREATE TABLE rapport.stale_list (
	person_id bigint NOT NULL,
	list text NOT NULL,
	times bigint NOT NULL DEFAULT 1,
	PRIMARY KEY (person_id, list)
) WITH (fillfactor = 70);
COMMENT ON TABLE rapport.stale_list IS
'Which of a person''s lists have lost something, or show again what they had: no row of the list would tell sync() of it.';
COMMENT ON COLUMN rapport.stale_list.list IS 'blocks, group_invitations, intros, intros_sent, likes and the number of their mode, or matches.';
COMMENT ON COLUMN rapport.stale_list.times IS 'How often: to write the row is what tells it.';
SELECT pg_catalog.pg_extension_config_dump('rapport.stale_list', '');

CREATE TABLE rapport.message_block (
	conversation_id bigint NOT NULL,
	first_seq bigint NOT NULL,
	part smallint NOT NULL,
	data bytea NOT NULL,
	PRIMARY KEY (conversation_id, first_seq, part)
);
ALTER TABLE rapport.message_block ALTER COLUMN data SET STORAGE EXTERNAL;
COMMENT ON TABLE rapport.message_block IS
'Sealed messages: a block for each range of 128 numbers, written by seal_messages() in place of the rows of rapport.message and read by message_range(). A checksum covers each.';
COMMENT ON COLUMN rapport.message_block.first_seq IS 'The first number of the range: 1, 129, 257 and so on.';
COMMENT ON COLUMN rapport.message_block.part IS 'A block lies in parts, from 0: so small that they stay in the table, where a value out of line takes an index of its own.';
COMMENT ON COLUMN rapport.message_block.data IS 'Its bytes in the block: a version, a checksum, numbers by column, and the texts compressed.';
SELECT pg_catalog.pg_extension_config_dump('rapport.message_block', '');

CREATE TABLE rapport.chat_pass (
	job text PRIMARY KEY,
	done_to bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE rapport.chat_pass IS 'How far the jobs are that go round all conversations or people, batch by batch: a row is locked while its job runs.';
COMMENT ON COLUMN rapport.chat_pass.job IS 'The name of its function.';
COMMENT ON COLUMN rapport.chat_pass.done_to IS 'The conversation or person up to which this pass is done.';
SELECT pg_catalog.pg_extension_config_dump('rapport.chat_pass', '');
