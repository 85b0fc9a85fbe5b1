-- profile: who people are, what they accept, and where. State only.

CREATE TABLE rapport.mode (
	mode smallint PRIMARY KEY CHECK (mode BETWEEN 1 AND 255),
	code text NOT NULL UNIQUE CHECK (code ~ '^[a-z][a-z0-9_]{0,39}$'),
	builtin boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE rapport.mode IS
'What people look for in each other; every mode has its own preferences and candidates. 1 to 31 are kept for built-in modes.';
SELECT pg_catalog.pg_extension_config_dump('rapport.mode', 'WHERE NOT builtin');

CREATE TABLE rapport.attribute (
	attribute_id smallint PRIMARY KEY CHECK (attribute_id BETWEEN 1 AND 36),
	code text NOT NULL UNIQUE CHECK (code ~ '^[a-z][a-z0-9_]{0,39}$'),
	kind text NOT NULL CHECK (kind IN ('choice', 'number')),
	strength text NOT NULL CHECK (strength IN ('two_way', 'one_way', 'soft')),
	weight real NOT NULL CHECK (weight BETWEEN 0 AND 100),
	lane smallint UNIQUE,
	lanes smallint,
	slot smallint UNIQUE,
	minimum numeric,
	maximum numeric,
	step numeric,
	managed boolean NOT NULL DEFAULT false,
	CHECK (kind <> 'choice' OR lane >= 0 AND lanes BETWEEN 1 AND 8 AND lane + lanes <= 32
							   AND lane IS NOT NULL AND lanes IS NOT NULL AND slot IS NULL),
	CHECK (kind <> 'number' OR slot BETWEEN 0 AND 3 AND minimum < maximum AND step > 0 AND (maximum - minimum) / step <= 32000
							   AND slot IS NOT NULL AND minimum IS NOT NULL AND maximum IS NOT NULL AND step IS NOT NULL
							   AND lane IS NULL AND lanes IS NULL)
);
COMMENT ON TABLE rapport.attribute IS
'What people can say about themselves and ask of others. Rows are made by define_attribute() and never removed: stored values point at them.';
COMMENT ON COLUMN rapport.attribute.strength IS
'What a preference does when it says nothing else: two_way limits whom I see and who sees me, one_way only whom I see, soft only the score.';
COMMENT ON COLUMN rapport.attribute.weight IS 'How much a soft preference on it counts in the score, relative to the others.';
COMMENT ON COLUMN rapport.attribute.lane IS
'First byte lane of a choice in the match key, 0 to 31, in the order of definition: the index clusters by the first.';
COMMENT ON COLUMN rapport.attribute.lanes IS
'Adjacent lanes taken. Option o is bit o of their 8 * lanes bits, bit 0 is "unset": one lane holds 7 options, eight hold 63.';
COMMENT ON COLUMN rapport.attribute.slot IS 'Place of a number in the match key, 0 to 3.';
COMMENT ON COLUMN rapport.attribute.step IS 'Numbers are stored as (value - minimum) / step, rounded.';
COMMENT ON COLUMN rapport.attribute.managed IS 'Set by set_attributes_for() and imports alone, such as who is verified; people ask for it like for any other.';
SELECT pg_catalog.pg_extension_config_dump('rapport.attribute', '');

CREATE TABLE rapport.attribute_option (
	attribute_id smallint NOT NULL REFERENCES rapport.attribute,
	option smallint NOT NULL CHECK (option BETWEEN 1 AND 63),
	code text NOT NULL CHECK (code ~ '^[a-z0-9][a-z0-9_]{0,39}$'),
	PRIMARY KEY (attribute_id, option),
	UNIQUE (attribute_id, code)
);
COMMENT ON TABLE rapport.attribute_option IS 'The answers to a choice attribute. Codes are stable; labels per locale are in attribute_label.';
SELECT pg_catalog.pg_extension_config_dump('rapport.attribute_option', '');

CREATE TABLE rapport.attribute_label (
	attribute_id smallint NOT NULL REFERENCES rapport.attribute,
	option smallint NOT NULL CHECK (option BETWEEN 0 AND 63),
	locale text NOT NULL CHECK (locale ~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$'),
	label text NOT NULL,
	PRIMARY KEY (attribute_id, option, locale)
);
COMMENT ON TABLE rapport.attribute_label IS 'What an attribute (option 0) and its options are called in a locale such as de or pt-BR.';
SELECT pg_catalog.pg_extension_config_dump('rapport.attribute_label', '');

SELECT pg_catalog.set_config('search_path', pg_catalog.format('pg_catalog, rapport, %I, pg_temp', n.nspname), true)
FROM pg_catalog.pg_extension AS e
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
WHERE e.extname OPERATOR(pg_catalog.=) 'postgis';
CREATE TABLE rapport.profile (
	person_id bigint PRIMARY KEY,
	display_name text,
	birth_date date,
	about text,
	cell bigint,
	place geography(Point, 4326),
	place_at timestamp with time zone,
	moves_on date,
	moves smallint NOT NULL DEFAULT 0,
	traits smallint[] NOT NULL DEFAULT '{}',
	numbers smallint[] NOT NULL DEFAULT '{}',
	tags text[] NOT NULL DEFAULT '{}',
	embedding real[],
	paused boolean NOT NULL DEFAULT false,
	created_at timestamp with time zone NOT NULL,
	updated_at timestamp with time zone NOT NULL
);
SELECT pg_catalog.set_config('search_path', 'pg_catalog, rapport, pg_temp', true);
COMMENT ON TABLE rapport.profile IS 'What a person says about themselves. A person without a row has said nothing yet.';
COMMENT ON COLUMN rapport.profile.cell IS
'The grid cell the person is in, a grid_cell() of the setting grid_metres; the true position is stored nowhere. Only counted, by take_census().';
COMMENT ON COLUMN rapport.profile.place IS
'The centre of that cell, or of a larger one around it where few people live. All that others see, filter and sort by comes from this.';
COMMENT ON COLUMN rapport.profile.place_at IS 'Since when the person is in the cell.';
COMMENT ON COLUMN rapport.profile.moves_on IS 'The day (UTC) of the last change of the cell.';
COMMENT ON COLUMN rapport.profile.moves IS 'How often the cell changed that day; the first place is none.';
COMMENT ON COLUMN rapport.profile.traits IS 'Index attribute_id: the option chosen; NULL, 0 or beyond the end: unset.';
COMMENT ON COLUMN rapport.profile.numbers IS 'Index slot + 1: (value - minimum) / step; NULL or beyond the end: unset.';
COMMENT ON COLUMN rapport.profile.tags IS 'Lower case, NFC, each once, in the order given.';
COMMENT ON COLUMN rapport.profile.embedding IS 'Up to 32 numbers from -1 to 1, made by the app; compared by inner product.';
COMMENT ON COLUMN rapport.profile.paused IS 'Paused people are not candidates.';
SELECT pg_catalog.pg_extension_config_dump('rapport.profile', '');

CREATE TABLE rapport.census (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	taken_at timestamp with time zone NOT NULL,
	grid_metres integer NOT NULL
);
COMMENT ON TABLE rapport.census IS 'When people were last counted by cells, and on which grid; one row. Until then, and on another grid, all cells are small.';
SELECT pg_catalog.pg_extension_config_dump('rapport.census', '');

CREATE TABLE rapport.crowded_cell (
	cell bigint PRIMARY KEY,
	level smallint NOT NULL
);
COMMENT ON TABLE rapport.crowded_cell IS
'Cells of every size with enough people in them to be shown, as of the last census, without those in smaller ones. How many there are is not kept.';
SELECT pg_catalog.pg_extension_config_dump('rapport.crowded_cell', '');

CREATE TABLE rapport.activity (
	person_id bigint PRIMARY KEY,
	active_on date NOT NULL
) WITH (fillfactor = 80);
COMMENT ON TABLE rapport.activity IS 'The last day (UTC) on which a person was active; kept in days, because a change of it is a change of the match key.';
SELECT pg_catalog.pg_extension_config_dump('rapport.activity', '');

CREATE TABLE rapport.preference (
	person_id bigint NOT NULL,
	mode smallint NOT NULL,
	enabled boolean NOT NULL DEFAULT true,
	accepts bigint[] NOT NULL DEFAULT '{}',
	strengths smallint[] NOT NULL DEFAULT '{}',
	number_min smallint[] NOT NULL DEFAULT '{}',
	number_max smallint[] NOT NULL DEFAULT '{}',
	number_unset boolean[] NOT NULL DEFAULT '{}',
	age_min smallint,
	age_max smallint,
	max_distance_km integer,
	updated_at timestamp with time zone NOT NULL,
	PRIMARY KEY (person_id, mode),
	CHECK (age_min <= age_max),
	CHECK (max_distance_km > 0)
);
COMMENT ON TABLE rapport.preference IS 'Whom a person accepts in a mode. Ages and the distance are always two-way.';
COMMENT ON COLUMN rapport.preference.mode IS 'Of rapport.mode, whose rows are never removed: a foreign key would only slow imports down.';
COMMENT ON COLUMN rapport.preference.enabled IS 'Whether the person takes part in this mode.';
COMMENT ON COLUMN rapport.preference.accepts IS
'Index attribute_id: 64-bit mask, bit o for option o, bit 0 for "unset"; NULL or beyond the end: everything.';
COMMENT ON COLUMN rapport.preference.strengths IS
'Index attribute_id, choices and numbers alike: 0, NULL or beyond the end = as the attribute says, 1 two_way, 2 one_way, 3 soft.';
COMMENT ON COLUMN rapport.preference.number_min IS 'Index slot + 1: the lowest code accepted; NULL or beyond the end: everything.';
COMMENT ON COLUMN rapport.preference.number_max IS 'Index slot + 1: the highest code accepted; NULL exactly where number_min is.';
COMMENT ON COLUMN rapport.preference.number_unset IS 'Index slot + 1: whether people without this number are accepted too; NULL where there is no range.';
COMMENT ON COLUMN rapport.preference.age_min IS 'Lowest age accepted in years, NULL: any.';
COMMENT ON COLUMN rapport.preference.age_max IS 'Highest age accepted in years, included; NULL: any.';
COMMENT ON COLUMN rapport.preference.max_distance_km IS 'NULL: everywhere.';
SELECT pg_catalog.pg_extension_config_dump('rapport.preference', '');

CREATE TABLE rapport.step_default (
	step text PRIMARY KEY,
	required boolean NOT NULL,
	description text NOT NULL
);
COMMENT ON TABLE rapport.step_default IS 'The steps a profile can need before its person is a candidate, besides one attribute:<code> for each attribute. Built in.';

CREATE TABLE rapport.required_step (
	step text PRIMARY KEY,
	required boolean NOT NULL
);
COMMENT ON TABLE rapport.required_step IS 'Steps of this database that differ from step_default; require_step() writes them.';
SELECT pg_catalog.pg_extension_config_dump('rapport.required_step', '');

CREATE TABLE rapport.import_run (
	source text PRIMARY KEY,
	mapping jsonb NOT NULL,
	started_at timestamp with time zone NOT NULL,
	finished_at timestamp with time zone,
	done_to text,
	added bigint NOT NULL DEFAULT 0,
	updated bigint NOT NULL DEFAULT 0,
	rejected bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE rapport.import_run IS 'The last import of each source, and how far it is.';
COMMENT ON COLUMN rapport.import_run.done_to IS 'The external_id up to which the source is done; an interrupted import goes on after it. NULL once finished.';
SELECT pg_catalog.pg_extension_config_dump('rapport.import_run', '');

CREATE TABLE rapport.import_reject (
	source text NOT NULL,
	reject bigint NOT NULL,
	external_id text,
	row jsonb NOT NULL,
	reasons text[] NOT NULL,
	PRIMARY KEY (source, reject)
);
COMMENT ON TABLE rapport.import_reject IS 'Rows of a source that the last import of it refused, with every reason.';
COMMENT ON COLUMN rapport.import_reject.row IS 'The mapped columns without the position, which is stored nowhere.';
SELECT pg_catalog.pg_extension_config_dump('rapport.import_reject', '');
