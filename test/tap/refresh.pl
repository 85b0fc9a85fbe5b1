# Fifty clients with one refresh token at the same moment, and whether secrets
# reach the server's log.
use strict;
use warnings;
use Test::More;

my $clients = 50;
my $database = 'tap_refresh';
my $log = "$ENV{PGHOST}/log";

# The rows of a statement run by a superuser, unaligned; dies when it fails.
sub psql
{
	my ($sql, $in) = @_;
	open(my $out, '-|', 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $in // $database, '-c', $sql)
		or die "cannot run psql: $!";
	my $rows = do { local $/; <$out> } // '';
	close($out) or die "failed: $sql";
	chomp $rows;
	return $rows;
}

# Runs a script in pgbench; returns what it printed. Dies when a client fails.
sub pgbench
{
	my ($script, @options) = @_;
	my $file = "refresh_$$.sql";
	open(my $in, '>', $file) or die "$file: $!";
	print $in $script;
	close($in);
	open(my $out, '-|', 'pgbench', '-n', '-f', $file, @options, $database) or die "cannot run pgbench: $!";
	my $text = do { local $/; <$out> };
	my $good = close($out);
	unlink($file);
	die "pgbench failed: $text" unless $good;
	return $text;
}

psql("CREATE DATABASE $database", 'postgres');
psql('SET client_min_messages = error; CREATE EXTENSION rapport CASCADE');
psql(q{SELECT rapport.set_setting('password_memory', '1'), rapport.set_setting('password_ops', '1')});
psql(q{SELECT rapport.sign_up('burst@example.org', 'correct horse')});
psql(q{CREATE TABLE answer (client int, round int, refusal text, refresh_token text, access_token text)});

my $round = 0;

# All clients refresh with the token at once; their answers are kept.
sub burst
{
	my ($token, $times) = @_;
	$round++;
	pgbench(qq{
		INSERT INTO answer SELECT :client_id, $round, r.refusal, r.refresh_token, r.access_token
		FROM rapport.refresh_session('$token') AS r;
	}, '-c', $clients, '-j', 2, '-t', $times // 1);
}

sub live
{
	return psql('SELECT count(*) FROM rapport.session');
}

my $token = psql(q{SELECT refresh_token FROM rapport.sign_in('burst@example.org', 'correct horse', 'one')});
psql(q{SELECT FROM rapport.sign_in('burst@example.org', 'correct horse', 'two')});

burst($token);
is(psql("SELECT count(*) FILTER (WHERE refusal IS NULL), count(DISTINCT refresh_token) FROM answer WHERE round = $round"),
	"$clients|1", 'all refreshes of one token succeed and are given one successor');
is(live(), 2, 'the session lives, and no other was made or ended');
is(psql(q{SELECT refresh_counter, reuse_count FROM rapport.session WHERE user_agent = 'one'}), '1|0',
	'the session moved on once');
is(psql("SELECT count(*) FROM (SELECT rapport.request_begin(access_token, true, NULL) FROM answer WHERE round = $round LIMIT 1) AS s"), 1,
	'an access token of the burst is accepted');

my $next = psql("SELECT DISTINCT refresh_token FROM answer WHERE round = $round");
burst($next, 4);
is(psql("SELECT count(*) FILTER (WHERE refusal IS NULL), count(DISTINCT refresh_token) FROM answer WHERE round = $round"),
	(4 * $clients) . '|1', 'so they do when each client tries four times');
is(live(), 2, 'and the session lives');

# Clients that each go on with the newest token they were given, all at once.
psql('CREATE TABLE holder AS SELECT c AS client, a.refresh_token FROM generate_series(0, ' . ($clients - 1) . ') AS c, '
	. "(SELECT DISTINCT refresh_token FROM answer WHERE round = $round) AS a");
pgbench(q{
	UPDATE holder AS h SET refresh_token = coalesce(r.refresh_token, 'refused')
	FROM holder AS o, rapport.refresh_session(o.refresh_token) AS r
	WHERE o.client = :client_id AND h.client = o.client;
}, '-c', $clients, '-j', 2, '-t', 5);
is(psql(q{SELECT count(*) FROM rapport.session WHERE user_agent = 'two'}), 1, 'the other session outlives any storm');

# Without the tolerance of seconds one late client is let in, no second one.
psql(q{SELECT rapport.set_setting('refresh_reuse_seconds', '0')});
$token = psql(q{SELECT refresh_token FROM rapport.sign_in('burst@example.org', 'correct horse', 'three')});
$next = psql("SELECT refresh_token FROM rapport.refresh_session('$token')");
my $before = live();
burst($token);
is(psql("SELECT count(*) FILTER (WHERE refusal IS NULL), count(*) FILTER (WHERE refusal = 'invalid_token') FROM answer WHERE round = $round"),
	'1|' . ($clients - 1), 'a previous token after its seconds is accepted once, however many come');
is(live(), $before - 1, 'the second use ends that session and no other');
is(psql("SELECT refusal FROM rapport.refresh_session('$next')"), 'invalid_token', 'the present token ends with it');

# What reaches the log, of a client that sends values as parameters like rapportd.
psql("ALTER DATABASE $database SET log_statement = 'all'");
my $script = q{
	BEGIN;
	SELECT rapport.request_begin(NULL, false, NULL);
	SELECT * FROM rapport.sign_in(:address, :secret);
	SELECT * FROM rapport.refresh_session(:secret);
	COMMIT;
	BEGIN;
	SELECT rapport.request_begin(:secret, false, NULL);
	COMMIT;
};
my $failing = q{
	BEGIN;
	SELECT rapport.request_begin(NULL, false, NULL);
	SELECT * FROM rapport.sign_up(:address, :secret);
	COMMIT;
};

sub log_has
{
	my ($secret) = @_;
	open(my $in, '<', $log) or die "$log: $!";
	my @hits = grep { /\Q$secret\E/ } <$in>;
	return scalar @hits;
}

sub run_as
{
	my ($user, $secret, $text) = @_;
	local $ENV{PGUSER} = $user;
	# pgbench ends with an error where the statement is refused; the log is what counts.
	eval { pgbench($text, '-M', 'extended', '-c', 1, '-t', 1, '-D', 'address=log@example.org', '-D', "secret=$secret") };
}

run_as('rapport_api', 'secret-of-the-front', $script);
run_as('rapport_api', 'front7', $failing);
is(log_has('request_begin') > 0, 1, 'the log has the statements');
is(log_has('the password is not acceptable') > 0, 1, 'and the refusals');
is(log_has('secret-of-the-front') + log_has('front7'), 0, 'but no secret of the front');
run_as('postgres', 'secret-of-a-superuser', $script);
is(log_has('secret-of-a-superuser') > 0, 1, 'where the log takes parameters it would show');

psql("DROP DATABASE $database", 'postgres');
done_testing();
