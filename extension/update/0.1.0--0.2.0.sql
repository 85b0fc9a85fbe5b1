CREATE FUNCTION rapport.match_gist_compress(internal) RETURNS internal
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_gist_compress';
COMMENT ON FUNCTION rapport.match_gist_compress(internal) IS 'GiST support of match_key_ops.';
CREATE FUNCTION rapport.match_gist_options(internal) RETURNS void
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_gist_options';
COMMENT ON FUNCTION rapport.match_gist_options(internal) IS 'GiST support of match_key_ops: the option lane, 0 to 31, that an index clusters by.';
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
