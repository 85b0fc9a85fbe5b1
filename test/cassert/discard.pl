# C functions that keep plans or read catalogues give the same answers, twice in
# a session, when caches are discarded at every chance. (What SQL functions do
# then takes hours: discarding makes planning some 1000 times slower.)
use strict;
use warnings;
use Test::More;

sub session
{
	my ($discard, @statements) = @_;
	local $ENV{PGOPTIONS} = "-c debug_discard_caches=$discard";
	local $ENV{PGDATABASE} = 'discard';
	open my $psql, '-|', 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', map { ('-c', $_) } @statements or die "psql: $!";
	my $out = do { local $/; <$psql> } // '';
	close $psql or die "psql failed: @statements";
	return $out;
}

system('createdb', 'discard') == 0 or die 'no database';
session(0, split /;\n/, <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION rapport CASCADE;
CREATE TABLE actor AS SELECT n, rapport.new_person('person-' || n) AS id FROM generate_series(1, 2) AS n;
SELECT rapport.sign_up('ada@example.org', 'correct horse');
INSERT INTO rapport.pair (lo, hi, mode, lo_action, hi_action, matched_at) SELECT min(id), max(id), 1, 'like', 'like', rapport.now() FROM actor;
SELECT FROM (SELECT array_agg(id ORDER BY id) || 1::bigint AS pair FROM actor) AS a, rapport.run_hooks('matched', a.pair);
CREATE TABLE conversation AS SELECT conversation_id FROM rapport.pair;
GRANT SELECT ON actor, conversation TO PUBLIC;
CREATE TABLE people AS SELECT id, rapport.match_key(id, 52 + id * .001, 13 + id * .002, birth_date => '1980-01-01'::date + id, traits => ARRAY[1 + id % 2],
	wants => ARRAY[4 - 2 * (id % 2)], ages => '[18,99]', max_distance_km => 80, active_on => current_date) AS key FROM generate_series(1, 200) AS id;
CREATE INDEX people_key ON people USING match_gist (key)
SQL

# Each is a session: its statements are run, and then once more.
my $act = 'SELECT rapport.act_as((SELECT id FROM actor WHERE n = 1))';
my %statements = (
	'settings and the time' => ["SELECT rapport.setting_text('idempotency_days'), rapport.now() > '2020-01-01'"],
	'an event' => ["SELECT rapport.event_emit('p:1', 'kind', '{}')"],
	'a hook' => ['BEGIN', "SELECT rapport.run_hooks('unmatched', ARRAY(SELECT id FROM actor ORDER BY id) || 1::bigint)", 'ROLLBACK'],
	'an error' => ["DO \$\$ BEGIN PERFORM rapport.fail('not_found'); EXCEPTION WHEN SQLSTATE 'RP404' THEN RETURN; END \$\$"],
	'who acts' => [$act, "SELECT rapport.current_person() = (SELECT id FROM actor WHERE n = 1), rapport.require('user')", 'SELECT rapport.act_as(NULL)'],
	'a token' => ['BEGIN', 'SET LOCAL SESSION AUTHORIZATION rapport_api', "SELECT rapport.request_begin('%token%', true, 60000) > 0", 'SELECT current_user', 'ROLLBACK'],
	'a message' => [$act, "SELECT seq FROM rapport.send_message((SELECT conversation_id FROM conversation), 'c-1', 'Hello')", 'SELECT rapport.act_as(NULL)'],
	'keys as text' => ['SELECT md5(string_agg(key::text::rapport.match_key::text, $$,$$ ORDER BY id)) FROM people'],
	'an ordered scan' => ['SET enable_seqscan = off', "SELECT array_agg(id) FROM (SELECT p.id FROM people AS p, (SELECT rapport.match_query(key, current_date) AS q FROM people WHERE id = 7) AS v WHERE p.key OPERATOR(rapport.@@) v.q ORDER BY p.key OPERATOR(rapport.<->) v.q LIMIT 5) AS p"],
	'an index' => ['BEGIN', 'CREATE INDEX another_key ON people USING match_gist (key)', "SELECT rows, problems FROM rapport.match_index_check('another_key')", 'ROLLBACK'],
	'rows scrubbed' => ["SELECT rapport.scrub_table('rapport.swipe')"],
);
my $token = session(0, "SELECT access_token FROM rapport.sign_in('ada\@example.org', 'correct horse', 'phone')");
chomp $token;
for my $name (sort keys %statements)
{
	my @twice = map { s/%token%/$token/r } (@{ $statements{$name} }) x 2;
	my $answers = session(0, @twice);
	is(session(1, @twice), $answers, $name);
}
done_testing;
