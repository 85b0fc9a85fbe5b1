-- account: people, how they sign in, and their sessions.

-- Passwords and tokens reach the server as parameters; keep them out of its log.
DO $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_db_role_setting AS s
				   WHERE s.setdatabase = 0
				   AND s.setrole = 'rapport_api'::pg_catalog.regrole
				   AND 'log_parameter_max_length=0' = ANY (s.setconfig)) THEN
		ALTER ROLE rapport_api SET log_parameter_max_length = 0;
		ALTER ROLE rapport_api SET log_parameter_max_length_on_error = 0;
	END IF;
END;
$$;

CREATE TABLE rapport.person (
	person_id bigint PRIMARY KEY,
	role text NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'moderator', 'admin')),
	state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended')),
	created_at timestamp with time zone NOT NULL
);
COMMENT ON TABLE rapport.person IS 'Everyone the database knows, with or without a password of their own.';
COMMENT ON COLUMN rapport.person.role IS 'What this person may do; each role includes those before it: user, moderator, admin.';
COMMENT ON COLUMN rapport.person.state IS 'A suspended person can neither sign in nor act, and is nobody''s candidate.';
SELECT pg_catalog.pg_extension_config_dump('rapport.person', '');

CREATE TABLE rapport.email (
	email text COLLATE "C" PRIMARY KEY,
	person_id bigint NOT NULL,
	asked_at timestamp with time zone NOT NULL
);
COMMENT ON TABLE rapport.email IS 'Which person signs in with an e-mail address.';
COMMENT ON COLUMN rapport.email.email IS 'As normal_email() writes it.';
COMMENT ON COLUMN rapport.email.asked_at IS 'When somebody last signed up with this address: a taken address costs the same write as a free one.';
CREATE INDEX email_person_id ON rapport.email (person_id);
SELECT pg_catalog.pg_extension_config_dump('rapport.email', '');

CREATE TABLE rapport.credential (
	person_id bigint PRIMARY KEY REFERENCES rapport.person ON DELETE CASCADE,
	password_hash text NOT NULL,
	changed_at timestamp with time zone NOT NULL
);
COMMENT ON TABLE rapport.credential IS 'Passwords. Imported people have none until one is set.';
COMMENT ON COLUMN rapport.credential.password_hash IS 'argon2id with its salt and cost, in libsodium''s text form.';
SELECT pg_catalog.pg_extension_config_dump('rapport.credential', '');

CREATE TABLE rapport.external_identity (
	external_id text COLLATE "C" PRIMARY KEY CHECK (char_length(external_id) BETWEEN 1 AND 200),
	person_id bigint NOT NULL
);
COMMENT ON TABLE rapport.external_identity IS 'Which person an app means by an id of its own.';
CREATE INDEX external_identity_person_id ON rapport.external_identity (person_id);
SELECT pg_catalog.pg_extension_config_dump('rapport.external_identity', '');

CREATE TABLE rapport.session (
	person_id bigint NOT NULL REFERENCES rapport.person ON DELETE CASCADE,
	session_id bigint NOT NULL,
	created_at timestamp with time zone NOT NULL,
	refreshed_at timestamp with time zone NOT NULL,
	expires_at timestamp with time zone NOT NULL,
	rotated_at timestamp with time zone NOT NULL,
	refresh_counter integer NOT NULL DEFAULT 0,
	reuse_count integer NOT NULL DEFAULT 0,
	refresh_key bytea NOT NULL,
	user_agent text,
	PRIMARY KEY (person_id, session_id)
) WITH (fillfactor = 70);
COMMENT ON TABLE rapport.session IS 'Where people are signed in. Deleting a row ends the session with the next request.';
COMMENT ON COLUMN rapport.session.refresh_key IS 'Authenticates the refresh tokens of this session only.';
COMMENT ON COLUMN rapport.session.refresh_counter IS 'The number in the only refresh token that rotates; the one before is tolerated, older ones end the session.';
COMMENT ON COLUMN rapport.session.rotated_at IS 'When refresh_counter last moved.';
COMMENT ON COLUMN rapport.session.reuse_count IS 'How often the previous refresh token came after the tolerated seconds, since rotated_at.';
SELECT pg_catalog.pg_extension_config_dump('rapport.session', '');

CREATE TABLE rapport.signing_key (
	kid text PRIMARY KEY,
	header text NOT NULL UNIQUE,
	secret bytea NOT NULL,
	created_at timestamp with time zone NOT NULL,
	retired_at timestamp with time zone
);
COMMENT ON TABLE rapport.signing_key IS
'Keys of access tokens (HS256). The newest that is not retired signs; all in the table verify. The first is made by the first sign-in.';
COMMENT ON COLUMN rapport.signing_key.header IS 'The encoded header of its tokens: a token is accepted only with exactly these bytes, so it cannot choose an algorithm.';
SELECT pg_catalog.pg_extension_config_dump('rapport.signing_key', 'WHERE false');

CREATE TABLE rapport.sign_in_failure (
	email_hash text PRIMARY KEY,
	failures integer NOT NULL,
	last_at timestamp with time zone NOT NULL
);
COMMENT ON TABLE rapport.sign_in_failure IS 'Wrong passwords in a row, for known and unknown addresses alike.';
COMMENT ON COLUMN rapport.sign_in_failure.email_hash IS 'mac(''sign_in'', address): addresses that nobody has are not stored in clear.';
SELECT pg_catalog.pg_extension_config_dump('rapport.sign_in_failure', 'WHERE false');
