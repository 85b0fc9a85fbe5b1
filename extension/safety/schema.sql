-- safety: who wants nothing to do with whom. State only.

CREATE TABLE rapport.block (
	person_id bigint NOT NULL,
	other_id bigint NOT NULL,
	at timestamp with time zone NOT NULL,
	PRIMARY KEY (person_id, other_id),
	CHECK (person_id <> other_id)
);
COMMENT ON TABLE rapport.block IS 'person_id has blocked other_id.';
CREATE INDEX block_newest ON rapport.block (person_id, at, other_id);
SELECT pg_catalog.pg_extension_config_dump('rapport.block', '');

CREATE TABLE rapport.blocked_by (
	person_id bigint NOT NULL,
	other_id bigint NOT NULL,
	PRIMARY KEY (person_id, other_id)
);
COMMENT ON TABLE rapport.blocked_by IS 'person_id has been blocked by other_id: the same facts, kept with the other person.';
SELECT pg_catalog.pg_extension_config_dump('rapport.blocked_by', '');
