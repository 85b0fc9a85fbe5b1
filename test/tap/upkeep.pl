# Upkeep of candidates: a day's requests write the index once; keys are rebuilt
# and the index is clustered anew while people discover, like, block and move,
# and no answer is wrong; a rebuild that was interrupted goes on where it was.
use strict;
use warnings;
use Test::More;

my $database = 'tap_upkeep';
my $people = 1200;
my $seconds = $ENV{RAPPORT_LONG} ? 120 : 12;

# What a script prints in psql, unaligned; dies when a statement fails.
sub psql
{
	my ($sql, $in) = @_;
	my ($status, $text) = try_psql($sql, $in);
	die "psql: $text" if $status;
	return $text;
}

# The exit status and what it printed, errors included.
sub try_psql
{
	my ($sql, $in) = @_;
	my $file = "upkeep_$$.psql";
	open(my $script, '>', $file) or die "$file: $!";
	print $script "SET client_min_messages = warning;\n$sql";
	close($script);
	my $text = qx(psql -XAtq -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -d @{[ $in // $database ]} -f $file 2>&1);
	my $status = $?;
	unlink($file);
	chomp $text;
	return ($status, $text);
}

# Starts a script in pgbench; returns its pid and the file with what it prints.
sub pgbench
{
	my ($name, $sql, @options) = @_;
	open(my $script, '>', "$name.sql") or die "$name.sql: $!";
	print $script $sql;
	close($script);
	my $pid = fork() // die "fork: $!";
	return $pid if $pid;
	open(STDOUT, '>', "$name.out");
	open(STDERR, '>&', \*STDOUT);
	exec('pgbench', '-n', '-f', "$name.sql", @options, $database);
	die "cannot run pgbench: $!";
}

sub printed
{
	my ($name) = @_;
	open(my $file, '<', "$name.out") or die "$name.out: $!";
	my $text = do { local $/; <$file> };
	unlink("$name.sql", "$name.out");
	return $text;
}

psql("DROP DATABASE IF EXISTS $database", 'postgres');
psql("CREATE DATABASE $database", 'postgres');
psql(<<"SQL");
SET client_min_messages = error;
CREATE EXTENSION rapport CASCADE;
CREATE EXTENSION pg_walinspect;
SELECT FROM rapport.define_attribute('gender', 'choice', '{woman,man,nonbinary}');
SELECT FROM rapport.define_attribute('smoking', 'choice', '{never,sometimes,often}');
SELECT FROM rapport.set_setting('move_max_kmh', '0');
SELECT FROM rapport.set_setting('moves_a_day', '0');
CREATE TABLE source AS
SELECT i::text AS id, 'P' || i AS name, date '1985-01-01' + i * 7 % 5000 AS born, 52.3 + i % 37 * .01 AS lat, 13.2 + i % 31 * .01 AS lon,
	CASE WHEN i % 10 > 0 THEN 'text' END AS about, date '2026-01-01' AS seen,
	jsonb_build_object('gender', (ARRAY['woman', 'man', 'nonbinary'])[i % 3 + 1], 'smoking', (ARRAY['never', 'sometimes', 'often'])[i % 4]) AS attrs,
	jsonb_build_object('date', jsonb_build_object('accepts', CASE WHEN i % 5 > 0 THEN jsonb_build_object(
		'gender', CASE WHEN i % 2 = 0 THEN '["woman", "nonbinary"]' ELSE '["man", "nonbinary"]' END::jsonb,
		'smoking', CASE WHEN i % 7 = 0 THEN '["never", null]' ELSE '["never", "sometimes", "often", null]' END::jsonb) ELSE '{}' END)) AS prefs
FROM generate_series(1, $people) AS i;
CALL rapport.import_people('source', '{"external_id": "id", "display_name": "name", "birth_date": "born", "latitude": "lat", "longitude": "lon",
	"about": "about", "active_on": "seen", "attributes": "attrs", "preferences": "prefs"}');
CREATE TABLE persona AS SELECT external_id::integer AS n, person_id FROM rapport.external_identity;
CREATE UNIQUE INDEX ON persona (n);
CREATE TABLE looked (deck integer);

-- The first page of a person is what brute force finds in the same snapshot; with shifted, brute force that lacks one.
CREATE FUNCTION look(n integer, shifted boolean DEFAULT false) RETURNS void LANGUAGE plpgsql AS \$\$
DECLARE
	me bigint := (SELECT p.person_id FROM persona AS p WHERE p.n = look.n);
	deck bigint[];
	brute bigint[];
	query rapport.match_query;
BEGIN
	BEGIN
		PERFORM rapport.act_as(me, true);
		deck := ARRAY(SELECT d.person_id FROM rapport.discover('date', 20) WITH ORDINALITY AS d ORDER BY d.ordinality);
		PERFORM rapport.act_as(NULL, true);
	EXCEPTION WHEN SQLSTATE 'RP422' THEN
		-- The step that has just been required.
		IF (SELECT p.about FROM rapport.profile AS p WHERE p.person_id = me) IS NOT NULL THEN
			RAISE;
		END IF;
		RETURN;
	END;
	query := rapport.match_query_for(me, 1::smallint, rapport.match_side(me, 1::smallint, 2), rapport.today(),
		rapport.seen_by(me, 1::smallint) || CASE WHEN shifted THEN deck[1:1] ELSE '{}' END);
	brute := ARRAY(SELECT c.person_id FROM rapport.candidate AS c WHERE rapport.match_accepts(c.key, query)
				   ORDER BY rapport.match_cost(c.key, query), c.person_id LIMIT 20);
	IF deck <> brute THEN
		RAISE 'wrong answer for %: % instead of %', n, deck, brute;
	END IF;
	INSERT INTO looked VALUES (cardinality(deck));
END
\$\$;

-- One of what people do; refusals are answers too.
CREATE FUNCTION act(n integer, other integer, what integer, fine double precision) RETURNS void LANGUAGE plpgsql AS \$\$
DECLARE
	they bigint := (SELECT p.person_id FROM persona AS p WHERE p.n = act.other);
BEGIN
	PERFORM rapport.act_as((SELECT p.person_id FROM persona AS p WHERE p.n = act.n), true);
	CASE what
		WHEN 1 THEN PERFORM rapport.update_profile(jsonb_build_object('attributes', jsonb_build_object('smoking', (ARRAY['never', 'sometimes', 'often'])[1 + n % 3])));
		WHEN 2 THEN PERFORM rapport.set_place(52.3 + fine * .4, 13.2 + fine * .4);
		WHEN 3 THEN PERFORM rapport.set_preference('date', jsonb_build_object('age', jsonb_build_array(18 + n % 10, 30 + other % 40)));
		WHEN 4 THEN PERFORM rapport.like(they);
		WHEN 5 THEN PERFORM rapport.pass(they);
		WHEN 6 THEN PERFORM rapport.block(they);
		WHEN 7 THEN PERFORM rapport.unblock(they);
		ELSE PERFORM rapport.update_profile(jsonb_build_object('about', 'text ' || fine));
	END CASE;
	PERFORM rapport.act_as(NULL, true);
EXCEPTION WHEN SQLSTATE 'RP404' OR SQLSTATE 'RP409' OR SQLSTATE 'RP422' THEN
	NULL;
END
\$\$;
SQL

# Candidates that are not what they should be, and what is wrong with their index.
sub wrong
{
	return psql(<<'SQL');
SELECT count(*) FROM rapport.candidates_of(ARRAY(SELECT person_id FROM rapport.person)) AS w
FULL JOIN rapport.candidate AS c USING (person_id, mode) WHERE w.key OPERATOR(rapport.=) c.key IS NOT TRUE;
SELECT problems, first_problem FROM rapport.match_index_check('rapport.candidate_key');
SQL
}

is(psql('SELECT rapport.keys_outdated(); CALL rapport.rebuild_keys(); SELECT rapport.keys_outdated(), people FROM rapport.key_rebuild'),
	"t\nf|$people", 'a rebuild looks at everyone');
is(wrong(), "0\n0|", 'and all is right');

# While people do what they do.
my $readers = pgbench('upkeep_readers', <<"SQL", '-c', 8, '-j', 2, '-T', $seconds);
\\set n random(1, $people)
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT look(:n);
COMMIT;
SQL
my $writers = pgbench('upkeep_writers', <<"SQL", '-c', 4, '-T', $seconds);
\\set n random(1, $people)
\\set other random(1, $people)
\\set what random(1, 8)
\\set fine random(0, 1000000)
SELECT act(:n, :other, :what, :fine / 1000000.0) WHERE :n <> :other;
SQL
my $rounds = 0;
my $ended = time() + $seconds;
my $outdated = '';
while (time() < $ended - 1)
{
	$rounds++;
	my $strength = $rounds % 2 ? 'soft' : 'two_way';
	my $required = $rounds % 2 ? 'true' : 'false';
	my $attribute = $rounds % 2 ? 'smoking' : 'gender';
	$outdated .= psql(<<"SQL");
SELECT FROM rapport.define_attribute('more_$rounds', 'choice', '{a,b}') WHERE $rounds < 20;
SELECT FROM rapport.change_attribute('smoking', '$strength');
SELECT FROM rapport.require_step('about', $required);
SELECT rapport.keys_outdated();
CALL rapport.rebuild_keys(100);
SELECT rapport.keys_outdated();
SELECT rapport.cluster_by('$attribute') \\gexec
SQL
}
waitpid($readers, 0);
is($?, 0, 'eight readers, no error and no wrong answer');
my $report = printed('upkeep_readers');
my ($answers) = $report =~ /actually processed: (\d+)/ or diag($report);
waitpid($writers, 0);
is($?, 0, 'four writers, no error');
$report = printed('upkeep_writers');
my ($writes) = $report =~ /actually processed: (\d+)/ or diag($report);
note("$rounds rounds, $answers answers, $writes writes");
like($outdated, qr/^(t\nf)+$/, 'meanwhile keys were outdated and rebuilt, and the index was built anew');
cmp_ok($answers, '>', $seconds, 'the readers had answers');
cmp_ok($writes, '>', $seconds, 'and the writers did something');
cmp_ok(psql('SELECT count(*) FROM looked WHERE deck > 0'), '>', $answers / 2, 'most answers were people');
is(wrong(), "0\n0|", 'afterwards all is right');
psql("SELECT FROM rapport.require_step('about', NULL); CALL rapport.rebuild_keys()");
my ($status, $text) = try_psql('SELECT look(n, true) FROM persona');
like($text, qr/wrong answer/, 'readers tell a wrong answer');

# Interrupted somewhere on its way, after as many milliseconds as it takes to get on it; when it began.
sub interrupt
{
	for (my $wait = 100; $wait < 100000; $wait *= 2)
	{
		my ($status, $text) = try_psql("SET statement_timeout = $wait; CALL rapport.rebuild_keys(1)");
		die "not interrupted: $text" unless $text =~ /57014/;
		my $begun = psql("SELECT started_at FROM rapport.key_rebuild WHERE finished_at IS NULL AND people BETWEEN 1 AND $people - 1");
		return $begun if $begun;
	}
}
my $begun = interrupt();
isnt($begun, '', 'it has done some, and is not finished');
is(psql('CALL rapport.rebuild_keys(); SELECT started_at, people, finished_at IS NOT NULL FROM rapport.key_rebuild'), "$begun|$people|t",
	'and goes on where it was');
$begun = interrupt();
is(psql("SELECT FROM rapport.define_attribute('after_all', 'choice', '{a,b}'); CALL rapport.rebuild_keys();"
		. "SELECT started_at = '$begun', people, finished_at IS NOT NULL FROM rapport.key_rebuild"), "f|$people|t",
	'or begins again when the attributes have changed meanwhile');
is(wrong(), "0\n0|", 'all is right again');
($status, $text) = try_psql('CALL rapport.rebuild_keys(0)');
like($text, qr/RP422/, 'a batch has somebody');

# Clustering is kept.
psql("SELECT rapport.cluster_by('smoking') \\gexec");
is(psql("SELECT attribute FROM rapport.clustering() WHERE chosen"), 'smoking', 'the index clusters by what was chosen');
is(psql("SELECT rapport.cluster_by()"), '', 'nothing is to be done again');
is(psql("DROP INDEX rapport.candidate_key; CREATE INDEX candidate_key ON rapport.candidate_1 USING match_gist (key);\n"
		. "SELECT rapport.cluster_by() \\gexec\nSELECT attribute FROM rapport.clustering() WHERE chosen"), 'smoking',
	'after a restore it is called again');
is(psql('SELECT attribute FROM rapport.clustering() LIMIT 1'), 'gender', 'data says which leaves out most');
($status, $text) = try_psql("SELECT rapport.cluster_by('nothing')");
like($text, qr/RP422/, 'it must be an attribute');

# What requests write into the index. Nobody vacuums meanwhile.
psql('ALTER TABLE rapport.candidate_1 SET (autovacuum_enabled = off)');

sub gist_records
{
	my ($sql) = @_;
	my $from = psql('SELECT pg_current_wal_insert_lsn()');
	psql($sql);
	my $to = psql('SELECT pg_switch_wal(); SELECT pg_current_wal_insert_lsn()');
	$to =~ s/.*\n//;
	return psql(<<"SQL");
SELECT count(*) FROM pg_get_wal_records_info('$from', (SELECT pg_current_wal_flush_lsn())) AS w
WHERE w.resource_manager IN ('Gist', 'Generic') AND w.block_ref LIKE '%rel ' || (SELECT concat_ws('/',
	(SELECT CASE dattablespace WHEN 0 THEN 1663 ELSE dattablespace END FROM pg_database WHERE datname = current_database()),
	(SELECT oid FROM pg_database WHERE datname = current_database()), pg_relation_filenode('rapport.candidate_key'))) || ' %'
SQL
}

# Requests of person 1 on a day: likes, passes, and places in the same cell.
sub requests
{
	my ($day, $first, $last) = @_;
	return "SET rapport.now = '$day 12:00';"
		. "SELECT act(1, i, CASE WHEN i % 2 = 0 THEN 4 ELSE 5 END, 0) FROM generate_series($first, $last) AS i;"
		. 'SELECT act(1, 2, 2, .5) FROM generate_series(1, 10)';
}
psql(requests('2027-01-01', 2, 2));
cmp_ok(gist_records(requests('2027-01-02', 3, 3)), '>', 0, 'the first request of a day writes the index');
is(gist_records(requests('2027-01-02', 4, 92)), 0, 'and a hundred more do not');
cmp_ok(gist_records("SET rapport.now = '2027-01-02 12:00'; SELECT act(1, 2, 2, .9)"), '>', 0, 'another cell does');
psql("SET rapport.now = '2027-01-02 12:00'; SELECT act(1, 2, 2, .5)");
psql("SELECT rapport.set_setting('activity_step_days', '3')");
is(gist_records(requests('2027-01-03', 93, 95)) + gist_records(requests('2027-01-04', 96, 98)), 0, 'with steps of three days the next two days do not');
is(psql("SELECT a.active_on, rapport.match_key_parts(c.key) ->> 'active' = (a.active_on - date '2000-01-01')::text"
		. ' FROM rapport.activity AS a JOIN persona AS p USING (person_id) JOIN rapport.candidate AS c USING (person_id) WHERE p.n = 1'),
	'2027-01-02|t', 'the day noted is what counts, in the key as well');
cmp_ok(gist_records(requests('2027-01-05', 99, 99)), '>', 0, 'the third does');

psql("DROP DATABASE $database", 'postgres');
done_testing();
