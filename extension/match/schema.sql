-- match: the types of two-way matching with their index, then people.

CREATE TYPE rapport.match_key;
CREATE TYPE rapport.match_query;

CREATE FUNCTION rapport.match_key_in(cstring) RETURNS rapport.match_key
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_key_in';
COMMENT ON FUNCTION rapport.match_key_in(cstring) IS 'Input of match_key. Raises 22P02.';
CREATE FUNCTION rapport.match_key_out(rapport.match_key) RETURNS cstring
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_key_out';
COMMENT ON FUNCTION rapport.match_key_out(rapport.match_key) IS 'Output of match_key; reading it back gives the same bits.';
CREATE FUNCTION rapport.match_key_recv(internal) RETURNS rapport.match_key
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_key_recv';
COMMENT ON FUNCTION rapport.match_key_recv(internal) IS 'Binary input of match_key: a version byte and the text form.';
CREATE FUNCTION rapport.match_key_send(rapport.match_key) RETURNS bytea
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_key_send';
COMMENT ON FUNCTION rapport.match_key_send(rapport.match_key) IS 'Binary output of match_key.';

CREATE FUNCTION rapport.match_typanalyze(internal) RETURNS boolean
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'match_typanalyze';
COMMENT ON FUNCTION rapport.match_typanalyze(internal) IS
'ANALYZE of match_key: keeps some keys, without their ids, so that the planner can try how many a query accepts.';

CREATE TYPE rapport.match_key (
	INPUT = rapport.match_key_in,
	OUTPUT = rapport.match_key_out,
	RECEIVE = rapport.match_key_recv,
	SEND = rapport.match_key_send,
	ANALYZE = rapport.match_typanalyze,
	INTERNALLENGTH = VARIABLE,
	ALIGNMENT = double,
	STORAGE = plain
);
COMMENT ON TYPE rapport.match_key IS
'A person as matching sees one: what I am, what I accept, where I am and how far I go. Built by match_key(); indexed with GiST (match_key_ops).';

CREATE FUNCTION rapport.match_query_in(cstring) RETURNS rapport.match_query
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_query_in';
COMMENT ON FUNCTION rapport.match_query_in(cstring) IS 'Input of match_query. Raises 22P02.';
CREATE FUNCTION rapport.match_query_out(rapport.match_query) RETURNS cstring
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_query_out';
COMMENT ON FUNCTION rapport.match_query_out(rapport.match_query) IS 'Output of match_query; reading it back gives the same bits.';
CREATE FUNCTION rapport.match_query_recv(internal) RETURNS rapport.match_query
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_query_recv';
COMMENT ON FUNCTION rapport.match_query_recv(internal) IS 'Binary input of match_query: a version byte and the text form.';
CREATE FUNCTION rapport.match_query_send(rapport.match_query) RETURNS bytea
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_query_send';
COMMENT ON FUNCTION rapport.match_query_send(rapport.match_query) IS 'Binary output of match_query.';

CREATE TYPE rapport.match_query (
	INPUT = rapport.match_query_in,
	OUTPUT = rapport.match_query_out,
	RECEIVE = rapport.match_query_recv,
	SEND = rapport.match_query_send,
	INTERNALLENGTH = VARIABLE,
	ALIGNMENT = double,
	STORAGE = plain
);
COMMENT ON TYPE rapport.match_query IS
'Whom to find for a person: the key, the day, weights of the score, who was seen, and where the last page ended. Built by match_query().';

-- What the operators stand on is replaced only with a release of its own: here, not in functions.sql.

CREATE FUNCTION rapport.match_accepts(key rapport.match_key, query rapport.match_query) RETURNS boolean
	-- More than it takes: a bitmap pays it for each row, a scan in the order of the index, which stops early, for none.
	LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE COST 2000 AS 'MODULE_PATHNAME', 'match_accepts';
COMMENT ON FUNCTION rapport.match_accepts(rapport.match_key, rapport.match_query) IS
'Whether the two accept each other: same mode, every lane, number, age and distance both ways, active, not seen, beyond the cursor, not the viewer. Also as key @@ query.';

CREATE FUNCTION rapport.match_cost(key rapport.match_key, query rapport.match_query) RETURNS double precision
	LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME', 'match_cost';
COMMENT ON FUNCTION rapport.match_cost(rapport.match_key, rapport.match_query) IS
'1 - score, plus up to 1e-9 by id and day so that equals have an order; lower is better. Also as key <-> query.';

CREATE FUNCTION rapport.match_key_eq(rapport.match_key, rapport.match_key) RETURNS boolean
	LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_key_eq';
COMMENT ON FUNCTION rapport.match_key_eq(rapport.match_key, rapport.match_key) IS 'Whether two keys are the same bits. Also as key = key.';

CREATE FUNCTION rapport.match_key_ne(rapport.match_key, rapport.match_key) RETURNS boolean
	LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_key_ne';
COMMENT ON FUNCTION rapport.match_key_ne(rapport.match_key, rapport.match_key) IS 'Whether two keys differ. Also as key <> key.';

CREATE FUNCTION rapport.match_restriction(internal, oid, internal, integer) RETURNS double precision
	LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_restriction';
COMMENT ON FUNCTION rapport.match_restriction(internal, oid, internal, integer) IS
'The share of keys that a query accepts, for the planner: tried on those that ANALYZE kept, 0.01 for a query not known yet.';

CREATE OPERATOR rapport.@@ (
	LEFTARG = rapport.match_key,
	RIGHTARG = rapport.match_query,
	FUNCTION = rapport.match_accepts,
	RESTRICT = rapport.match_restriction,
	JOIN = matchingjoinsel
);
COMMENT ON OPERATOR rapport.@@ (rapport.match_key, rapport.match_query) IS 'accept each other';

CREATE OPERATOR rapport.<-> (
	LEFTARG = rapport.match_key,
	RIGHTARG = rapport.match_query,
	FUNCTION = rapport.match_cost
);
COMMENT ON OPERATOR rapport.<-> (rapport.match_key, rapport.match_query) IS 'cost of a match, lower is better';

CREATE OPERATOR rapport.= (
	LEFTARG = rapport.match_key,
	RIGHTARG = rapport.match_key,
	FUNCTION = rapport.match_key_eq,
	COMMUTATOR = OPERATOR(rapport.=),
	NEGATOR = OPERATOR(rapport.<>),
	RESTRICT = eqsel,
	JOIN = eqjoinsel
);
COMMENT ON OPERATOR rapport.= (rapport.match_key, rapport.match_key) IS 'same bits';

CREATE OPERATOR rapport.<> (
	LEFTARG = rapport.match_key,
	RIGHTARG = rapport.match_key,
	FUNCTION = rapport.match_key_ne,
	COMMUTATOR = OPERATOR(rapport.<>),
	NEGATOR = OPERATOR(rapport.=),
	RESTRICT = neqsel,
	JOIN = neqjoinsel
);
COMMENT ON OPERATOR rapport.<> (rapport.match_key, rapport.match_key) IS 'not the same bits';

CREATE FUNCTION rapport.match_gist_consistent(internal, rapport.match_key, smallint, oid, internal) RETURNS boolean
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_gist_consistent';
COMMENT ON FUNCTION rapport.match_gist_consistent(internal, rapport.match_key, smallint, oid, internal) IS 'GiST support of match_key_ops.';
CREATE FUNCTION rapport.match_gist_union(internal, internal) RETURNS rapport.match_key
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_gist_union';
COMMENT ON FUNCTION rapport.match_gist_union(internal, internal) IS 'GiST support of match_key_ops.';
CREATE FUNCTION rapport.match_gist_penalty(internal, internal, internal) RETURNS internal
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_gist_penalty';
COMMENT ON FUNCTION rapport.match_gist_penalty(internal, internal, internal) IS 'GiST support of match_key_ops.';
CREATE FUNCTION rapport.match_gist_picksplit(internal, internal) RETURNS internal
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_gist_picksplit';
COMMENT ON FUNCTION rapport.match_gist_picksplit(internal, internal) IS 'GiST support of match_key_ops.';
CREATE FUNCTION rapport.match_gist_same(rapport.match_key, rapport.match_key, internal) RETURNS internal
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_gist_same';
COMMENT ON FUNCTION rapport.match_gist_same(rapport.match_key, rapport.match_key, internal) IS 'GiST support of match_key_ops.';
CREATE FUNCTION rapport.match_gist_distance(internal, rapport.match_key, smallint, oid, internal) RETURNS double precision
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_gist_distance';
COMMENT ON FUNCTION rapport.match_gist_distance(internal, rapport.match_key, smallint, oid, internal) IS 'GiST support of match_key_ops.';
CREATE FUNCTION rapport.match_gist_sortsupport(internal) RETURNS void
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_gist_sortsupport';
COMMENT ON FUNCTION rapport.match_gist_sortsupport(internal) IS 'GiST support of match_key_ops.';
CREATE FUNCTION rapport.match_gist_compress(internal) RETURNS internal
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_gist_compress';
COMMENT ON FUNCTION rapport.match_gist_compress(internal) IS 'GiST support of match_key_ops.';
CREATE FUNCTION rapport.match_gist_options(internal) RETURNS void
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_gist_options';
COMMENT ON FUNCTION rapport.match_gist_options(internal) IS 'GiST support of match_key_ops: the option lane, 0 to 31, that an index clusters by.';
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

-- People

CREATE TABLE rapport.scoring_profile (
	name text NOT NULL,
	builtin boolean NOT NULL DEFAULT false,
	weights jsonb NOT NULL,
	offered boolean NOT NULL,
	PRIMARY KEY (name, builtin)
);
COMMENT ON TABLE rapport.scoring_profile IS
'Named weights of the score. A row of this database comes before the built-in one of the same name. They travel in the query: a change needs no new index.';
COMMENT ON COLUMN rapport.scoring_profile.weights IS 'As match_query() takes them, and checked with it when they are written.';
COMMENT ON COLUMN rapport.scoring_profile.offered IS 'Whether people may ask for it in a call.';
SELECT pg_catalog.pg_extension_config_dump('rapport.scoring_profile', 'WHERE NOT builtin');

CREATE TABLE rapport.mode_scoring (
	mode smallint PRIMARY KEY,
	name text NOT NULL
);
COMMENT ON TABLE rapport.mode_scoring IS 'The scoring profile that a mode goes by; one that is not here goes by "default".';
SELECT pg_catalog.pg_extension_config_dump('rapport.mode_scoring', '');

CREATE TABLE rapport.tag_count (
	tag bigint PRIMARY KEY,
	people bigint NOT NULL DEFAULT 0,
	counting bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE rapport.tag_count IS 'How many people have a tag, so that rare ones weigh more in the score; count_tags() fills it.';
COMMENT ON COLUMN rapport.tag_count.tag IS 'hashtextextended() of the tag: words that people wrote stand in their profiles alone.';
COMMENT ON COLUMN rapport.tag_count.people IS 'At the end of the last round.';
COMMENT ON COLUMN rapport.tag_count.counting IS 'So far in the round that is on.';
SELECT pg_catalog.pg_extension_config_dump('rapport.tag_count', '');

CREATE TABLE rapport.tag_round (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	people bigint NOT NULL DEFAULT 0,
	counting bigint NOT NULL DEFAULT 0,
	done_to bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE rapport.tag_round IS 'How far count_tags() is, in one row.';
COMMENT ON COLUMN rapport.tag_round.people IS 'How many people the last round counted.';
COMMENT ON COLUMN rapport.tag_round.counting IS 'How many the round that is on has counted.';
COMMENT ON COLUMN rapport.tag_round.done_to IS 'The last person_id that it has counted.';
SELECT pg_catalog.pg_extension_config_dump('rapport.tag_round', '');

CREATE TABLE rapport.match_scalar (
	person_id bigint PRIMARY KEY,
	desirability real NOT NULL CHECK (desirability BETWEEN 0 AND 1),
	selectivity real NOT NULL CHECK (selectivity BETWEEN 0 AND 1),
	price real NOT NULL CHECK (price BETWEEN 0 AND 1)
);
COMMENT ON TABLE rapport.match_scalar IS
'What was learnt of a person, as set_scalars_for() was told; without a row 0.5, 0.5 and 0. Their match key holds them in steps of 1/255.';
COMMENT ON COLUMN rapport.match_scalar.desirability IS 'How much others like the person.';
COMMENT ON COLUMN rapport.match_scalar.selectivity IS 'How easily the person likes others: 1 likes everyone.';
COMMENT ON COLUMN rapport.match_scalar.price IS 'What the profile''s weight price takes off the score, so that attention spreads.';
SELECT pg_catalog.pg_extension_config_dump('rapport.match_scalar', '');

CREATE FUNCTION rapport.curve_position(key rapport.match_key) RETURNS bigint
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_key_position';
COMMENT ON FUNCTION rapport.curve_position(rapport.match_key) IS
'How far along a Hilbert curve through the cube around the earth somebody is, 0 to 2^63 - 1: who is near on it is near. It stays the same in every release; without a place everybody is at one position. Partitions and shards go by it.';

CREATE TABLE rapport.candidate_1 (
	person_id bigint NOT NULL,
	mode smallint NOT NULL,
	key rapport.match_key NOT NULL,
	CONSTRAINT candidate_pkey PRIMARY KEY (person_id, mode)
);
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
CREATE INDEX candidate_key ON rapport.candidate_1 USING match_gist (key);
SELECT pg_catalog.pg_extension_config_dump('rapport.candidate_1', '');

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

CREATE TABLE rapport.swipe (
	person_id bigint NOT NULL,
	other_id bigint NOT NULL,
	at timestamp with time zone NOT NULL,
	expires date,
	mode smallint NOT NULL,
	action text NOT NULL CHECK (action IN ('like', 'super_like', 'pass', 'maybe')),
	PRIMARY KEY (person_id, mode, other_id)
);
COMMENT ON TABLE rapport.swipe IS
'What a person did lately with the people shown to them, who are not shown again. Older swipes are folded into rapport.seen and leave only that they were made; the truth about likes is in rapport.pair.';
COMMENT ON COLUMN rapport.swipe.at IS 'Later for each swipe of a person in a mode.';
COMMENT ON COLUMN rapport.swipe.expires IS 'The day from which the other may be shown again; NULL for never.';
SELECT pg_catalog.pg_extension_config_dump('rapport.swipe', '');

CREATE TABLE rapport.swiper (
	person_id bigint NOT NULL,
	last_at timestamp with time zone NOT NULL,
	day date NOT NULL,
	likes integer NOT NULL,
	super_likes integer NOT NULL,
	tail integer NOT NULL,
	folded integer NOT NULL DEFAULT 0,
	mode smallint NOT NULL,
	PRIMARY KEY (person_id, mode)
) WITH (fillfactor = 70);
COMMENT ON TABLE rapport.swiper IS 'Whoever swipes in a mode: the row is the lock of their swipes in it, and counts them.';
COMMENT ON COLUMN rapport.swiper.day IS 'The UTC day that likes and super_likes are of.';
COMMENT ON COLUMN rapport.swiper.tail IS 'How many rows of rapport.swipe they have in the mode, at most.';
COMMENT ON COLUMN rapport.swiper.folded IS 'About how many of their swipes in the mode have become part of rapport.seen.';
SELECT pg_catalog.pg_extension_config_dump('rapport.swiper', '');

CREATE TABLE rapport.seen (
	person_id bigint NOT NULL,
	mode smallint NOT NULL,
	bucket smallint NOT NULL,
	data bytea NOT NULL,
	PRIMARY KEY (person_id, mode, bucket)
) WITH (toast_tuple_target = 8160);
-- In the row as long as it fits on a page: there it is read without another index, and replaced without chunks.
ALTER TABLE rapport.seen ALTER COLUMN data SET STORAGE EXTERNAL;
COMMENT ON TABLE rapport.seen IS
'Whom a person swiped on in a mode before the rows of rapport.swipe, and may not be shown again: 64 buckets of ids, five to seven bytes each. seen_unpack() reads them.';
COMMENT ON COLUMN rapport.seen.bucket IS '0 to 63: the first six bits of the mixed ids.';
COMMENT ON COLUMN rapport.seen.data IS 'Ids with the days from which they may be shown again, as packed.h says.';
SELECT pg_catalog.pg_extension_config_dump('rapport.seen', '');

CREATE TABLE rapport.like_received (
	person_id bigint NOT NULL,
	other_id bigint NOT NULL,
	at timestamp with time zone NOT NULL,
	mode smallint NOT NULL,
	super boolean NOT NULL DEFAULT false,
	PRIMARY KEY (person_id, mode, other_id)
);
COMMENT ON TABLE rapport.like_received IS 'Likes by other_id as the person who got them reads them.';
COMMENT ON COLUMN rapport.like_received.super IS 'Whether it is a super like.';
CREATE INDEX like_received_at ON rapport.like_received (person_id, mode, at, other_id);
SELECT pg_catalog.pg_extension_config_dump('rapport.like_received', '');

CREATE TABLE rapport.pair (
	lo bigint NOT NULL,
	hi bigint NOT NULL,
	matched_at timestamp with time zone,
	ended_at timestamp with time zone,
	conversation_id bigint,
	mode smallint NOT NULL,
	lo_action text CHECK (lo_action IN ('like', 'super_like')),
	hi_action text CHECK (hi_action IN ('like', 'super_like')),
	PRIMARY KEY (lo, hi, mode),
	CHECK (lo < hi),
	CHECK (matched_at IS NULL OR (lo_action IS NOT NULL AND hi_action IS NOT NULL)),
	CHECK (ended_at IS NULL OR matched_at IS NULL)
);
COMMENT ON TABLE rapport.pair IS
'The truth about likes between two people, lower id first: its row is what decides a match, so two simultaneous likes make one.';
COMMENT ON COLUMN rapport.pair.matched_at IS 'When both had liked; NULL while only one has, and after an unmatch.';
COMMENT ON COLUMN rapport.pair.ended_at IS 'When one of them unmatched; this is for good.';
COMMENT ON COLUMN rapport.pair.conversation_id IS 'The conversation of the match, set by the chat topic.';
CREATE INDEX pair_lo_matched ON rapport.pair (lo, matched_at, hi) WHERE matched_at IS NOT NULL;
CREATE INDEX pair_hi_matched ON rapport.pair (hi, matched_at, lo) WHERE matched_at IS NOT NULL;
SELECT pg_catalog.pg_extension_config_dump('rapport.pair', '');
