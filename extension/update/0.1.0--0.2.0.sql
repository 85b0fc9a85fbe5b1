CREATE FUNCTION rapport.match_gist_compress(internal) RETURNS internal
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_gist_compress';
COMMENT ON FUNCTION rapport.match_gist_compress(internal) IS 'GiST support of match_key_ops.';
CREATE FUNCTION rapport.match_gist_options(internal) RETURNS void
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_gist_options';
COMMENT ON FUNCTION rapport.match_gist_options(internal) IS 'GiST support of match_key_ops: the option lane, 0 to 31, that an index clusters by.';
DROP INDEX rapport.message_dedupe_at;
DROP FUNCTION rapport.chat_sweep(integer);
DROP INDEX rapport.candidate_key;
DROP OPERATOR FAMILY rapport.match_key_ops USING gist;
CREATE FUNCTION rapport.match_gist_handler(internal) RETURNS index_am_handler
	LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'match_gist_handler';
COMMENT ON FUNCTION rapport.match_gist_handler(internal) IS 'The access method match_gist.';
CREATE ACCESS METHOD match_gist TYPE INDEX HANDLER rapport.match_gist_handler;
COMMENT ON ACCESS METHOD match_gist IS 'GiST with a scan of its own for WHERE key @@ query ORDER BY key <-> query.';
CREATE OPERATOR CLASS rapport.match_key_ops
	DEFAULT FOR TYPE rapport.match_key USING match_gist AS
	OPERATOR 1 rapport.@@ (rapport.match_key, rapport.match_query),
	OPERATOR 2 rapport.<-> (rapport.match_key, rapport.match_query) FOR ORDER BY pg_catalog.float_ops,
	FUNCTION 1 rapport.match_gist_consistent(internal, rapport.match_key, smallint, oid, internal),
	FUNCTION 2 rapport.match_gist_union(internal, internal),
	FUNCTION 3 rapport.match_gist_compress(internal),
	FUNCTION 5 rapport.match_gist_penalty(internal, internal, internal),
	FUNCTION 6 rapport.match_gist_picksplit(internal, internal),
	FUNCTION 7 rapport.match_gist_same(rapport.match_key, rapport.match_key, internal),
	FUNCTION 8 (rapport.match_key, rapport.match_key) rapport.match_gist_distance(internal, rapport.match_key, smallint, oid, internal),
	FUNCTION 10 (rapport.match_key, rapport.match_key) rapport.match_gist_options(internal),
	FUNCTION 11 rapport.match_gist_sortsupport(internal);

CREATE INDEX candidate_key ON rapport.candidate USING match_gist (key);

CREATE TABLE rapport.key_rebuild (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	made_of text NOT NULL,
	started_at timestamp with time zone NOT NULL,
	finished_at timestamp with time zone,
	done_to bigint NOT NULL DEFAULT 0,
	people bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE rapport.key_rebuild IS 'The last rebuild_keys(), and how far it is: at most one row.';
COMMENT ON COLUMN rapport.key_rebuild.made_of IS 'What keys_made_of() said when it began; when that has changed, it begins again.';
COMMENT ON COLUMN rapport.key_rebuild.done_to IS 'The person up to whom it is done; an interrupted one goes on after it.';
COMMENT ON COLUMN rapport.key_rebuild.people IS 'How many profiles it has looked at.';
SELECT pg_catalog.pg_extension_config_dump('rapport.key_rebuild', '');

DROP FUNCTION rapport.discover(text, integer, text);
DROP FUNCTION rapport.route_statement(text, text, oid);
DROP FUNCTION rapport.openapi_operation(text, text);
DROP FUNCTION rapport.openapi_answer(oid);
ALTER TABLE rapport.route ADD COLUMN reason text;
COMMENT ON COLUMN rapport.route.reason IS
'schema.function with the same arguments that tells, as jsonb, why a list is empty; the answer has it as reason.';

ALTER TABLE rapport.attribute ADD COLUMN managed boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN rapport.attribute.managed IS 'Set by set_attributes_for() and imports alone, such as who is verified; people ask for it like for any other.';
DROP FUNCTION rapport.define_attribute(text, text, text[], numeric, numeric, numeric, text, real, integer);
DROP FUNCTION rapport.attributes(text);

CREATE FUNCTION rapport.curve_position(key rapport.match_key) RETURNS bigint
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_key_position';
COMMENT ON FUNCTION rapport.curve_position(rapport.match_key) IS
'How far along a Hilbert curve through the cube around the earth somebody is, 0 to 2^63 - 1: who is near on it is near. It stays the same in every release; without a place everybody is at one position. Partitions and shards go by it.';

-- The rows stay where they are: the table is the one partition of the new one.
ALTER TABLE rapport.candidate RENAME TO candidate_1;
-- From 18 on NOT NULL is a constraint that has a name.
DO $$
DECLARE
	old name;
BEGIN
	FOR old IN SELECT c.conname FROM pg_catalog.pg_constraint AS c WHERE c.conrelid = 'rapport.candidate_1'::regclass AND c.contype = 'n' LOOP
		EXECUTE pg_catalog.format('ALTER TABLE rapport.candidate_1 RENAME CONSTRAINT %I TO %I', old, pg_catalog.replace(old, 'candidate_', 'candidate_1_'));
	END LOOP;
END;
$$;
CREATE TABLE rapport.candidate (
	person_id bigint NOT NULL,
	mode smallint NOT NULL,
	key rapport.match_key NOT NULL
) PARTITION BY RANGE (rapport.curve_position(key));
COMMENT ON TABLE rapport.candidate IS
'Who can be discovered: active people with every required step done, one row a mode they take part in. Derived from profile and preference by candidate_refresh(). It has no index of its own: those of its partitions would not be restored.';
COMMENT ON COLUMN rapport.candidate.key IS
'What others test this person with: what they are, and whom they accept two-way. It holds the mode as well.';
ALTER TABLE rapport.candidate ATTACH PARTITION rapport.candidate_1 DEFAULT;
COMMENT ON TABLE rapport.candidate_1 IS 'The partition of rapport.candidate that holds whoever no other does: everybody, until partition_candidates() makes others.';
COMMENT ON COLUMN rapport.candidate_1.key IS NULL;

CREATE TABLE rapport.shard (
	shard integer PRIMARY KEY,
	low bigint NOT NULL UNIQUE CHECK (low >= 0)
);
COMMENT ON TABLE rapport.shard IS
'The map of shards: each holds the candidates whose curve_position() is its low or more, and less than that of the next. Empty where candidates are on one cluster. Written by set_shards().';
COMMENT ON COLUMN rapport.shard.shard IS 'From 1, in the order of low; the first begins at 0.';
SELECT pg_catalog.pg_extension_config_dump('rapport.shard', '');

ALTER TABLE rapport.conversation ADD COLUMN change_seq bigint NOT NULL DEFAULT 0;
ALTER TABLE rapport.conversation ADD COLUMN last_at timestamp with time zone;
ALTER TABLE rapport.conversation ADD COLUMN expire_minutes integer;
ALTER TABLE rapport.conversation ADD COLUMN title text;
ALTER TABLE rapport.conversation ADD COLUMN first_seq bigint NOT NULL DEFAULT 1;
ALTER TABLE rapport.participant ADD COLUMN role text NOT NULL DEFAULT 'member';
ALTER TABLE rapport.participant ADD COLUMN hidden bigint[];
ALTER TABLE rapport.member ADD COLUMN is_group boolean NOT NULL DEFAULT false;
ALTER TABLE rapport.member ADD COLUMN joined_seq bigint NOT NULL DEFAULT 0;
ALTER TABLE rapport.member ADD COLUMN delivered_seq bigint NOT NULL DEFAULT 0;
ALTER TABLE rapport.member ADD COLUMN change_seq bigint NOT NULL DEFAULT 0;
ALTER TABLE rapport.member ADD COLUMN other_delivered_seq bigint NOT NULL DEFAULT 0;
ALTER TABLE rapport.member ADD COLUMN other_read_seq bigint NOT NULL DEFAULT 0;
ALTER TABLE rapport.member ADD COLUMN hidden_seq bigint NOT NULL DEFAULT 0;
ALTER TABLE rapport.member ADD COLUMN archived_seq bigint;
ALTER TABLE rapport.member ADD COLUMN muted_until timestamp with time zone;
ALTER TABLE rapport.member ADD COLUMN burst_at timestamp with time zone;
ALTER TABLE rapport.member ADD COLUMN burst integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN rapport.conversation.kind IS 'direct: between the two people of a match; group: of people who were invited.';
COMMENT ON COLUMN rapport.conversation.change_seq IS 'The number of the last change of a message: an edit, a deletion or a reaction.';
COMMENT ON COLUMN rapport.conversation.last_at IS 'When the last message of a group was sent; NULL before the first and in direct conversations, where the members have it.';
COMMENT ON COLUMN rapport.conversation.expire_minutes IS 'How long messages sent from now on can be read; NULL for ever.';
COMMENT ON COLUMN rapport.conversation.title IS 'The name of a group.';
COMMENT ON COLUMN rapport.conversation.first_seq IS 'The first message that is kept: the setting message_retention_days moves it.';
COMMENT ON COLUMN rapport.participant.joined_seq IS 'The last message before this person came, or that they have cleared: later ones are theirs to read.';
COMMENT ON COLUMN rapport.participant.role IS 'owner, admin or member of a group.';
COMMENT ON COLUMN rapport.participant.hidden IS 'The messages this person has deleted for themselves.';
COMMENT ON COLUMN rapport.message.flags IS 'Bits: 1 a message of the system, 2 edited, 4 deleted or expired; times 256 the minutes for which it can be read, 0 for ever.';
COMMENT ON COLUMN rapport.message.attrs IS 'What a message has besides its text: reply_to, mentions, attachments, location, app; event for a message of the system.';
COMMENT ON COLUMN rapport.message_dedupe.body_hash IS 'A hash of the body and the attributes, to tell a retry from a client_id used twice; 0 once the message is deleted.';
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

DROP FUNCTION rapport.send_message(bigint, text, text);
DROP FUNCTION rapport.messages(bigint, integer, bigint, bigint);
DROP FUNCTION rapport.conversations(integer, text);
DROP FUNCTION rapport.open_conversation(bigint, bigint);

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

ALTER TABLE rapport.subject ADD COLUMN source text;
COMMENT ON COLUMN rapport.subject.source IS 'What an export reads instead of the table, for the people $1: a sub-query with its columns.';

COMMENT ON TABLE rapport.participant IS 'Who takes part in a conversation, or did: what they may read of it, and their role.';
