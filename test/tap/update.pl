# Updates a database with people in it, under readers, from the newest release
# that is frozen to this version (where that is another), and on to a test
# version made of this tree with small changes of every kind. What comes out is
# what a fresh install has, and every row is as it was.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;
use Time::HiRes qw(sleep time);

my $bin = "/usr/lib/postgresql/$ENV{PG_VERSION}/bin";
my $dir = tempdir(CLEANUP => 1);
my $clock = '2026-03-01 12:00:00+00';
my $people = $ENV{RAPPORT_LONG} ? 100000 : 10000;
my $next = '99.0.0';
my @made;    # databases
my %kept;    # files of the stage, as they were

delete @ENV{qw(PGOPTIONS PGDATABASE)};
$ENV{PGOPTIONS} = '-c client_min_messages=warning';

sub run
{
	my (@command) = @_;
	my $pid = open(my $out, '-|') // die "fork: $!";
	if ($pid == 0)
	{
		open STDERR, '>&', \*STDOUT;
		exec @command or die "$command[0]: $!";
	}
	my $text = do { local $/; <$out> } // '';
	my $good = close $out;
	chomp $text;
	return ($good, $text);
}

sub succeeds
{
	my ($name, @command) = @_;
	my ($good, $text) = run(@command);
	ok($good && $text !~ /ERROR|WARNING/, $name) or diag($text);
	return $text;
}

sub slurp { my ($file) = @_; local $/; open my $in, '<', $file or die "$file: $!"; return <$in> }
sub spew { my ($file, $text) = @_; open my $out, '>', $file or die "$file: $!"; print $out $text; close $out or die "$file: $!"; return }

# The rows of a script run by a superuser, unaligned; what it printed up to its
# first error, where there is one.
sub psql
{
	my ($database, $sql) = @_;
	spew("$dir/script.sql", $sql);
	my ($good, $text) = run("$bin/psql", '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $database, '-f', "$dir/script.sql");
	return $text =~ s{^psql:\Q$dir\E/script\.sql:\d+: }{}mgr;
}

sub create_database
{
	my ($database, $template) = @_;
	push @made, $database;
	is(psql('postgres', "DROP DATABASE IF EXISTS $database; CREATE DATABASE $database TEMPLATE " . ($template // 'template1')), '', "database $database")
		or BAIL_OUT('no database');
	return;
}

# A file of the staged extension; what it was comes back at the end.
my ($stage) = glob("$ENV{PGHOST}/stage/usr/share/postgresql/$ENV{PG_VERSION}/extension") or die 'no staged extension';
sub stage_file
{
	my ($name, $text) = @_;
	my $file = "$stage/$name";
	$kept{$file} = -e $file ? slurp($file) : undef if !exists $kept{$file};
	spew($file, $text);
	return;
}

my $owner = $$;
my %running;    # processes of this test
END
{
	if ($$ == $owner)
	{
		my $status = $?;
		kill 'TERM', keys %running;
		for my $file (keys %kept)
		{
			if (defined $kept{$file}) { spew($file, $kept{$file}) } else { unlink $file }
		}
		system("$bin/dropdb", '--if-exists', '--force', $_) for @made;
		system("$bin/psql", '-Xq', '-d', 'postgres', '-c', 'DROP ROLE IF EXISTS update_app');
		$? = $status;
	}
}

my ($current) = slurp('extension/rapport.control') =~ /^default_version = '(.*)'/m;
my @released = sort { version->parse($a) <=> version->parse($b) } map { m{rapport--(.*)\.sql$} } glob 'extension/release/rapport--*.sql';
my $first = (grep { $_ ne $current } @released)[-1] // $current;
diag("from $first by $current to $next");

#
# Symbols: what a frozen script names is in the library
#

my %exported = map { (split)[2] => 1 } `nm -D --defined-only rapport.so`;
sub missing_symbols
{
	my ($script) = @_;
	return join ' ', grep { !$exported{$_} || !$exported{"pg_finfo_$_"} } $script =~ /'MODULE_PATHNAME', '(\w+)'/g;
}
for my $version (@released)
{
	is(missing_symbols(slurp("extension/release/rapport--$version.sql")), '', "the library has every symbol of release $version");
}
is(missing_symbols(slurp("extension/rapport--$current.sql")), '', 'and those of this version');
is(missing_symbols("AS 'MODULE_PATHNAME', 'core_now_sql';\nAS 'MODULE_PATHNAME', 'core_gone_sql';"), 'core_gone_sql', 'a symbol that is gone is found');
is(slurp("extension/release/rapport--$current.sql"), slurp("extension/rapport--$current.sql"),
	"release $current is what is built: else raise default_version") if grep { $_ eq $current } @released;

#
# The test version: this tree, changed
#

my $tree = "$dir/tree";
mkdir $tree or die $!;
system('cp', '-r', 'Makefile', 'META.json', 'CHANGELOG.md', 'extension', $tree) == 0 or die 'cp';
mkdir "$tree/test" or die $!;
system('cp', 'test/pg-version', "$tree/test") == 0 or die 'cp';
spew("$tree/extension/release/rapport--$current.sql", slurp("extension/rapport--$current.sql"));

sub edit
{
	my ($file, $change) = @_;
	local $_ = slurp("$tree/$file");
	$change->() or die "$file is not what the test changes";
	spew("$tree/$file", $_);
	return;
}
my $table = <<'SQL';
CREATE TABLE rapport.test_visit (
	person_id bigint NOT NULL,
	visit bigint NOT NULL,
	about text REFERENCES rapport.mode (code),
	PRIMARY KEY (person_id, visit)
);
COMMENT ON TABLE rapport.test_visit IS 'Visits.';
CREATE INDEX test_visit_about ON rapport.test_visit (about);
SELECT pg_catalog.pg_extension_config_dump('rapport.test_visit', '');
SQL
my $comments = <<'SQL';
COMMENT ON COLUMN rapport.profile.test_note IS 'A note.';
COMMENT ON COLUMN rapport.conversation.test_count IS 'A count.';
SQL
edit('extension/rapport.control', sub { s/^default_version = .*/default_version = '$next'/m });
edit('extension/profile/schema.sql', sub {
	s/(CREATE TABLE rapport\.profile \(.*?)\n\)/$1,\n\ttest_note text NOT NULL DEFAULT 'none'\n)/s and $_ .= $table });
edit('extension/chat/schema.sql', sub {
	s/(CREATE TABLE rapport\.conversation \(.*?)\n\)/$1,\n\ttest_count bigint NOT NULL DEFAULT 7\n)/s and $_ .= $comments });
edit('extension/chat/functions.sql', sub { $_ .= <<'SQL' });
INSERT INTO rapport.personal_data (tab, col, class, on_erase, reason) VALUES ('rapport.conversation', 'test_count', 'none', 'keep', 'a count');
SQL
# A function with another body, inlined into others; a grant that is gone.
edit('extension/match/functions.sql', sub {
	s/(FUNCTION rapport\.distance_bucket\(metres double precision\) .*?SELECT )/${1}10000 + /s and s/^GRANT EXECUTE ON FUNCTION rapport\.likes_received\(.*\n//m });
# One that is gone, one with another argument, a built-in row that is gone and one more.
edit('extension/core/functions.sql', sub {
	s/^CREATE OR REPLACE FUNCTION rapport\.forget_idempotency\(.*?^GRANT .*?\n//ms
	and s/rapport\.set_setting\(name text, value text\)/rapport.set_setting(name text, value text, note text DEFAULT NULL)/
	and s/rapport\.set_setting\(text, text\)/rapport.set_setting(text, text, text)/g
	and s/^\t\('uri_too_long', .*\n//m
	and s/^\t\('idempotency_days'/\t('test_setting', 'integer', '1', 1, 2, 'A setting.'),\n$&/m });
edit('extension/profile/functions.sql', sub { $_ .= <<'SQL' });
INSERT INTO rapport.distribution (tab, grp, col) VALUES ('rapport.test_visit', 'U', 'person_id');
INSERT INTO rapport.personal_data (tab, col, class, on_erase) VALUES
	('rapport.profile', 'test_note', 'content', 'delete'),
	('rapport.test_visit', 'person_id', 'technical', 'delete'),
	('rapport.test_visit', 'visit', 'technical', 'delete'),
	('rapport.test_visit', 'about', 'content', 'delete');
CREATE OR REPLACE FUNCTION rapport.test_visit(visit bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	INSERT INTO rapport.test_visit (person_id, visit, about) VALUES (rapport.acting_person(), test_visit.visit, 'date');
END;
$$;
COMMENT ON FUNCTION rapport.test_visit(bigint) IS 'Notes a visit.';
GRANT EXECUTE ON FUNCTION rapport.test_visit(bigint) TO rapport_user;
SQL
spew("$tree/extension/update/$current--$next.sql", <<"SQL" . $table . $comments);
ALTER TABLE rapport.profile ADD COLUMN test_note text NOT NULL DEFAULT 'none';
ALTER TABLE rapport.conversation ADD COLUMN test_count bigint NOT NULL DEFAULT 7;
DROP FUNCTION rapport.forget_idempotency(integer);
DROP FUNCTION rapport.set_setting(text, text);
SQL
succeeds('the test version is assembled', 'make', '-s', '-C', $tree, 'sql');
my %script = map { m{extension/(.*)} => slurp($_) } glob "$tree/extension/rapport--*$next.sql";
stage_file($_, $script{$_}) for keys %script;
my $last_step = "rapport--$current--$next.sql";
like($script{$last_step}, qr/'rapport\.conversation rapport\.mode rapport\.profile rapport\.test_visit'/, 'the script knows what it locks');

#
# People
#

my $data = 'update_data';
create_database($data);
is(psql($data, "CREATE EXTENSION rapport VERSION '$first' CASCADE; SELECT rapport.api_version()"), $first, "version $first");
{
	local $ENV{PGDATABASE} = $data;
	succeeds('the catalogue', "$bin/psql", '-Xq', '-f', 'test/data/catalogue.sql');
	succeeds('a population', "$bin/psql", '-Xq', '-v', "people=$people", '-v', 'today=2026-03-01', '-f', 'test/data/generate.sql');
}
is(psql($data, <<"SQL"), '', "$people people, likes, matches, messages, blocks, settings, hooks") or BAIL_OUT('no people');
SET rapport.now = '$clock';
SET jit = off;
\\o /dev/null
SELECT rapport.set_setting('password_memory', '1'), rapport.set_setting('password_ops', '1'), rapport.set_setting('pass_days', '30');
SELECT rapport.define_mode('hiking');
CALL rapport.import_people('sample.people',
	'{"external_id": "id", "display_name": "name", "birth_date": "born", "latitude": "lat", "longitude": "lon", "about": "about",
	  "tags": "tags", "active_on": "seen", "attributes": "attrs", "preferences": "prefs"}');
ANALYZE;
CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO PUBLIC;
CREATE TABLE app.matched (lo bigint, hi bigint);
CREATE FUNCTION app.note_match(ids bigint[]) RETURNS void
	LANGUAGE sql SECURITY DEFINER AS 'INSERT INTO app.matched VALUES (ids[1], ids[2])';
SELECT rapport.add_hook('matched', 'app.note_match(bigint[])');
CREATE TABLE app.stop (at timestamp with time zone);
GRANT SELECT ON app.stop TO PUBLIC;
CREATE TABLE app.hero (n integer PRIMARY KEY, person_id bigint, conversation_id bigint);
-- One may have blocked or swiped the other already.
CREATE FUNCTION app.try_like(me bigint, other bigint) RETURNS void LANGUAGE plpgsql AS \$\$
BEGIN
	PERFORM rapport.act_as(me, true);
	PERFORM rapport."like"(other, 'date');
	PERFORM rapport.act_as(NULL, true);
EXCEPTION WHEN SQLSTATE 'RP404' OR SQLSTATE 'RP409' THEN
	NULL;
END;
\$\$;
DO \$\$
DECLARE
	hero bigint;
	best bigint[];
	talk bigint;
	n integer := 0;
BEGIN
	FOR hero IN
		SELECT c.person_id FROM rapport.candidate AS c JOIN rapport.external_identity AS e USING (person_id)
		WHERE c.mode = 1 ORDER BY length(e.external_id), e.external_id LIMIT 400
	LOOP
		PERFORM rapport.act_as(hero, true);
		best := ARRAY(SELECT d.person_id FROM rapport.discover('date', 60) AS d);
		PERFORM rapport.act_as(NULL, true);
		CONTINUE WHEN cardinality(best) < 60;
		n := n + 1;
		EXIT WHEN n > 40;
		FOR i IN 1..8 LOOP
			PERFORM app.try_like(best[i], hero);
		END LOOP;
		FOR i IN 1..12 LOOP
			PERFORM app.try_like(hero, best[i]);
		END LOOP;
		PERFORM rapport.act_as(hero, true);
		PERFORM rapport.pass(best[13], 'date'), rapport.block(best[14]);
		FOR i IN 1..25 LOOP
			PERFORM rapport.send_message(c.conversation_id, 'm' || i, 'line ' || i || ' of ' || n || E'\\n\\U0001F600') FROM rapport.conversations() AS c;
		END LOOP;
		SELECT min(c.conversation_id) INTO talk FROM rapport.conversations() AS c;
		PERFORM rapport.remember('key', 'request', '{}');
		PERFORM rapport.act_as(NULL, true);
		INSERT INTO app.hero VALUES (n, hero, talk);
	END LOOP;
	PERFORM rapport.set_credential_for(person_id, 'hero' || h.n || '\@example.org', 'correct horse') FROM app.hero AS h WHERE h.n < 3;
END;
\$\$;
SELECT rapport.sign_up('ann\@example.org', 'correct horse'), rapport.sign_in('ann\@example.org', 'wrong horse'),
	rapport.sign_in('hero1\@example.org', 'correct horse');
\\o
SELECT 'only ' || count(*) FROM app.hero HAVING count(*) < 40;
DO 'BEGIN CREATE ROLE update_app; EXCEPTION WHEN duplicate_object THEN NULL; END';
SQL
diag(psql($data, "SELECT format('%s matches, %s messages, %s swipes', (SELECT count(*) FROM rapport.pair WHERE matched_at IS NOT NULL),
	(SELECT count(*) FROM rapport.message), (SELECT count(*) FROM rapport.swipe))"));

# What an app may do to the rights of functions; it is not the extension's.
my $grants = <<'SQL';
GRANT EXECUTE ON FUNCTION rapport.discover TO update_app;
GRANT EXECUTE ON FUNCTION rapport.SETTING TO update_app WITH GRANT OPTION;
REVOKE EXECUTE ON FUNCTION rapport.export_my_data() FROM rapport_user;
SQL
sub grants { my ($setting) = @_; return $grants =~ s/SETTING/$setting/r }
is(psql($data, grants('set_setting(text, text)')), '', 'an app grants and revokes');

#
# What is compared
#

# Every column of every table whose rows are not built in.
my @content = split /\n/, psql($data, <<'SQL');
SELECT format('SELECT %L, count(*), md5(string_agg(t::text, E''\n'' ORDER BY t::text COLLATE "C")) FROM (SELECT %s FROM %s%s) AS t;',
	c.oid::regclass, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum), c.oid::regclass,
	CASE WHEN bool_or(a.attname = 'builtin') THEN ' WHERE NOT builtin' ELSE '' END)
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace IN ('rapport'::regnamespace, 'app'::regnamespace) AND c.relkind = 'r'
AND NOT EXISTS (SELECT FROM rapport.dump_exception AS x WHERE x.rel = c.oid AND x.reason = 'built in')
GROUP BY c.oid
ORDER BY c.oid::regclass::text
SQL
my %short_lived = map { $_ => 1 } split /\n/, psql($data, <<'SQL');
SELECT x.r::regclass FROM pg_extension AS e, unnest(e.extconfig, e.extcondition) AS x (r, w) WHERE e.extname = 'rapport' AND w = 'WHERE false'
SQL
sub content
{
	my ($database, $dumped) = @_;
	return psql($database, "SET timezone = 'UTC'; SET search_path = pg_catalog; SELECT last_value, is_called FROM rapport.id_sequence;\n"
		. join "\n", grep { my ($name) = /^SELECT '([^']*)'/; !$dumped || !$short_lived{$name} } @content);
}

sub catalogue { my ($database) = @_; my ($good, $text) = run("$bin/psql", '-X', '-d', $database, '-f', 'test/lib/catalogue.sql'); die $text if !$good; return $text }

# The lines in which two texts differ.
sub differences
{
	my ($got, $expected) = @_;
	my %count;
	$count{$_}++ for split /\n/, $got;
	$count{$_}-- for split /\n/, $expected;
	return map { ($count{$_} > 0 ? '+' : '-') . $_ } sort grep { $count{$_} } keys %count;
}

sub catalogue_is
{
	my ($database, $expected, $name) = @_;
	my @differ = differences(catalogue($database), $expected);
	is(scalar @differ, 0, $name) or diag(join "\n", map { substr $_, 0, 600 } @differ[0 .. ($#differ > 20 ? 20 : $#differ)]);
	return;
}

sub decks
{
	my ($database) = @_;
	return psql($database, "SET rapport.now = '$clock';\n" . join '', map { <<"SQL" } 1 .. 40);
SELECT rapport.act_as(person_id) FROM app.hero WHERE n = $_ \\g /dev/null
SELECT $_, string_agg(d.person_id || ' ' || d.score, ',') FROM rapport.discover('date', 40) AS d;
SELECT rapport.act_as(NULL) \\g /dev/null
SQL
}

# What a reader asks: the answers without the cursors, which are sealed anew.
my $deck = q{SELECT md5(string_agg((to_jsonb(d) - 'cursor')::text, '')) FROM rapport.discover('date', 20) AS d};
sub thread { my ($conversation) = @_; return "SELECT md5(string_agg(to_jsonb(m)::text, '')) FROM rapport.messages($conversation, 100) AS m" }

sub answers
{
	my ($person, $conversation) = @_;
	return "SELECT rapport.act_as($person) \\g /dev/null\n$deck;\n" . thread($conversation) . ";\nSELECT rapport.act_as(NULL) \\g /dev/null\n";
}

# Updates in their turn, each with its readers

sub update
{
	my ($from, $to) = @_;
	my @readers = map { [ split /\|/ ] } split /\n/, psql($data, 'SELECT person_id, conversation_id FROM app.hero ORDER BY n LIMIT 4');
	my $ask = "SET rapport.now = '$clock';\nSET timezone = 'UTC';\n" . join '', map { answers(@$_) } @readers;
	my ($before, $decks) = (content($data), decks($data));
	my $catalogue = catalogue($data);
	my @old = split /\n/, psql($data, $ask);
	my @new = grep { length } split /\n/, psql($data, "SET rapport.now = '$clock';\nBEGIN;\nALTER EXTENSION rapport UPDATE TO '$to';\n$ask\nROLLBACK;");
	is(scalar(grep { /^[0-9a-f]{32}$/ } @old, @new), 16, "$from: the answers before and after") or diag("@old\n@new");
	is(content($data), $before, "$from: an update that is rolled back changes no row");
	catalogue_is($data, $catalogue, "$from: and nothing else");

	# Half of them ask prepared statements; two more come and go.
	my %log;
	for my $n (0 .. 5)
	{
		my ($person, $conversation) = @{ $readers[$n % 4] };
		my ($o, $w) = (2 * ($n % 4), 2 * ($n % 4) + 1);
		my $label = sub {
			my ($what, $i) = @_;
			return "SELECT '$what', CASE a WHEN '$new[$i]' THEN '" . ($new[$i] eq $old[$i] ? 'same' : 'new')
				. "' WHEN '$old[$i]' THEN 'old' ELSE 'wrong' END, extract(epoch FROM clock_timestamp())::numeric(20, 3) FROM ($_[2]) AS x (a)";
		};
		my ($ask_deck, $ask_thread) = ($label->('deck', $o, $deck), $label->('thread', $w, thread($conversation)));
		my $text = "SET rapport.now = '$clock';\nSET timezone = 'UTC';\nSELECT rapport.act_as($person) \\g /dev/null\n";
		my $stop = "SELECT 1 / (SELECT count(*) FROM (SELECT 1 EXCEPT ALL SELECT 1 FROM app.stop) AS going) AS stopped";
		if ($n < 4 && $n % 2)
		{
			$text .= "PREPARE deck AS $ask_deck;\nPREPARE thread AS $ask_thread;\n";
			($ask_deck, $ask_thread) = ('EXECUTE deck', 'EXECUTE thread');
		}
		my $file = "$dir/reader$n.sql";
		spew($file, $text . ($n < 4 ? "$ask_deck\\; $ask_thread\\; $stop \\watch 0.01\n" : "$ask_deck;\n$ask_thread;\n$stop;\n"));
		spew("$dir/reader$n.log", '');
		my $pid = fork // die 'fork';
		if ($pid == 0)
		{
			open STDOUT, '>', "$dir/reader$n.log" or die $!;
			open STDERR, '>&', \*STDOUT;
			my @psql = ("$bin/psql", '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $data, '-f', $file);
			exec @psql if $n < 4;
			sleep 0.05 while system(@psql) == 0;
			require POSIX;
			POSIX::_exit(0);
		}
		$running{$pid} = 1;
		$log{$n} = $pid;
	}
	my $answered = sub {
		my ($answer) = @_;
		my $end = time + 60;
		sleep 0.1 while time < $end && grep { slurp("$dir/reader$_.log") !~ /^deck\|(?:$answer|same)\|/m } sort keys %log;
	};
	$answered->('old');
	my $functions = q{SELECT oid FROM pg_proc WHERE pronamespace = 'rapport'::regnamespace};
	my %dropped = map { $_ => 1 } split /\n/, psql($data, $functions);
	my $start = time;
	is(psql($data, "ALTER EXTENSION rapport UPDATE TO '$to';"), '', "$from: updated to $to under readers");
	my $took = time - $start;
	delete @dropped{ split /\n/, psql($data, $functions) };
	$answered->('new');
	sleep 1;
	psql($data, 'INSERT INTO app.stop VALUES (now())');
	for my $n (sort keys %log)
	{
		waitpid $log{$n}, 0;
		delete $running{ $log{$n} };
	}
	psql($data, 'TRUNCATE app.stop');

	my ($asked, $longest, @errors, @wrong) = (0, 0);
	for my $n (sort keys %log)
	{
		my ($last, %seen);
		for (split /\n/, slurp("$dir/reader$n.log"))
		{
			if (/^(deck|thread)\|(same|old|new|wrong)\|([\d.]+)$/)
			{
				my ($what, $answer, $at) = ($1, $2, $3);
				$asked++;
				$seen{$what}{$answer}++;
				push @wrong, "reader $n: $what is $answer" if $answer eq 'wrong' || $answer eq 'old' && $seen{$what}{new};
				$longest = $at - $last if defined $last && $at - $last > $longest;
				$last = $at;
			}
			else
			{
				push @errors, "reader $n: $_" if /ERROR|FATAL|psql/ && !/ERROR:  division by zero/
					# Whoever calls a function that the delta drops, at that moment: extension/update/README.md. No other.
					&& !(/ERROR:  cache lookup failed for function (\d+)/ && $dropped{$1});
			}
		}
		my $deck_changes = $new[ 2 * ($n % 4) ] ne $old[ 2 * ($n % 4) ];
		ok(!$deck_changes || $seen{deck}{old} && $seen{deck}{new}, "$from: reader $n had old answers before and has new ones after")
			or diag(explain(\%seen), slurp("$dir/reader$n.log") =~ s/.*(?=.{2000})//sr);
	}
	cmp_ok($asked, '>', 50, "$from: the readers got answers");
	is("@errors", '', "$from: no reader saw an error");
	is("@wrong", '', "$from: nor a wrong answer");
	diag(sprintf '%s to %s: the update took %.2f s; %d answers to readers, the longest pause %.2f s', $from, $to, $took, $asked, $longest);

	is(psql($data, 'SELECT rapport.api_version()'), $to, "$from: it is $to now");
	is(content($data), $before, "$from: every row of every table is as before");
	is(decks($data), $decks, "$from: discover shows the same people in the same order");
	is(psql($data, q{SELECT problems FROM rapport.match_index_check('rapport.candidate_key')}), 0, "$from: the match index is right");
	return;
}

# Things people do; the same answers in every database.
my $write = "SET rapport.now = '$clock';\nSET client_min_messages = error;\n" . <<'SQL';
SELECT person_id AS hero, conversation_id AS talk FROM app.hero WHERE n = :n \gset
SELECT rapport.sign_up('new:n@example.org', 'correct horse') \g /dev/null
SELECT 'sign_in', refusal IS NULL FROM rapport.sign_in('new' || :'n' || '@example.org', 'correct horse');
SELECT 'ids', count(*) FROM (SELECT rapport.new_id() AS id FROM generate_series(1, 2000)) AS i
	LEFT JOIN rapport.person AS p ON p.person_id = i.id LEFT JOIN rapport.conversation AS c ON c.conversation_id = i.id
	WHERE p.person_id IS NOT NULL OR c.conversation_id IS NOT NULL;
SELECT count(*) AS matched FROM app.matched \gset
-- People are where they were drawn, at whatever hour.
SELECT rapport.set_setting('move_max_kmh', '0') \g /dev/null
SELECT rapport.act_as(:hero) \g /dev/null
SELECT 'send', seq, duplicate FROM rapport.send_message(:talk, 'after', 'After.');
SELECT 'read', body FROM rapport.messages(:talk) ORDER BY seq DESC LIMIT 1;
SELECT 'place', rapport.set_place(52.52, 13.405);
SELECT 'profile', rapport.update_profile('{"about": "Updated."}');
SELECT person_id AS liker FROM rapport.discover('date', 1) \gset
SELECT rapport."like"(:liker, 'date') \g /dev/null
SELECT rapport.act_as(:liker) \g /dev/null
SELECT 'match', matched FROM rapport."like"(:hero, 'date');
SELECT rapport.act_as(NULL) \g /dev/null
SELECT 'hook', count(*) - :matched FROM app.matched;
CREATE TABLE late (id text, name text, born date);
INSERT INTO late VALUES ('late' || :'n', 'Late', '1990-01-01');
CALL rapport.import_people('late', '{"external_id": "id", "display_name": "name", "birth_date": "born"}');
DROP TABLE late;
SELECT rapport.act_as(:liker) \g /dev/null
SELECT rapport.act_as(NULL) \g /dev/null
SELECT rapport.erase_person_for(:liker) \g /dev/null
SELECT 'erased', count(*) FROM rapport.person WHERE person_id = :liker;
SQL
$write =~ s/'new:n\@/'new' || :'n' || '\@/;
sub inserts_continue
{
	my ($database, $n, $name) = @_;
	is(psql($database, "\\set n $n\n$write"), <<'OUT' =~ s/\n\z//r, $name);
sign_in|t
ids|0
send|26|f
read|After.
place|
profile|
match|t
hook|1
1|0|0
erased|0
OUT
	return;
}

sub fresh
{
	my ($version, $setting) = @_;
	my $database = 'update_fresh';
	create_database($database);
	is(psql($database, "CREATE EXTENSION rapport VERSION '$version' CASCADE;\n" . grants($setting)), '', "a fresh install of $version");
	return catalogue($database);
}

sub rights
{
	my ($database, $setting) = @_;
	return psql($database, "SELECT has_function_privilege('update_app', 'rapport.discover'::regproc, 'EXECUTE'),
		has_function_privilege('update_app', 'rapport.$setting', 'EXECUTE WITH GRANT OPTION'),
		has_function_privilege('rapport_user', 'rapport.export_my_data()', 'EXECUTE')");
}

succeeds('a dump of the first version', "$bin/pg_dump", '-Fc', '-f', "$dir/first.dump", $data);
my $at_first = content($data, 1);

if ($first ne $current)
{
	update($first, $current);
	catalogue_is($data, fresh($current, 'set_setting(text, text)'), "$first: the catalogue of $current is that of a fresh install");
	inserts_continue($data, 10, "$first: inserts continue in $current");
}
update($current, $next);
my $new_setting = 'set_setting(text, text, text)';
my $fresh = fresh($next, $new_setting);
catalogue_is($data, $fresh, 'the catalogue is that of a fresh install');
is(rights($data, $new_setting), 't|t|f', 'what the app granted and revoked holds');
is(psql($data, q{SELECT has_function_privilege('rapport_user', p.oid, 'EXECUTE') FROM pg_proc AS p WHERE p.proname = 'likes_received'}), 'f',
	'what the extension no longer grants does not');

#
# Dumps of both versions
#

# The restored schema is that of the version that the control file names.
stage_file('rapport.control', slurp("$tree/extension/rapport.control"));
succeeds('a dump of the updated database', "$bin/pg_dump", '-Fc', '-f', "$dir/next.dump", $data);
my $at_next = content($data, 1);
create_database('update_restored');
succeeds('is restored', "$bin/pg_restore", '-e', '-d', 'update_restored', "$dir/next.dump");
is(content('update_restored', 1), $at_next, 'with every row');
catalogue_is('update_restored', $fresh, 'and the catalogue of a fresh install');
is(rights('update_restored', $new_setting), 't|t|f', 'and the rights that the app gave');
my $visit = "SET rapport.now = '$clock'; SELECT rapport.act_as(person_id) FROM app.hero WHERE n = 1 \\g /dev/null
SELECT rapport.test_visit(5);
SELECT rapport.act_as(NULL) \\g /dev/null
SELECT person_id = (SELECT person_id FROM app.hero WHERE n = 1), visit, about FROM rapport.test_visit";
for my $database ($data, 'update_restored')
{
	inserts_continue($database, 11, "$database: inserts continue");
	is(psql($database, $visit), "\nt|5|date", "$database: what is new works");
}

create_database('update_old');
my ($listed, $list) = run("$bin/pg_restore", '-l', "$dir/first.dump");
spew("$dir/list", $list =~ s/^.* SCHEMA - rapport .*\n//mgr);
is(psql('update_old', "CREATE EXTENSION rapport VERSION '$first' CASCADE"), '', "$first is installed anew");
succeeds("a dump of $first is restored into it", "$bin/pg_restore", '-e', '-L', "$dir/list", '-d', 'update_old', "$dir/first.dump");
is(content('update_old', 1), $at_first, 'with every row');
if ($first ne $current)
{
	is(psql('update_old', "ALTER EXTENSION rapport UPDATE TO '$current'"), '', "and updated to $current");
}
is(psql('update_old', "ALTER EXTENSION rapport UPDATE TO '$next'"), '', 'and updated');
is(content('update_old', 1), $at_first, 'with every row');
catalogue_is('update_old', $fresh, 'to the catalogue of a fresh install');
psql('postgres', "DROP DATABASE $_ WITH (FORCE)") for qw(update_old update_restored);

#
# A reader with an open transaction is waited for, and never dies in a deadlock
#

# A session of its own, asked line by line.
sub session
{
	my ($database) = @_;
	require IPC::Open2;
	my $pid = IPC::Open2::open2(my $out, my $in, 'sh', '-c', "exec $bin/psql -XAtq -d $database 2>&1");
	$running{$pid} = 1;
	my $ask = sub {
		my ($sql) = @_;
		print $in "$sql\n\\echo =\n";
		my $text = '';
		while (defined(my $line = <$out>))
		{
			last if $line eq "=\n";
			$text .= $line;
		}
		chomp $text;
		return $text;
	};
	my $close = sub { close $in; close $out; waitpid $pid, 0; delete $running{$pid}; return };
	return ($ask, $close);
}

create_database('update_nobody');
is(psql('update_nobody', "CREATE EXTENSION rapport VERSION '$current' CASCADE"), '', 'a database without people');

# A reader reads one of two tables, the update begins, the reader reads the
# other; what the reader and the update say.
sub meet
{
	my ($script) = @_;
	my $database = 'update_meet';
	create_database($database, 'update_nobody');
	stage_file($last_step, $script);
	my ($ask, $close) = session($database);
	$ask->('BEGIN; SELECT count(*) FROM rapport.conversation;');
	my $pid = open(my $update, '-|', 'sh', '-c', "$bin/psql -XAtq -d $database -c \"ALTER EXTENSION rapport UPDATE TO '$next'\" 2>&1") or die $!;
	my $end = time + 60;
	sleep 0.02 until time > $end
		|| $ask->(q{SELECT count(*) FROM pg_locks WHERE relation = 'rapport.conversation'::regclass AND NOT granted;});
	my $reader = $ask->('SELECT count(*) FROM rapport.profile;');
	$ask->('COMMIT;');
	my $updated = do { local $/; <$update> } // '';
	close $update;
	$close->();
	stage_file($last_step, $script{$last_step});
	return ($reader, $updated);
}
is_deeply([ meet($script{$last_step}) ], [ 0, '' ], 'an update gives way to a reader, then is done');
my $careless = $script{$last_step} =~ s/^\tLOOP\n.*?^\tEND LOOP;\n//msr;
isnt($careless, $script{$last_step}, 'a script that takes its locks as it goes');
my ($reader, $updated) = meet($careless);
like("$reader $updated", qr/deadlock detected/, 'would meet readers in a deadlock');

#
# What the comparison finds
#

sub planted
{
	my ($name, $change, $expected) = @_;
	local $_ = $script{$last_step};
	$change->() or die "$name: nothing to change";
	my $database = 'update_planted';
	create_database($database, 'update_nobody');
	stage_file($last_step, $_);
	is(psql($database, "ALTER EXTENSION rapport UPDATE TO '$next';\n" . grants($new_setting)), '', "$name: it runs");
	stage_file($last_step, $script{$last_step});
	like(join("\n", differences(catalogue($database), $fresh)), $expected, "$name: found");
	return;
}
planted('a column forgotten', sub { s/^ALTER TABLE rapport\.profile .*\n//m && s/^COMMENT ON COLUMN rapport\.profile\.test_note .*\n//mg },
	qr/^-pg_attribute .*"attname": "test_note"/m);
planted('a function left stale', sub { s/^CREATE OR REPLACE FUNCTION rapport\.distance_bucket\(metres double precision\) .*?^END;\n//ms }, qr/^-function .*distance_bucket.*10000/m);
planted('a function left over', sub { s/^DROP FUNCTION rapport\.forget_idempotency.*\n//m }, qr/^\+pg_proc .*forget_idempotency/m);
planted('a table that is not dumped', sub { s/^SELECT pg_catalog\.pg_extension_config_dump.*test_visit.*\n//m }, qr/^-pg_extension .*test_visit/m);
planted('a comment forgotten', sub { s/^COMMENT ON TABLE rapport\.test_visit.*\n//m }, qr/^-pg_description .*Visits/m);
planted('a default that differs', sub { s/DEFAULT 7/DEFAULT 8/ }, qr/^-default rapport\.conversation/m);
planted('a right left over', sub { s/^\tFOR r IN\n\t\tSELECT p\.oid, a\.grantee.*?^\tEND LOOP;\n//ms }, qr/^\+pg_proc .*likes_received/m);
planted('a built-in row left over', sub { s/^DELETE FROM rapport\.error_code;/DELETE FROM rapport.error_code WHERE code <> 'uri_too_long';/m },
	qr/^\+row rapport\.error_code \(uri_too_long/m);

# Every older release comes to this version in one step.
for my $version (grep { $_ ne $current } @released)
{
	create_database('update_release');
	is(psql('update_release', "CREATE EXTENSION rapport VERSION '$version' CASCADE; ALTER EXTENSION rapport UPDATE TO '$current'"), '', "release $version updates");
	catalogue_is('update_release', catalogue('update_nobody'), "release $version: the catalogue of a fresh install");
}

#
# Freezing
#

sub release { return (run('make', '-s', '-C', $tree, 'release'))[1] }
like(release(), qr/CHANGELOG\.md begins with/, 'a version without an entry in the changelog is not frozen');
edit('CHANGELOG.md', sub { s/^## /## $next - 2026-12-01\n\n## /m });
like(release(), qr/META\.json has another version/, 'nor one that META.json does not name');
edit('META.json', sub { s/"version": "\Q$current\E"/"version": "$next"/g });
like(release(), qr/^Frozen: /, 'then it is');
is(slurp("$tree/extension/release/rapport--$next.sql"), $script{"rapport--$next.sql"}, 'as it is built');
like(release(), qr/is frozen already/, 'and once only');
edit('extension/core/functions.sql', sub { s/A setting\./Another setting./ });
like(release(), qr/is frozen and differs/, 'and for good');

done_testing();
