# Dumps and restores a database with everything in it: into another database of
# the cluster, into an empty cluster, over itself, and through pg_upgrade. Then
# the guard against dropping, and two databases in one cluster.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;

my $bin = "/usr/lib/postgresql/$ENV{PG_VERSION}/bin";
my $dir = tempdir(CLEANUP => 1);
my $source = 'dump_source';
my $clock = '2026-03-01 12:00:00+00';
my $people = $ENV{RAPPORT_LONG} ? 20000 : 1500;
my @made = ($source);    # databases of the first cluster, to be dropped
my %server;              # data folders of the clusters made here

delete @ENV{qw(PGOPTIONS PGDATABASE)};

# Runs a command; returns whether it succeeded, and what it printed.
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

# The rows of a script run by a superuser, unaligned; what it printed up to its
# first error, where there is one.
sub psql
{
	my ($database, $sql, @options) = @_;
	my $file = "$dir/script.sql";
	open my $out, '>', $file or die "$file: $!";
	print $out $sql;
	close $out;
	my ($good, $text) = run("$bin/psql", '-XAtq', '-v', 'ON_ERROR_STOP=1', @options, '-d', $database, '-f', $file);
	return $text =~ s{^psql:\Q$file\E:\d+: }{}mgr;
}

# A cluster of its own below $dir, with the extension staged for the first one.
sub make_cluster
{
	my ($name) = @_;
	my $data = "$dir/$name";
	my ($good, $text) = run("$bin/initdb", '-D', $data, '-U', 'postgres', '-E', 'UTF8', '--locale=C.UTF-8',
		'--auth-local=trust', '--auth-host=reject', '--no-instructions', '--no-sync');
	die $text if !$good;
	open my $conf, '>>', "$data/postgresql.conf" or die $!;
	print $conf "listen_addresses = ''\nunix_socket_directories = '$dir/$name'\nfsync = off\ntimezone = 'UTC'\n",
		"include '$ENV{PGHOST}/stage.conf'\nshared_buffers = 32MB\n";
	close $conf;
	$server{$name} = $data;
	return $data;
}

sub start_cluster
{
	my ($name) = @_;
	my ($good, $text) = run("$bin/pg_ctl", '-D', $server{$name}, '-l', "$dir/$name.log", '-w', 'start');
	die $text if !$good;
	return $server{$name};
}

sub stop_cluster { my ($name) = @_; run("$bin/pg_ctl", '-D', $server{$name}, '-m', 'fast', '-w', 'stop') }

sub in_cluster { my ($name, $code) = @_; local $ENV{PGHOST} = $server{$name}; return $code->() }

END
{
	my $status = $?;
	stop_cluster($_) for grep { -e "$server{$_}/postmaster.pid" } keys %server;
	$? = $status;
}

#
# The population
#

psql('postgres', "DROP DATABASE IF EXISTS $source; CREATE DATABASE $source");
psql($source, 'SET client_min_messages = warning; CREATE EXTENSION rapport CASCADE');
{
	local $ENV{PGDATABASE} = $source;
	succeeds('the catalogue', "$bin/psql", '-Xq', '-f', 'test/data/catalogue.sql');
	succeeds('a population', "$bin/psql", '-Xq', '-v', "people=$people", '-v', 'today=2026-03-01', '-f', 'test/data/generate.sql');
}
is(psql($source, <<"SQL"), '', 'accounts, likes, matches, messages, blocks, settings, hooks and routes');
SET client_min_messages = warning;
SET rapport.now = '$clock';
\\o /dev/null
SELECT rapport.set_setting('password_memory', '1'), rapport.set_setting('password_ops', '1'),
	rapport.set_scoring_profile('ours', '{"distance": 2, "tags": 1}'), rapport.set_scoring_profile('nearby', '{}'), rapport.set_mode_scoring('friends', 'ours'), rapport.set_setting('pass_days', '30'),
	rapport.set_setting('move_max_kmh', '0');
SELECT rapport.define_mode('hiking'), rapport.require_step('about', false);
CALL rapport.import_people('sample.people',
	'{"external_id": "id", "display_name": "name", "birth_date": "born", "latitude": "lat", "longitude": "lon", "about": "about",
	  "tags": "tags", "active_on": "seen", "attributes": "attrs", "preferences": "prefs"}');
CREATE TABLE refused (id text, name text, born text);
INSERT INTO refused VALUES ('child', 'Kim', '2015-01-01');
CALL rapport.take_census();
CALL rapport.import_people('refused', '{"external_id": "id", "display_name": "name", "birth_date": "born"}');
DROP SCHEMA sample CASCADE;

-- An app's own hook and route, in a schema of its own.
CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO PUBLIC;
CREATE TABLE app.matched (lo bigint, hi bigint);
CREATE FUNCTION app.note_match(ids bigint[]) RETURNS void
	LANGUAGE sql SECURITY DEFINER AS 'INSERT INTO app.matched VALUES (ids[1], ids[2])';
SELECT rapport.add_hook('matched', 'app.note_match(bigint[])');
CREATE FUNCTION app.hello(name text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN ''hello '' || name; END';
REVOKE ALL ON FUNCTION app.hello(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app.hello(text) TO rapport_user;
SELECT rapport.add_route('GET', '/v1/app/hello/{name}', 'app.hello');

-- The hero is whoever has most people to discover; the others are those, best first.
CREATE TABLE app.part (part text PRIMARY KEY, person_id bigint);
DO \$\$
DECLARE
	p record;
	found bigint[];
	best bigint[] := '{}';
	hero bigint;
	talk bigint;
	club bigint;
	choir bigint;
BEGIN
	FOR p IN
		SELECT c.person_id FROM rapport.candidate AS c JOIN rapport.external_identity AS e USING (person_id)
		WHERE c.mode = 1 ORDER BY length(e.external_id), e.external_id LIMIT 150
	LOOP
		PERFORM rapport.act_as(p.person_id, true);
		found := ARRAY(SELECT d.person_id FROM rapport.discover('date', 100) AS d);
		PERFORM rapport.act_as(NULL, true);
		IF cardinality(found) > cardinality(best) THEN
			best := found;
			hero := p.person_id;
		END IF;
	END LOOP;
	INSERT INTO app.part VALUES ('hero', hero);
	INSERT INTO app.part SELECT 'p' || n, best[n] FROM generate_series(1, cardinality(best)) AS n;

	-- 1 to 5 match, 6 to 8 wait for an answer, 9 waits for one, 10 was passed, 11 and 4 are blocked, 3 is unmatched.
	FOR n IN 1..8 LOOP
		PERFORM rapport.act_as(best[n], true);
		PERFORM rapport."like"(hero, 'date');
		PERFORM rapport.act_as(NULL, true);
	END LOOP;
	PERFORM rapport.act_as(hero, true);
	FOR n IN 1..5 LOOP
		PERFORM rapport."like"(best[n], 'date');
	END LOOP;
	PERFORM rapport."like"(best[9], 'date'), rapport.pass(best[10], 'date'), rapport.block(best[11]);
	FOR n IN 1..30 LOOP
		PERFORM rapport.send_message(c.conversation_id, 'h' || n, 'line ' || n || E'\\n\\twith \\\\. and \\U0001F600')
		FROM rapport.conversations() AS c;
	END LOOP;
	PERFORM rapport.mark_read(c.conversation_id, 7) FROM rapport.conversations() AS c;
	talk := (SELECT m.conversation_id FROM rapport.matches() AS m WHERE m.person_id = best[1]);
	PERFORM rapport.edit_message(talk, 5, 'edited'), rapport.delete_message(talk, 6, true), rapport.delete_message(talk, 7), rapport.react(talk, 8, 'ok');
	PERFORM rapport.set_message_timer(m.conversation_id, 60) FROM rapport.matches() AS m WHERE m.person_id = best[2];
	-- A group of the hero's with two others, two that the hero is asked into; intros to the hero and by them.
	SELECT g.conversation_id INTO club FROM rapport.create_group('Club') AS g;
	PERFORM rapport.invite_to_group(club, best[n]) FROM unnest(ARRAY[1, 2, 5]) AS n;
	PERFORM rapport.send_intro(best[15], 'Hello there', 'date');
	PERFORM rapport.act_as(NULL, true);
	FOR n IN 1..2 LOOP
		PERFORM rapport.act_as(best[n], true);
		PERFORM rapport.join_group(club);
		PERFORM rapport.set_chat_preferences(n = 1);
		SELECT g.conversation_id INTO choir FROM rapport.create_group('Choir ' || n) AS g;
		PERFORM rapport.invite_to_group(choir, hero);
		PERFORM rapport.act_as(NULL, true);
		PERFORM rapport.act_as(best[15 + n], true);
		PERFORM rapport.send_intro(hero, 'From ' || n, 'date');
		PERFORM rapport.act_as(NULL, true);
	END LOOP;
	PERFORM rapport.act_as(hero, true);
	PERFORM rapport.send_message(club, 'club', 'to all');
	PERFORM rapport.unmatch(best[3], 'date'), rapport.block(best[4]);
	PERFORM rapport.remember('key', 'request', '{}');
	PERFORM rapport.act_as(NULL, true);
	PERFORM rapport.set_credential_for(hero, 'hero\@example.org', 'correct horse');
	PERFORM rapport.set_state_for(best[12], 'suspended');
	-- What was learnt of people, how rare their tags are, and a swipe that is packed.
	PERFORM rapport.set_scalars_for(best[13:14], '{0.7,0.2}', '{0.4,0.9}', '{0.1,0}');
	WHILE NOT rapport.count_tags(1000) LOOP
	END LOOP;
	UPDATE rapport.swiper AS s
	SET tail = 0, folded = s.folded + s.tail
	WHERE s.person_id = best[9 - 1]
	AND rapport.seen_fold(s.person_id, s.mode, 0) = 0;
END;
\$\$;
SELECT rapport.sign_up('ann\@example.org', 'correct horse'), rapport.sign_in('ann\@example.org', 'wrong horse');
CALL rapport.rebuild_keys();
SELECT rapport.set_shards(rapport.curve_cuts(2));
SELECT count(*) FROM rapport.partition_candidates(3);
-- Some conversations are sealed, and the pass stands between them.
SET rapport.now = '2026-03-09 12:00Z';
SELECT rapport.seal_messages(60);
SQL
is(psql($source, 'SELECT count(*) > 1, sum((SELECT count(*) FROM rapport.block_messages(b.conversation_id, b.first_seq, b.data))) > 59, (SELECT done_to > 0 FROM rapport.chat_pass) FROM rapport.message_block AS b'),
	't|t|t', 'messages are sealed');
cmp_ok(psql($source, 'SELECT count(*) FROM app.part'), '>', 20, 'there are people to discover');

# Sign-in of the hero, on two devices; the tokens must not change with a dump.
sub sign_in
{
	my ($database, $device) = @_;
	return split /\|/, psql($database, "SET rapport.now = '$clock';
		SELECT access_token, refresh_token FROM rapport.sign_in('hero\@example.org', 'correct horse', '$device')");
}
my ($access, $refresh) = sign_in($source, 'phone');
sign_in($source, 'tablet');
my $begin = sub { my ($token) = @_; return "SET rapport.now = '$clock'; SELECT rapport.request_begin('$token', true, NULL) > 0" };
is(psql($source, $begin->($access)), 't', 'the access token is good');
my $cursor = psql($source, "SET rapport.now = '$clock'; " . <<'SQL');
SELECT rapport.act_as(person_id) FROM app.part WHERE part = 'hero' \g /dev/null
SELECT cursor FROM rapport.discover('date', 5) OFFSET 4;
SQL

#
# What is compared
#

my %dumped = map { split /\|/, $_, 2 } split /\n/, psql($source, <<'SQL');
SELECT c.oid::regclass, concat(c.relkind, coalesce(e.extcondition[array_position(e.extconfig, c.oid)], ': not dumped'))
FROM pg_extension AS e
JOIN pg_depend AS d ON d.refobjid = e.oid AND d.deptype = 'e' AND d.classid = 'pg_class'::regclass
JOIN pg_class AS c ON c.oid = d.objid AND c.relkind IN ('r', 'S')
WHERE e.extname = 'rapport'
SQL
my @short_lived = sort grep { $dumped{$_} eq 'rWHERE false' } keys %dumped;
my @tables = sort grep { $dumped{$_} =~ /^r/ && $dumped{$_} ne 'rWHERE false' } keys %dumped;
my @sequences = sort grep { $dumped{$_} =~ /^S/ } keys %dumped;

# Rows and a hash of the content of each table, the state of each sequence.
sub content
{
	my ($database) = @_;
	return psql($database, "SET timezone = 'UTC'; SET search_path = pg_catalog;\n" . join('', map {
		"SELECT '$_', count(*), md5(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE \"C\")) FROM $_ AS t;\n" } @tables, 'rapport.candidate', 'app.part', 'app.matched')
		. join('', map { "SELECT '$_', last_value, is_called FROM $_;\n" } @sequences));
}

# What every function that only reads answers to the hero; not what differs
# from call to call (cursors are sealed anew), nor what a dump leaves out.
my $read = "SET timezone = 'UTC';\nSET rapport.now = '$clock';\n" . <<'SQL';
SELECT md5(string_agg(r::text, '' ORDER BY method, path)) FROM rapport.routes() AS r;
SELECT rapport.api_version();
SELECT md5(rapport.openapi()::text);
SELECT person_id AS hero FROM app.part WHERE part = 'hero' \gset
SELECT person_id AS p1 FROM app.part WHERE part = 'p1' \gset
SELECT person_id AS p20 FROM app.part WHERE part = 'p20' \gset
SELECT * FROM rapport.scoring_profiles();
SELECT rapport.act_as(:hero) \g /dev/null
SELECT count(*), md5(string_agg(e::text, '' ORDER BY code)) FROM rapport.error_codes() AS e;
SELECT session_id, created_at, refreshed_at, expires_at, user_agent FROM rapport.sessions() ORDER BY 1;
SELECT * FROM rapport.my_account();
SELECT md5(a::text) FROM rapport.attributes('es') AS a;
SELECT * FROM rapport.my_profile();
SELECT person_id, blocked_at, cursor FROM rapport.blocks();
SELECT person_id, display_name, age, distance_km, score, shared_tags, attributes, about, why FROM rapport.discover('date', 100);
SELECT person_id, score FROM rapport.discover('date', 7, :'cursor');
SELECT person_id, score FROM rapport.discover('date', 20, sort => 'newest', radius_km => 30, active_within_days => 300);
SELECT rapport.count_discoverable('date', 30), rapport.discover_reason('date', tags => '{nobody has it}');
SELECT * FROM rapport.person(:p20);
SELECT rapport.explain_match(:p20, 'date');
SELECT action, per_day, remaining FROM rapport.quotas('date');
SELECT person_id, display_name, liked_at FROM rapport.likes_received('date');
SELECT person_id, display_name, matched_at, conversation_id, in_mode FROM rapport.matches();
SELECT conversation_id, kind, title, person_id, last_seq, change_seq, read_seq, unread, last_message FROM rapport.conversations();
SELECT c.conversation_id, x.* FROM rapport.conversations() AS c, rapport.changed_messages(c.conversation_id, 0) AS x ORDER BY 1, 2;
SELECT c.conversation_id, r.* FROM rapport.conversations() AS c, rapport.receipts(c.conversation_id) AS r ORDER BY 1, 2;
SELECT g.* FROM rapport.conversations() AS c, rapport.group_members(c.conversation_id) AS g WHERE c.kind = 'group';
SELECT conversation_id, title, invited_by, display_name, invited_at FROM rapport.group_invitations();
SELECT person_id, display_name, in_mode, body, sent_at FROM rapport.intros();
SELECT person_id, sent_at FROM rapport.intros_sent();
SELECT * FROM rapport.chat_preferences();
SELECT items FROM rapport.search_messages('line');
SELECT reset, items, more FROM rapport.sync();
SELECT m.* FROM rapport.conversations() AS c, rapport.messages(c.conversation_id, 100) AS m ORDER BY m.conversation_id, m.seq;
SELECT md5((rapport.export_my_data() #- '{data,idempotency}' #- '{data,message_dedupe}')::text);
SELECT app.hello('you');
SQL
$read =~ s/ ORDER BY m\.conversation_id, m\.seq/ ORDER BY c.conversation_id, m.seq/;

sub answers { my ($database) = @_; return psql($database, $read, '-v', "cursor=$cursor") }

# What every function that writes does to the hero; prints the same everywhere.
my $write = "SET rapport.now = '$clock';\n" . <<'SQL';
SELECT person_id AS hero FROM app.part WHERE part = 'hero' \gset
SELECT person_id AS p1 FROM app.part WHERE part = 'p1' \gset
SELECT person_id AS p2 FROM app.part WHERE part = 'p2' \gset
SELECT person_id AS p4 FROM app.part WHERE part = 'p4' \gset
SELECT person_id AS p6 FROM app.part WHERE part = 'p6' \gset
SELECT person_id AS p13 FROM app.part WHERE part = 'p13' \gset
SELECT person_id AS p5 FROM app.part WHERE part = 'p5' \gset
SELECT person_id AS p18 FROM app.part WHERE part = 'p18' \gset
SELECT person_id AS p20 FROM app.part WHERE part = 'p20' \gset
SELECT 'ids', count(DISTINCT n.id), count(*) FILTER (WHERE k.person_id IS NOT NULL OR c.conversation_id IS NOT NULL)
FROM (SELECT rapport.new_id() AS id FROM generate_series(1, 5000)) AS n
LEFT JOIN rapport.person AS k ON k.person_id = n.id
LEFT JOIN rapport.conversation AS c ON c.conversation_id = n.id;
SELECT rapport.sign_up('new@example.org', 'correct horse') \g /dev/null
SELECT 'sign_up', refusal IS NULL, access_token IS NOT NULL FROM rapport.sign_in('new@example.org', 'correct horse');
SELECT 'taken', refusal FROM rapport.sign_in('hero@example.org', 'wrong horse');
SELECT access_token FROM rapport.refresh_session(:'refresh') \gset
SELECT 'hooks', count(*) FROM app.matched;
SELECT rapport.act_as(:p20) \g /dev/null
SELECT 'like', matched FROM rapport."like"(:hero, 'date');
SELECT rapport.act_as(NULL) \g /dev/null
BEGIN;
SELECT 'refreshed token', rapport.request_begin(:'access_token', false, NULL) = :hero;
SELECT 'match', matched, conversation_id IS NOT NULL FROM rapport."like"(:p20, 'date');
SELECT conversation_id AS fresh FROM rapport.matches() WHERE person_id = :p20 \gset
SELECT 'first', seq, duplicate FROM rapport.send_message(:fresh, 'a', 'first');
SELECT conversation_id AS old FROM rapport.matches() WHERE person_id = :p1 \gset
SELECT 'next', seq, duplicate FROM rapport.send_message(:old, 'a', 'next');
SELECT rapport.mark_read(:old, 31) \g /dev/null
SELECT 'read', unread FROM rapport.conversations() WHERE conversation_id = :old;
SELECT 'batch', count(*) FROM rapport.send_messages(:old, '[{"client_id": "b1", "body": "one"}, {"client_id": "b2", "body": "two"}]');
SELECT rapport.mark_delivered(:old, 33), rapport.react(:old, 4, 'yes'), rapport.unreact(:old, 8), rapport.delete_message(:old, 9, true),
	rapport.mute_conversation(:old, 'infinity'), rapport.archive_conversation(:old, true), rapport.set_message_timer(:old, 5), rapport.set_chat_preferences(false) \g /dev/null
SELECT 'edited', change_seq FROM rapport.edit_message(:old, 5, 'edited again');
SELECT 'changes', count(*) FROM rapport.changed_messages(:old, 0);
SELECT rapport.clear_conversation(:old, 20) \g /dev/null
SELECT 'cleared', min(seq) FROM rapport.messages(:old, 100);
SELECT conversation_id AS club FROM rapport.conversations() WHERE title = 'Club' \gset
SELECT rapport.rename_group(:club, 'Society'), rapport.set_group_role(:club, :p2, 'admin'), rapport.remove_from_group(:club, :p1), rapport.invite_to_group(:club, :p5) \g /dev/null
SELECT 'members', count(*), count(*) FILTER (WHERE role = 'admin') FROM rapport.group_members(:club);
SELECT conversation_id AS choir FROM rapport.group_invitations() WHERE title = 'Choir 1' \gset
SELECT rapport.join_group(:choir), rapport.leave_group(:choir) \g /dev/null
SELECT rapport.decline_group(conversation_id) FROM rapport.group_invitations() \g /dev/null
SELECT 'invitations', count(*) FROM rapport.group_invitations();
SELECT 'group', conversation_id IS NOT NULL FROM rapport.create_group('Another');
SELECT 'intro', a.conversation_id IS NOT NULL FROM rapport.intros() AS i, rapport.accept_intro(i.person_id) AS a WHERE i.body = 'From 1';
SELECT rapport.decline_intro(person_id) FROM rapport.intros() \g /dev/null
SELECT rapport.send_intro(:p18, 'Hello', 'date') \g /dev/null
SELECT 'intros', count(*) FROM rapport.intros_sent();
SELECT 'pass', rapport.pass(:p6, 'date');
SELECT 'maybe', rapport.maybe(:p13, 'date');
SELECT 'rewind', action FROM rapport.rewind('date');
SELECT 'super_like', matched FROM rapport.super_like(:p13, 'date');
SELECT 'unmatch', rapport.unmatch(:p2, NULL);
SELECT 'unblock', rapport.unblock(:p4);
SELECT 'reopened', count(*) FROM rapport.conversations() WHERE person_id = :p4;
SELECT 'block', rapport.block(:p1);
SELECT 'closed', count(*) FROM rapport.conversations() WHERE person_id = :p1;
SELECT 'profile', rapport.update_profile('{"about": "Restored.", "tags": ["resilience"]}');
SELECT 'place', rapport.set_place(52.52, 13.405);
SELECT 'preference', rapport.set_preference('hiking', '{"age": [20, 90]}');
SELECT 'modes', missing FROM rapport.my_profile();
SELECT rapport.revoke_session(session_id) FROM rapport.sessions() WHERE user_agent = 'tablet' \g /dev/null
SELECT 'sessions', user_agent, current FROM rapport.sessions();
SELECT 'password', refusal FROM rapport.change_password('correct horse', 'battery staple');
SELECT 'sign_out', rapport.sign_out();
COMMIT;
SELECT 'hooks', count(*) FROM app.matched;
SELECT 'candidates', count(*) FROM rapport.candidate WHERE person_id = :hero;
SELECT 'signed out', count(*) FROM rapport.session WHERE person_id = :hero;
SELECT 'gaps', count(*)
FROM rapport.conversation AS c
CROSS JOIN LATERAL (SELECT count(*) AS n, coalesce(max(m.seq), 0) AS last FROM rapport.message_range(c.conversation_id, 1, 1000) AS m) AS m
WHERE c.last_seq <> m.n OR c.last_seq <> m.last;
SELECT rapport.act_as(:hero) \g /dev/null
SELECT 'erased', refusal FROM rapport.delete_my_account('battery staple');
SELECT rapport.act_as(NULL) \g /dev/null
SELECT 'left', count(*) FROM rapport.person WHERE person_id = :hero;
SELECT 'scoring', rapport.set_scoring_profile('late', '{}');
SELECT 'of the mode', rapport.set_mode_scoring('date', 'late');
SELECT 'of the mode', rapport.set_mode_scoring('date');
SELECT 'dropped', rapport.drop_scoring_profile('late');
CREATE TABLE late (id text, name text, born date);
INSERT INTO late VALUES ('late', 'Late', '1990-01-01');
CALL rapport.import_people('late', '{"external_id": "id", "display_name": "name", "birth_date": "born"}');
SELECT 'rebuilt', rebuilt FROM rapport.after_restore();
SQL
my $written = <<'OUT' =~ s/\n\z//r;
ids|5000|0
sign_up|t|t
taken|invalid_credentials
hooks|5
like|f
refreshed token|t
match|t|t
first|1|f
next|31|f
read|0
batch|2
edited|7
changes|5
cleared|21
members|2|1
invitations|0
group|t
intro|t
intros|2
pass|
maybe|
rewind|maybe
super_like|f
unmatch|
unblock|
reopened|1
block|
closed|0
profile|
place|
preference|
modes|{}
sessions|phone|t
password|
sign_out|
hooks|7
candidates|3
signed out|0
gaps|0
erased|
left|0
scoring|
of the mode|
of the mode|
dropped|
1|0|0
rebuilt|0
OUT

is(join(' ', grep { "$read$write" !~ /\brapport\."?\Q$_\E"?\(/ }
	map { s/^rapport\.|"//gr } split /\n/, psql($source, q(SELECT DISTINCT call FROM rapport.route WHERE builtin))),
	'', 'every function of a route is called here');

my $content = content($source);
my $answers = answers($source);
unlike($answers, qr/ERROR/, 'every function answers') or diag($answers);
cmp_ok(scalar(() = $content =~ /\|0\|$/mg), '==', 0, 'every dumped table has rows') or diag($content);
like(psql($source, join '', map { "SELECT '$_', count(*);\n" =~ s/;/ FROM $_;/r } @short_lived), qr/\A(?:.*\|[1-9]\d*\n?)+\z/,
	'and every short-lived one') or diag(join ' ', @short_lived);

# The state of a restored database, and that it goes on from there.
sub check
{
	my ($name, $database) = @_;
	my $is = content($database);
	is($is, $content, "$name: every table and sequence is equal");
	is(psql($database, join '', map { "SELECT '$_' FROM $_ LIMIT 1;\n" } @short_lived), '',
		"$name: what is short-lived is left out");
	is(psql($database, "SET rapport.now = '$clock'; SELECT rebuilt, problems, people > 0, candidates > 0, index_bytes > 0 FROM rapport.after_restore()"),
		'0|0|t|t|t', "$name: no key needs a rebuild, and the index is right");
	is(answers($database), $answers, "$name: every function answers as before");
	is(psql($database, $begin->($access)), "ERROR:  the token is not valid\nHINT:  Sign in again.", "$name: access tokens ended");
	is(psql($database, $write, '-v', "refresh=$refresh"), $written, "$name: life goes on");
	return;
}

sub fresh
{
	my ($database) = @_;
	psql('postgres', "DROP DATABASE IF EXISTS $database; CREATE DATABASE $database");
	push @made, $database if !in_our_cluster();
	return $database;
}

sub in_our_cluster { return scalar grep { $ENV{PGHOST} eq $_ } values %server }

#
# Dump and restore
#

succeeds('pg_dump, plain', "$bin/pg_dump", '-f', "$dir/plain.sql", $source);
succeeds('pg_dump, custom', "$bin/pg_dump", '-Fc', '-f', "$dir/custom", $source);
succeeds('pg_dump, with --clean', "$bin/pg_dump", '--clean', '--if-exists', '-f', "$dir/clean.sql", $source);
my @plain = ("$bin/psql", '-Xq', '-v', 'ON_ERROR_STOP=1', '-1', '-o', '/dev/null', '-f', "$dir/plain.sql", '-d');

succeeds('restore beside it, plain', @plain, fresh('dump_plain'));
check('beside, plain', 'dump_plain');
succeeds('restore beside it, custom', "$bin/pg_restore", '-e', '-d', fresh('dump_custom'), "$dir/custom");
check('beside, custom', 'dump_custom');

# pg_dump does not store which rows of an extension's tables others refer to, so
# parallel jobs would load them in any order: foreign keys rest meanwhile.
fresh('dump_custom');
succeeds("restore in parallel: @$_", "$bin/pg_restore", '-e', @$_, '-d', 'dump_custom', "$dir/custom")
	for [ '--section=pre-data' ], [ '--section=data', '--data-only', '--disable-triggers', '-j2' ], [ '--section=post-data', '-j2' ];
check('beside, in parallel', 'dump_custom');

make_cluster('empty');
start_cluster('empty');
in_cluster('empty', sub {
	is(psql('postgres', q(SELECT count(*) FROM pg_roles WHERE rolname LIKE 'rapport%')), 0, 'a cluster without our roles');
	succeeds('restore into it, plain', @plain, fresh('dump_plain'));
	check('empty cluster, plain', 'dump_plain');
});
stop_cluster('empty');
make_cluster('empty2');
start_cluster('empty2');
in_cluster('empty2', sub {
	succeeds('restore into another, custom, creating the database', "$bin/pg_restore", '-e', '-C', '-d', 'postgres', "$dir/custom");
	check('empty cluster, custom', $source);
});
stop_cluster('empty2');

#
# The guard
#

my $refused = qr/\AERROR:  extension "rapport" is not dropped while people exist\nDETAIL:  .*\nHINT:  Dump first: pg_dump/;
for my $drop ('DROP EXTENSION rapport', 'DROP EXTENSION rapport CASCADE', 'DROP EXTENSION postgis CASCADE',
	'DROP SCHEMA rapport CASCADE', 'DROP SCHEMA public CASCADE', 'DROP SCHEMA app, public CASCADE',
	q(DO $$ BEGIN EXECUTE 'DROP EXTENSION rapport'; END; $$))
{
	like(psql($source, "SET client_min_messages = warning;\n$drop"), $refused, "refused: $drop");
}
like(psql($source, 'DROP OWNED BY rapport_owner CASCADE'), qr/\AERROR: .* because extension rapport requires it/,
	'DROP OWNED BY rapport_owner is refused by the server: members are dropped with their extension only');
is(psql($source, "BEGIN; SAVEPOINT s;\n\\set ON_ERROR_STOP off\nDROP EXTENSION rapport;\nROLLBACK TO s; DROP TABLE app.matched; ROLLBACK; SELECT 'goes on'")
	=~ s/\A.*\n//sr, 'goes on', 'after a refusal a savepoint holds');
is(psql($source, 'SET rapport.allow_drop = on; BEGIN; SET client_min_messages = warning; DROP SCHEMA public CASCADE; ROLLBACK; SELECT count(*) > 0 FROM rapport.person'),
	't', 'what is rolled back is there again');
is(psql($source, "CREATE SCHEMA other CREATE TABLE t (); DROP TABLE other.t; DROP SCHEMA other; CREATE EXTENSION plpgsql_check; DROP EXTENSION plpgsql_check; SELECT 'done'"),
	'done', 'other drops are not its business');
is(content($source), $content, 'nothing was lost');

# Its owner need not be the bootstrap superuser; an ordinary owner of a database can neither drop nor allow it.
psql('postgres', 'CREATE ROLE dump_admin SUPERUSER LOGIN; CREATE ROLE dump_landlord LOGIN; CREATE DATABASE dump_owned OWNER dump_landlord');
push @made, 'dump_owned';
psql('dump_owned', 'SET client_min_messages = warning; SET ROLE dump_admin; CREATE EXTENSION rapport CASCADE');
is(psql('dump_owned', 'DROP EXTENSION rapport; CREATE EXTENSION rapport; SELECT count(*) FROM rapport.person'), 0, 'nobody is there: the drop passes');
psql('dump_owned', 'DROP EXTENSION rapport; DROP SCHEMA rapport; SET ROLE dump_admin; CREATE EXTENSION rapport');
psql('dump_owned', q(SELECT rapport.new_person('one')));
like(psql('dump_owned', 'SET client_min_messages = warning; DROP OWNED BY dump_admin CASCADE'), $refused, 'refused: DROP OWNED BY who installed it');
{
	local $ENV{PGUSER} = 'dump_landlord';
	like(psql('dump_owned', 'SET client_min_messages = error; DROP SCHEMA public CASCADE'), $refused, 'refused to the owner of the database');
	like(psql('dump_owned', "SET client_min_messages = error; SET rapport.allow_drop = on;\nDROP SCHEMA public CASCADE"), $refused,
		'who cannot allow it: the setting is the superuser\'s');
	is(psql('dump_owned', 'CREATE SCHEMA mine; DROP SCHEMA mine; SELECT 1'), 1, 'but can drop what is theirs');
}
my ($stage) = glob '../stage/usr/share/postgresql/*/extension/rapport.control' or die 'no staged extension';
my ($version) = `cat $stage` =~ /^default_version = '(.*)'/m;
my $update = $stage =~ s/\.control$/--$version--$version.guard.sql/r;
{
	open my $out, '>', $update or die "$update: $!";
	print $out "CREATE SCHEMA passing; DROP SCHEMA passing; DROP FUNCTION rapport.table_with_people();\n";
	close $out;
	is(psql('dump_owned', "ALTER EXTENSION rapport UPDATE TO '$version.guard'; SELECT extversion FROM pg_extension WHERE extname = 'rapport'"),
		"$version.guard", 'an update may drop what it likes');
	unlink $update;
}

# Restoring over what is there.
my @over = ("$bin/pg_restore", '--clean', '--if-exists', '-e', '-d', $source, "$dir/custom");
{
	my ($good, $text) = run(@over, '-1');
	like($text, qr/extension "rapport" is not dropped while people exist/, 'pg_restore --clean over people is refused');
	is(content($source), $content, 'and changes nothing');
	local $ENV{PGOPTIONS} = '-c rapport.allow_drop=on';
	succeeds('pg_restore --clean with rapport.allow_drop', @over);
	delete local $ENV{PGOPTIONS};
	check('over itself, cleaned', $source);
}
is(psql($source, 'SET client_min_messages = warning; SET rapport.allow_drop = on; DROP EXTENSION rapport CASCADE; DROP SCHEMA rapport, app CASCADE; DROP EXTENSION postgis; DROP TABLE refused, late'),
	'', 'dropped, when allowed');
succeeds('restore after the drop', @plain, $source);
check('the same database, dropped', $source);
succeeds('a plain dump with --clean into an empty database', @plain[0 .. $#plain - 2], "$dir/clean.sql", '-d', fresh('dump_plain'));
check('an empty database, --clean', 'dump_plain');

#
# Two databases in one cluster
#

my $one = fresh('dump_custom');
succeeds('one', @plain, $one);
psql(fresh('dump_two'), 'SET client_min_messages = warning; CREATE EXTENSION rapport CASCADE');
psql('dump_two', q(SELECT rapport.set_setting('password_memory', '1'), rapport.set_setting('password_ops', '1'), rapport.sign_up('hero@example.org', 'correct horse')));
my ($access_one, $refresh_one) = sign_in($one, 'tablet');
my ($access_two, $refresh_two) = sign_in('dump_two', 'two');
is(psql($one, $begin->($access_one)) . psql('dump_two', $begin->($access_two)), 'tt', 'each takes its own tokens');
like(psql($one, $begin->($access_two)), qr/\AERROR:  the token is not valid/, 'not those of the other');
like(psql('dump_two', $begin->($access_one)), qr/\AERROR:  the token is not valid/, 'nor the other way');
is(psql($one, "SELECT refusal FROM rapport.refresh_session('$refresh_two')")
	. psql('dump_two', "SELECT refusal FROM rapport.refresh_session('$refresh_one')"), 'invalid_tokeninvalid_token', 'refresh tokens alike');
my $before = content($one);
is(psql('dump_two', 'SET client_min_messages = warning; SET rapport.allow_drop = on; DROP EXTENSION rapport CASCADE; DROP SCHEMA rapport; SELECT 1'), 1, 'one is dropped');
is(psql('dump_two', q(SELECT count(*) FROM pg_roles WHERE rolname LIKE 'rapport\_%')), 7, 'the roles stay');
psql('postgres', 'DROP DATABASE dump_two');
is(content($one), $before, 'the other is as it was');
is(psql($one, $begin->($access_one)), 't', 'its tokens are good');
is(psql($one, $write, '-v', "refresh=$refresh"), $written, 'life goes on there');

#
# pg_upgrade: tables are taken as files, into new catalogues
#

make_cluster('old');
start_cluster('old');
my ($old_content, $old_answers, $old_access);
in_cluster('old', sub {
	succeeds('a cluster to upgrade', @plain, fresh($source));
	($old_access) = sign_in($source, 'tablet');
	($old_content, $old_answers) = (content($source), answers($source));
});
stop_cluster('old');
make_cluster('new');
{
	# pg_upgrade looks for libraries where the server's own are, staged or not:
	# a copy of the programs, with ours among theirs.
	my $home = "/usr/lib/postgresql/$ENV{PG_VERSION}";
	my $own = "$dir$home";
	my $share = "/usr/share/postgresql";
	my ($copied, $why) = run('sh', '-ec', "mkdir -p $own $dir$share; cp -r $home/bin $home/lib $own; "
		. "cp ../stage$home/lib/rapport.so $own/lib; ln -s $share/$ENV{PG_VERSION} $dir$share");
	die $why if !$copied;
	my ($good, $text) = run('sh', '-c', "cd $dir && exec $own/bin/pg_upgrade -U postgres -b $own/bin -B $own/bin -d $server{old} -D $server{new} -s $dir");
	ok($good, 'pg_upgrade') or diag($text, map { `cat $_` } glob("$server{new}/pg_upgrade_output.d/*/*.{txt,log}"));
}
start_cluster('new');
in_cluster('new', sub {
	is(content($source), $old_content, 'upgraded: every table and sequence is equal');
	is(psql($source, 'SELECT rebuilt, people > 0 FROM rapport.after_restore()'), '0|t', 'upgraded: no key needs a rebuild');
	is(answers($source), $old_answers, 'upgraded: every function answers as before');
	is(psql($source, $begin->($old_access)), 't', 'upgraded: access tokens go on');
	is(psql($source, $write, '-v', "refresh=$refresh"), $written, 'upgraded: life goes on');
	like(psql($source, 'DROP EXTENSION rapport'), $refused, 'upgraded: and is guarded');
});
stop_cluster('new');

psql('postgres', "DROP DATABASE IF EXISTS $_") for @made;
psql('postgres', 'DROP ROLE dump_admin; DROP ROLE dump_landlord');
done_testing();
