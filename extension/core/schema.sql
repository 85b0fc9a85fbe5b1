-- core: what every topic stands on. State only; functions.sql has the rest.

-- The server lets this script search the schema of PostGIS as well. Whoever may
-- create there could plant a better match for a call or an operator, to be run
-- by the superuser who installs: search it only where PostGIS is meant.
SELECT pg_catalog.set_config('search_path', 'pg_catalog, rapport, pg_temp', true);

-- Roles are shared by all databases of a cluster: made if missing, never dropped.
DO $$
DECLARE
	wanted text;
BEGIN
	PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('rapport roles'));
	FOREACH wanted IN ARRAY ARRAY['rapport_owner', 'rapport_anon', 'rapport_user', 'rapport_moderator',
								  'rapport_admin', 'rapport_service', 'rapport_api']
	LOOP
		IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
			EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', wanted);
			IF wanted = 'rapport_api' THEN
				ALTER ROLE rapport_api LOGIN NOINHERIT;
			END IF;
		END IF;
	END LOOP;
	GRANT rapport_anon TO rapport_user;
	GRANT rapport_user TO rapport_moderator, rapport_service;
	GRANT rapport_moderator TO rapport_admin;
	GRANT rapport_anon, rapport_user, rapport_moderator, rapport_admin TO rapport_api;
END;
$$;

COMMENT ON SCHEMA rapport IS 'People who fit each other: profiles, two-way matching, chat, accounts.';
-- Everyone may name the types and their operators; functions and tables have grants of their own.
GRANT USAGE ON SCHEMA rapport TO PUBLIC;

CREATE TABLE rapport.error_code (
	code text PRIMARY KEY,
	status integer NOT NULL CHECK (status BETWEEN 400 AND 599),
	title text NOT NULL,
	hint text
);
COMMENT ON TABLE rapport.error_code IS
'The registry of errors: SQLSTATE is RP and the HTTP status, CONSTRAINT carries the code. Built in, filled by every topic.';

CREATE TABLE rapport.setting_default (
	name text PRIMARY KEY,
	type text NOT NULL CHECK (type IN ('integer', 'integers', 'float', 'boolean', 'text')),
	value text NOT NULL,
	minimum double precision,
	maximum double precision,
	description text NOT NULL
);
COMMENT ON TABLE rapport.setting_default IS 'What can be set, and what holds when it is not. Built in.';

CREATE TABLE rapport.setting (
	name text PRIMARY KEY,
	value text NOT NULL,
	changed_at timestamp with time zone NOT NULL
);
COMMENT ON TABLE rapport.setting IS 'The settings of this database that differ from setting_default.';
SELECT pg_catalog.pg_extension_config_dump('rapport.setting', '');

CREATE TABLE rapport.hook_event (
	event text PRIMARY KEY,
	ids text NOT NULL,
	description text NOT NULL
);
COMMENT ON TABLE rapport.hook_event IS 'The events that hooks can be registered for. Built in.';
COMMENT ON COLUMN rapport.hook_event.ids IS 'What the bigint[] passed to the hooks holds, in order.';

CREATE TABLE rapport.hook (
	event text NOT NULL,
	ord integer NOT NULL,
	call text NOT NULL,
	builtin boolean NOT NULL DEFAULT false,
	PRIMARY KEY (event, ord, call)
);
COMMENT ON TABLE rapport.hook IS
'Functions fn(bigint[]) that run inside the transaction of an event, in the order of ord. Apps add theirs with add_hook().';
COMMENT ON COLUMN rapport.hook.call IS 'schema.function(bigint[]) as text: pg_upgrade refuses columns of type regprocedure.';
SELECT pg_catalog.pg_extension_config_dump('rapport.hook', 'WHERE NOT builtin');

CREATE TABLE rapport.personal_data (
	tab regclass NOT NULL,
	col name NOT NULL,
	class text NOT NULL CHECK (class IN ('identity', 'contact', 'credential', 'demographic', 'location',
										 'content', 'behaviour', 'technical', 'none')),
	on_erase text NOT NULL CHECK (on_erase IN ('delete', 'clear', 'keep')),
	reason text,
	withheld text,
	export_as text,
	PRIMARY KEY (tab, col)
);
COMMENT ON TABLE rapport.personal_data IS 'The class of every column, and what erasing a person does to it. Built in.';
COMMENT ON COLUMN rapport.personal_data.withheld IS 'Why an export leaves the column out; credentials are left out anyway.';
COMMENT ON COLUMN rapport.personal_data.export_as IS 'What an export has instead of a value that only we can read: an expression over a row t.';

CREATE TABLE rapport.subject (
	tab regclass NOT NULL,
	col name NOT NULL,
	own boolean NOT NULL,
	ord integer NOT NULL DEFAULT 100,
	find text,
	on_erase text CHECK (on_erase IN ('delete', 'clear', 'keep')),
	reason text,
	source text,
	PRIMARY KEY (tab, col),
	CHECK (own = (on_erase IS NULL))
);
COMMENT ON TABLE rapport.subject IS
'Every column that names a person, and how rows are found by it: what erasing and exporting go by. The distribution column of a table of group U needs no row here. Built in.';
COMMENT ON COLUMN rapport.subject.own IS
'Whether the rows are the person''s own, exported and erased as personal_data says, or somebody else''s that name the person.';
COMMENT ON COLUMN rapport.subject.ord IS
'Rows that are found through another table go before that table''s own, which are at 500 in group U.';
COMMENT ON COLUMN rapport.subject.find IS 'Condition on a row t for the people $1 (bigint[]); NULL: t.col = ANY ($1).';
COMMENT ON COLUMN rapport.subject.on_erase IS 'What erasing does to somebody else''s row: delete it, clear this column, or keep it for a reason.';
COMMENT ON COLUMN rapport.subject.source IS 'What an export reads instead of the table, for the people $1: a sub-query with its columns.';

CREATE TABLE rapport.distribution (
	tab regclass PRIMARY KEY,
	grp "char" NOT NULL CHECK (grp IN ('U', 'P', 'C', 'G', 'L', 'R')),
	col name
);
COMMENT ON TABLE rapport.distribution IS
'How a table spreads over nodes: U by person, P by the lower id of a pair, C by conversation, G by place, L by the looked-up value, R on every node. Built in.';
COMMENT ON COLUMN rapport.distribution.col IS 'The distribution column; it comes first in every primary and unique key.';

CREATE TABLE rapport.dump_exception (
	rel regclass PRIMARY KEY,
	reason text NOT NULL
);
COMMENT ON TABLE rapport.dump_exception IS 'Tables and sequences whose rows a dump leaves out, wholly or in part, and why. Built in.';

CREATE SEQUENCE rapport.id_sequence;
COMMENT ON SEQUENCE rapport.id_sequence IS 'Counts the ids given; new_id() permutes it.';
SELECT pg_catalog.pg_extension_config_dump('rapport.id_sequence', '');

CREATE TABLE rapport.database_key (
	name text PRIMARY KEY,
	secret bytea NOT NULL
);
COMMENT ON TABLE rapport.database_key IS
'Secrets of this database that must survive a dump: the permutation of ids, the MAC of events and of page cursors. Made on first use.';
SELECT pg_catalog.pg_extension_config_dump('rapport.database_key', '');

CREATE TABLE rapport.idempotency (
	person_id bigint NOT NULL,
	key text NOT NULL,
	request_hash bytea NOT NULL,
	body text,
	created_at timestamp with time zone NOT NULL,
	PRIMARY KEY (person_id, key)
);
COMMENT ON TABLE rapport.idempotency IS 'The first answer to a write that carried an Idempotency-Key, committed with the write.';
COMMENT ON COLUMN rapport.idempotency.key IS 'idempotency_hash() of the key.';
COMMENT ON COLUMN rapport.idempotency.request_hash IS 'SHA-256 of the key and the request.';
CREATE INDEX idempotency_created_at ON rapport.idempotency (created_at);
SELECT pg_catalog.pg_extension_config_dump('rapport.idempotency', 'WHERE false');

-- Owned by whoever installs, as an event trigger belongs to a superuser.
CREATE FUNCTION rapport.guard_drop() RETURNS event_trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'core_guard_drop';
COMMENT ON FUNCTION rapport.guard_drop() IS
'Refuses to drop the extension while people exist, unless rapport.allow_drop is on (superuser). Error 55000.';
CREATE EVENT TRIGGER rapport_guard_drop ON ddl_command_start
	WHEN TAG IN ('DROP EXTENSION', 'DROP SCHEMA', 'DROP OWNED')
	EXECUTE FUNCTION rapport.guard_drop();
COMMENT ON EVENT TRIGGER rapport_guard_drop IS 'Refuses to drop the extension rapport while people exist.';
