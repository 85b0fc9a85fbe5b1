# The next format of match keys, with a field more, introduced under people: the
# library made of this tree with that change reads old keys and writes new ones,
# answers are the same, text of both versions is read, and rebuild_keys() makes
# all keys new. The library from before refuses what it cannot read.
use strict;
use warnings;
use File::Copy qw(copy);
use File::Temp qw(tempdir);
use Test::More;

my $database = 'tap_format';
my $people = 500;
my $tree = tempdir(CLEANUP => 1);
my $library = "$ENV{PGHOST}/stage/usr/lib/postgresql/$ENV{PG_VERSION}/lib/rapport.so";
my $owner = $$;

sub slurp { my ($file) = @_; local $/; open my $in, '<', $file or die "$file: $!"; return <$in> }
sub spew { my ($file, $text) = @_; open my $out, '>', $file or die "$file: $!"; print $out $text; close $out or die "$file: $!"; return }

# What a script prints in psql, unaligned, with the error that ends it.
sub psql
{
	my ($sql, $in) = @_;
	spew("$tree/script.sql", "SET client_min_messages = warning;\n$sql");
	my $text = qx(psql -XAtq -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -d @{[ $in // $database ]} -f $tree/script.sql 2>&1);
	chomp $text;
	return $text;
}

# Sessions that begin from now on load this library.
sub load
{
	my ($file) = @_;
	copy($file, "$library.new") or die "$library.new: $!";
	chmod 0755, "$library.new";
	rename("$library.new", $library) or die "$library: $!";
	return;
}

# Changes a file of the copy; dies when there is nothing to change.
sub edit
{
	my ($file, $from, $to) = @_;
	my $text = slurp("$tree/src/$file");
	my $at = index($text, $from);
	die "$file has no $from" if $at < 0;
	substr($text, $at, length $from) = $to;
	spew("$tree/src/$file", $text);
	return;
}

copy($library, "$tree/before.so") or die "$library: $!";
END { load("$tree/before.so") if $owner == $$ && -e "$tree/before.so" }

system("cp -a . $tree/src") == 0 or die 'cp';
edit('extension/match/key.h', "#define MATCH_KEY MATCH_KEY_1\n", "#define MATCH_KEY_2 0x20\n#define MATCH_KEY MATCH_KEY_2\n#define MATCH_BADGE 8\n");
edit('extension/match/key.h', "	int8_t		embedding[", "	uint8_t		badge[MATCH_BADGE];\n	int8_t		embedding[");
edit('extension/match/value.c', "match_convert(const void *value)\n{\n", <<'C');
match_convert(const void *value)
{
	const MatchKey *old = value;

	if (MATCH_KIND(old->head) == MATCH_KEY_1)
	{
		MatchKey   *key = palloc0(sizeof(MatchKey));
		uint32		before = offsetof(MatchKey, badge);

		memcpy(key, old, before);
		memcpy(key->embedding, (const char *) old + before, match_size(old) - before);
		key->head = MATCH_KEY | (old->head & 0x0F);
		match_set_size(key, match_size(old) + MATCH_BADGE);
		return key;
	}
C
edit('extension/match/text.c', "	*end++ = '1';\n	for (const Field *field = key_fields", "	*end++ = '2';\n	for (const Field *field = key_fields");
edit('extension/match/text.c', '	KEY_FIELD("wants", FIELD_HEX8, wants, MATCH_LANES),' . "\n",
	'	KEY_FIELD("wants", FIELD_HEX8, wants, MATCH_LANES),' . "\n" . '	KEY_FIELD("badge", FIELD_HEX8, badge, MATCH_BADGE),' . "\n");
edit('extension/match/text.c', <<'C', <<'D');
	take(reader, "1");
	for (const Field *field = key_fields; field->name != NULL; field++)
		take_field(reader, field, key);
C
	bool		old = reader->at < reader->end && *reader->at == '1';

	take(reader, old ? "1" : "2");
	for (const Field *field = key_fields; field->name != NULL; field++)
		if (!old || field->offset != offsetof(MatchKey, badge))
			take_field(reader, field, key);
D
edit('extension/match/check.c', "	*value = DatumGetPointer(datum);\n", "	*value = match_stored(datum);\n");
my $built = qx(cd $tree/src && make -s with_llvm=no PG_VERSION=$ENV{PG_VERSION} all 2>&1);
is($?, 0, 'the library of the next format is built') or BAIL_OUT($built);

psql("DROP DATABASE IF EXISTS $database", 'postgres');
psql("CREATE DATABASE $database", 'postgres');
is(psql(<<"SQL"), '', 'people');
CREATE EXTENSION rapport CASCADE;
SELECT FROM rapport.define_attribute('gender', 'choice', '{woman,man,nonbinary}');
CREATE TABLE source AS
SELECT i::text AS id, 'P' || i AS name, date '1985-01-01' + i * 7 % 5000 AS born, 52.3 + i % 37 * .01 AS lat, 13.2 + i % 31 * .01 AS lon,
	jsonb_build_object('gender', (ARRAY['woman', 'man', 'nonbinary'])[i % 3 + 1]) AS attrs,
	jsonb_build_object('date', jsonb_build_object('accepts', jsonb_build_object('gender', CASE WHEN i % 2 = 0 THEN '["woman", "nonbinary"]' ELSE '["man", "nonbinary"]' END::jsonb))) AS prefs
FROM generate_series(1, $people) AS i;
\\o /dev/null
CALL rapport.import_people('source', '{"external_id": "id", "display_name": "name", "birth_date": "born", "latitude": "lat", "longitude": "lon", "attributes": "attrs", "preferences": "prefs"}');
CALL rapport.rebuild_keys();
UPDATE rapport.profile SET embedding = '{0.5,-0.25,1}' WHERE person_id % 3 = 0;
CALL rapport.refresh_people();
\\o
CREATE TABLE old_text AS SELECT person_id, key::text AS written FROM rapport.candidate;
CREATE VIEW decks AS
SELECT c.person_id, ARRAY(
	SELECT d.person_id FROM rapport.candidate AS d
	WHERE d.key OPERATOR(rapport.@@) q.query ORDER BY d.key OPERATOR(rapport.<->) q.query LIMIT 20) AS deck
FROM rapport.candidate AS c
CROSS JOIN LATERAL (SELECT rapport.match_query(c.key, '2026-11-01') AS query OFFSET 0) AS q;
SET enable_seqscan = off;
CREATE TABLE old_deck AS SELECT * FROM decks;
SQL

# How many decks differ by the index, and how many without; the problems of the index; the formats of the keys.
my $state = <<'SQL';
SET enable_seqscan = off;
SELECT count(*) FROM decks AS d JOIN old_deck AS o USING (person_id) WHERE d.deck <> o.deck OR cardinality(d.deck) = 0;
SET enable_seqscan = on; SET enable_indexscan = off; SET enable_bitmapscan = off;
SELECT count(*) FROM decks AS d JOIN old_deck AS o USING (person_id) WHERE d.deck <> o.deck;
RESET ALL;
SELECT problems, first_problem FROM rapport.match_index_check('rapport.candidate_key');
SELECT count(*) FILTER (WHERE pg_column_size(key) IN (144, 147)), count(*) FILTER (WHERE pg_column_size(key) IN (152, 155)) FROM rapport.candidate;
SELECT rapport.keys_outdated();
SQL
my $same = "0\n0\n0|\n";
is(psql($state), "$same$people|0\nf", 'decks of the format that is');

load("$tree/src/rapport.so");
is(psql($state), "$same$people|0\nt", 'the next library gives the same of old keys, and knows that they are');
is(psql("UPDATE rapport.candidate SET key = key::text::rapport.match_key WHERE person_id % 2 = 0; SELECT count(*) FROM rapport.candidate WHERE person_id % 2 = 0") > 0, 1, 'half of them are written anew');
like(psql($state), qr/^\Q$same\E[1-9]\d*\|[1-9]\d*\nt$/, 'both formats in one index, and the same answers');
is(psql(<<'SQL'), 'f|t|0', 'text of the old version is read as the new one');
SELECT bool_or(c.key::text = o.written), bool_and(o.written::rapport.match_key::text = c.key::text),
	count(*) FILTER (WHERE regexp_replace(replace(c.key::text, ';badge=0000000000000000', ''), '^2', '1') <> o.written)
FROM rapport.candidate AS c JOIN old_text AS o USING (person_id)
SQL
is(psql('CALL rapport.rebuild_keys(100)'), '', 'keys are rebuilt');
is(psql($state), "${same}0|$people\nf", 'then all have the new format, and the same answers');

load("$tree/before.so");
like(psql('SELECT count(*) FROM decks WHERE cardinality(deck) > 0'), qr/0A000.*match key of an unknown format/s, 'the library from before refuses them');

psql("DROP DATABASE $database", 'postgres');
done_testing();
