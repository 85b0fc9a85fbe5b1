# The database away: at the start, later, and half of it.
use strict;
use warnings;
use IO::Select;
use Test::More;
use Time::HiRes qw(sleep time);
use RapportApi;

sub ready { return call('GET', '/health/ready', url => $_[0]{url})->{status} == 200; }
# Ends all connections of rapportd but those that are just being made: these have no name yet.
sub cut { return sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'rapportd'"); }
# After that the rapportd of all is given the time to come back, too.
sub others_ready { return wait_until(sub { ready({ url => $ENV{RAPPORT_URL} }) }); }

subtest 'no database at the start' => sub {
	my $front = start_front(PGHOST => "/tmp/no-such-socket-$$");
	is(call('GET', '/health/live', url => $front->{url})->{status}, 200, 'alive');
	my $answer = call('GET', '/health/ready', url => $front->{url});
	is(answer_code($answer), '503 unavailable', 'not ready');
	like($answer->{json}{detail}, qr/no connection to the database/, 'says why');
	for my $path ('/v1/attributes', '/v1/me', '/openapi.json') {
		my $refused = call('GET', $path, url => $front->{url});
		is(answer_code($refused), '503 unavailable', $path);
		is($refused->{headers}{'retry-after'}, 1, "$path: when to come again");
	}
	is(stop_front($front), 0, 'stops all the same');
};

subtest 'the database comes later' => sub {
	my $directory = "/tmp/rapport-later-$$";
	my $front = start_front(PGHOST => $directory, RAPPORT_QUEUE_MS => 15000);
	sleep 0.5;
	ok(!ready($front), 'not ready');
	symlink $ENV{PGHOST}, $directory or die $!;
	ok(wait_until(sub { ready($front) }), 'ready by itself');
	is(call('GET', '/v1/attributes', url => $front->{url})->{status}, 200, 'and serves');

	# It goes away: no new connection gets in, the present ones end.
	unlink $directory;
	my $asked = sub { answer_code(call('GET', '/v1/attributes', url => $front->{url})) };
	ok(wait_until(sub { cut(); !ready($front) && $asked->() eq '503 unavailable' }), 'not ready when it is gone');
	my $start = time;
	is($asked->(), '503 unavailable', 'requests are refused');
	cmp_ok(time - $start, '<', 10, 'and do not wait in the queue');
	is(call('GET', '/health/live', url => $front->{url})->{status}, 200, 'alive');
	is(call('GET', '/openapi.json', url => $front->{url})->{status}, 200, 'what needs no database is served');
	symlink $ENV{PGHOST}, $directory or die $!;
	ok(wait_until(sub { ready($front) }), 'ready again by itself');
	is(call('GET', '/v1/attributes', url => $front->{url})->{status}, 200, 'and serves');
	is(stop_front($front), 0, 'stops');
	unlink $directory;
	others_ready() or die;
};

subtest 'connections end under load' => sub {
	my $front = start_front();
	wait_until(sub { ready($front) }) or die;
	my $me = person();
	my %count = (200 => 0);
	my $end = time + 60;
	for my $round (1 .. 6) {
		cut();
		while ($count{200} < 20 * $round && time < $end) {
			$count{ call('GET', '/v1/account', url => $front->{url}, token => $me->{token})->{status} }++;
		}
	}
	note join ' ', map { "$_: $count{$_}" } sort keys %count;
	is(join(' ', grep { !/^(200|503)$/ } sort keys %count), '', 'an answer is right or 503, never another');
	is($count{200}, 120, 'and they are right again each time');
	ok(wait_until(sub { ready($front) }), 'ready afterwards');
	is(stop_front($front), 0, 'stops');
	others_ready() or die;
};

subtest 'clients leave descriptors for the database' => sub {
	my $directory = "/tmp/rapport-full-$$";
	symlink $ENV{PGHOST}, $directory or die $!;
	my $front = start_front(descriptors => 100, PGHOST => $directory);
	wait_until(sub { ready($front) }) or die;
	my $socket = raw_socket($front->{url});
	my $is_ready = sub {
		print $socket "GET /health/ready HTTP/1.1\r\nHost: a\r\n\r\n";
		return read_answer($socket)->{status} == 200;
	};
	ok($is_ready->(), 'ready');
	my @others = map { raw_socket($front->{url}) } 1 .. 150;
	sleep 0.3;
	unlink $directory;
	ok(wait_until(sub { cut(); !$is_ready->() }), 'the database goes away while clients hold all they can');
	# Each that leaves makes room for one that waits.
	close shift @others for 1 .. 3;
	sleep 0.3;
	symlink $ENV{PGHOST}, $directory or die $!;
	ok(wait_until($is_ready), 'its connections are made again all the same');
	stop_front($front);
	unlink $directory;
	others_ready() or die;
};

subtest 'an unknown outcome is called one' => sub {
	my $front = start_front();
	wait_until(sub { ready($front) }) or die;
	my $me = person();
	my $writer = raw_socket($front->{url});
	# The write waits for a lock when its connection ends.
	my $let_go = hold('rapport.profile');
	my $body = '{"about":"hello"}';
	print $writer "PATCH /v1/me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer $me->{token}\r\nContent-Type: application/json\r\nContent-Length: "
		. length($body) . "\r\n\r\n$body";
	wait_until(sub {
		sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'rapportd' AND wait_event_type = 'Lock'")
	}) or die;
	my $answer = read_answer($writer);
	is("$answer->{status} $answer->{json}{code}", '503 unavailable', 'a write whose connection ended');
	like($answer->{json}{detail}, qr/Idempotency-Key/, 'says how to find out');
	$let_go->();
	stop_front($front);
};

subtest 'a statement that takes too long' => sub {
	my $me = person();
	my $let_go = hold('rapport.profile');
	my $start = time;
	is(answer_code(call('PATCH', '/v1/me', token => $me->{token}, body => { about => 'x' })), '503 timeout', 'ends by its timeout');
	cmp_ok(time - $start, '<', 10, 'of five seconds');
	is(call('GET', '/v1/attributes')->{status}, 200, 'others are served meanwhile');
	$let_go->();
};

subtest 'an extension of another minor version' => sub {
	my $version = sql("SELECT extversion FROM pg_extension WHERE extname = 'rapport'");
	my $front = start_front(RAPPORT_POLL_SECONDS => 1);
	wait_until(sub { ready($front) }) or die;
	sql("UPDATE pg_extension SET extversion = '99.1.0' WHERE extname = 'rapport'");
	ok(wait_until(sub { !ready($front) }), 'is not served');
	my $answer = call('GET', '/health/ready', url => $front->{url});
	like($answer->{json}{detail}, qr/serves the extension rapport \d+\.\d+\.x, not 99\.1\.0/, 'and named');
	is(answer_code(call('GET', '/v1/attributes', url => $front->{url})), '503 unavailable', 'requests are refused');
	like(`api/rapportd --check 2>&1`, qr/not 99\.1\.0/, '--check names it too');
	sql("UPDATE pg_extension SET extversion = '$version' WHERE extname = 'rapport'");
	ok(wait_until(sub { ready($front) }), 'its own is served again');
	ok(others_ready(), 'by others as well');
	stop_front($front);
};

subtest 'new routes come with SIGHUP' => sub {
	my $front = start_front();
	wait_until(sub { ready($front) }) or die;
	is(call('GET', '/v1/hello', url => $front->{url})->{status}, 404, 'not there yet');
	sql(<<'SQL');
CREATE FUNCTION public.hello(name text DEFAULT NULL) RETURNS jsonb LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$ BEGIN RETURN jsonb_build_object('hello', coalesce(name, 'world')); END; $$;
GRANT EXECUTE ON FUNCTION public.hello(text) TO rapport_anon;
SELECT rapport.add_route('GET', '/v1/hello', 'public.hello', 'anon');
SQL
	kill 'HUP', $front->{pid};
	ok(wait_until(sub { call('GET', '/v1/hello', url => $front->{url})->{status} == 200 }), 'there');
	is_deeply(call('GET', '/v1/hello?name=you', url => $front->{url})->{json}, { hello => 'you' }, 'and answers');
	ok(call('GET', '/openapi.json', url => $front->{url})->{json}{paths}{'/v1/hello'}, 'in the document as well');

	# A function that goes away takes its route down, nothing else.
	sql("DELETE FROM rapport.route WHERE path = '/v1/hello'; DROP FUNCTION public.hello(text)");
	is(answer_code(call('GET', '/v1/hello', url => $front->{url})), '500 internal', 'its function gone, the route fails');
	is(call('GET', '/v1/attributes', url => $front->{url})->{status}, 200, 'the others serve');
	kill 'HUP', $front->{pid};
	ok(wait_until(sub { call('GET', '/v1/hello', url => $front->{url})->{status} == 404 }), 'gone after the next');
	stop_front($front);
};

subtest 'a route that cannot be prepared harms no other' => sub {
	# rapport_api may not look into the schema: PREPARE fails, again and again.
	sql(<<'SQL');
CREATE SCHEMA shut;
CREATE FUNCTION shut.hello() RETURNS jsonb LANGUAGE sql STABLE AS $$ SELECT '{}'::jsonb $$;
GRANT EXECUTE ON FUNCTION shut.hello() TO rapport_anon;
GRANT USAGE ON SCHEMA shut TO rapport_api, rapport_anon;
SELECT rapport.add_route('GET', '/v1/shut', 'shut.hello', 'anon');
REVOKE USAGE ON SCHEMA shut FROM rapport_api;
SQL
	my $front = start_front(RAPPORT_READ_CONNECTIONS => 1);
	wait_until(sub { ready($front) }) or die;
	for my $round (1 .. 3) {
		cmp_ok(call('GET', '/v1/shut', url => $front->{url})->{status}, '>=', 400, "fails, time $round");
		is(call('GET', '/v1/attributes', url => $front->{url})->{status}, 200, 'the next one on its connection is served');
	}
	sql('GRANT USAGE ON SCHEMA shut TO rapport_api');
	is(call('GET', '/v1/shut', url => $front->{url})->{status}, 200, 'served once it can be prepared');
	stop_front($front);
	sql("DELETE FROM rapport.route WHERE path = '/v1/shut'; DROP SCHEMA shut CASCADE");
};

subtest 'a lookup of the routes that is cancelled changes nothing' => sub {
	my $front = start_front(RAPPORT_POLL_SECONDS => 1);
	wait_until(sub { ready($front) }) or die;
	my $waiting = "application_name = 'rapportd' AND query LIKE '%rapport.routes()%' AND wait_event_type = 'Lock'";
	my $let_go = hold('rapport.route');
	kill 'HUP', $front->{pid};
	wait_until(sub { sql("SELECT count(*) FROM pg_stat_activity WHERE $waiting") }) or die 'nobody waits';
	sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE $waiting");
	ok(wait_until(sub { open my $log, '<', $front->{log} or die; grep { /"the routes could not be looked up"/ } <$log> }), 'it knows that it was cancelled');
	is(call('GET', '/v1/attributes', url => $front->{url})->{status}, 200, 'the routes that are known are served');
	ok(ready($front), 'and it is ready');
	ok(wait_until(sub { sql("SELECT count(*) FROM pg_stat_activity WHERE $waiting") }), 'it asks again');
	$let_go->();
	stop_front($front);
};

subtest 'without prepared statements' => sub {
	my $front = start_front(RAPPORT_PREPARED => 0);
	wait_until(sub { ready($front) }) or die;
	my $me = person();
	is(call('GET', '/v1/account', url => $front->{url}, token => $me->{token})->{json}{person_id}, $me->{id}, 'serves as well');
	stop_front($front);
};

subtest 'a database that only reads' => sub {
	my $front = start_front(PGOPTIONS => '-c default_transaction_read_only=on');
	wait_until(sub { ready($front) }) or die;
	my $me = person();
	is(call('GET', '/v1/account', url => $front->{url}, token => $me->{token})->{status}, 200, 'is read');
	my $answer = call('PATCH', '/v1/me', url => $front->{url}, token => $me->{token}, body => { about => 'x' });
	is(answer_code($answer), '503 unavailable', 'a write cannot be done here');
	is($answer->{headers}{'retry-after'}, 1, 'and may come again');
	stop_front($front);
};

subtest 'what the database says is for the log' => sub {
	sql('REVOKE EXECUTE ON FUNCTION rapport.routes() FROM rapport_api');
	my $front = start_front();
	my $detail;
	ok(wait_until(sub {
		$detail = call('GET', '/health/ready', url => $front->{url})->{json}{detail};
		return $detail =~ /does not answer SELECT \* FROM rapport\.routes\(\)$/;
	}), 'not ready, and why in our words') or diag $detail;
	open my $log, '<', $front->{log} or die "log: $!";
	is(scalar(grep { /"message":"permission denied for function routes"/ } <$log>), 1, 'the log has the words of the database, once');
	sql('GRANT EXECUTE ON FUNCTION rapport.routes() TO rapport_api');
	ok(wait_until(sub { ready($front) }), 'and it is ready when it is');
	stop_front($front);
};

subtest 'where it cannot listen' => sub {
	my $try = sub { my ($path) = @_; return qx(RAPPORT_LISTEN=unix:$path timeout 10 api/rapportd 2>&1) };
	like($try->('/tmp/' . 'x' x 200), qr/cannot listen on .*: File name too long$/m, 'a path too long');
	like($try->('/no-such-folder/socket'), qr/: No such file or directory$/m, 'a folder that is not there');
	like($try->("$ENV{PGHOST}/.s.PGSQL.5432"), qr/: Address already in use$/m, 'a socket that somebody listens on');
};

subtest 'more than the queue holds' => sub {
	my $front = start_front(RAPPORT_HEAVY_CONNECTIONS => 1, RAPPORT_QUEUE_LENGTH => 3, RAPPORT_QUEUE_MS => 20000);
	wait_until(sub { ready($front) }) or die;
	# Nobody gets done before all have come.
	my $let_go = hold('rapport.email');
	my @sockets;
	for my $i (1 .. 12) {
		my $body = qq({"email":"queue$$.$i\@example.org","password":"not the right one"});
		push @sockets, raw_socket($front->{url});
		print { $sockets[-1] } "POST /v1/sign-in HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: "
			. length($body) . "\r\n\r\n$body";
	}
	is(call('GET', '/v1/attributes', url => $front->{url})->{status}, 200, 'reads have a lane of their own');
	my $answered = IO::Select->new(@sockets);
	wait_until(sub { $answered->can_read(0) >= 8 });
	$let_go->();
	my @answers = map { read_answer($_) } @sockets;
	my @full = grep { answer_code($_) eq '503 unavailable' } @answers;
	is(scalar @full, 8, 'one runs, three wait, eight are refused');
	like($_->{head}, qr/^Retry-After: 1\r$/m, 'with the time to come again') for @full;
	is(scalar(grep { $_->{status} == 401 } @answers), 4, 'the others are served');
	stop_front($front);
};

done_testing;
