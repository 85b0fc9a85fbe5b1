# HTTP itself, byte for byte: what a proxy in front and we could read
# differently is refused, what takes too long or too much ends.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use RapportApi;

my $get = "GET /health/live HTTP/1.1\r\nHost: a\r\n";
my $post = "POST /v1/sign-in HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
my $chunked = "${post}Transfer-Encoding: chunked\r\n\r\n";
my $person = person();

# [title, bytes, status, code, and whether the connection must end]; without a
# code, MHD itself or we refuse: that depends on its version.
sub refused {
	for my $case (@_) {
		my ($title, $bytes, $status, $code, $ends) = @$case;
		my $answer = raw($bytes, linger => $ends ? 10 : 0);
		my $got = $answer->{status};
		$got .= ' ' . ($answer->{json}{code} // '-') if defined $code;
		like($got, ref $status ? $status : defined $code ? qr/^$status $code$/ : qr/^$status$/, $title);
		ok($answer->{closed}, "$title: ends the connection") if $ends;
	}
}

subtest 'two ways to read the length of a request' => sub {
	refused(
		['both lengths', "${post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, undef, 1],
		['one length twice', "${post}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400, undef, 1],
		['two lengths', "${post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", 400, undef, 1],
		['a list of lengths', "${post}Content-Length: 2, 2\r\n\r\n{}", 400, undef, 1],
		['a signed length', "${post}Content-Length: +2\r\n\r\n{}", 400, undef, 1],
		['a negative length', "${post}Content-Length: -2\r\n\r\n{}", 400, undef, 1],
		['a hexadecimal length', "${post}Content-Length: 0x2\r\n\r\n{}", 400, undef, 1],
		['no length at all', "${post}Content-Length: \r\n\r\n{}", 400, undef, 1],
		['a length beyond 64 bits', "${post}Content-Length: 99999999999999999999\r\n\r\n{}", qr/^(?:413|400)$/, undef, 1],
		['a space before the colon', "${post}Content-Length : 2\r\n\r\n{}", 400, undef, 1],
		['the same for the coding', "${post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400, undef, 1],
		['a coding we do not know', "${post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", qr/^(?:400|501)$/, undef, 1],
		['two codings', "${post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", qr/^(?:400|501)$/, undef, 1],
		['the coding twice', "${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, undef, 1],
		['chunks in HTTP/1.0', "POST /v1/sign-in HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, undef, 1],
		['a chunk without a size', "${chunked}zz\r\n{}\r\n0\r\n\r\n", 400, undef, 1],
		['a negative chunk', "$chunked-2\r\n{}\r\n0\r\n\r\n", 400, undef, 1],
		['a chunk size with a prefix', "${chunked}0x2\r\n{}\r\n0\r\n\r\n", 400, undef, 1],
		['a chunk without its end', "${chunked}2\r\n{}XX0\r\n\r\n", 400, undef, 1],
		['a chunk beyond 64 bits', "${chunked}fffffffffffffffff\r\n{}\r\n0\r\n\r\n", 413, undef, 1],
		['a length on a folded line', "${post}Content-Length:\r\n 2\r\n\r\n{}", 400, undef, 1],
		['a length that goes on', "${post}Content-Length: 2\r\n 0\r\n\r\n{}", 400, undef, 1],
		['a coding on a folded line', "${post}Transfer-Encoding:\r\n\tchunked\r\n\r\n0\r\n\r\n", 400, undef, 1],
		['a coding that goes on', "${post}Transfer-Encoding: chu\r\n nked\r\n\r\n0\r\n\r\n", 400, undef, 1],
		['a header inside another', "${post}X-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}", 400, undef, 1],
		['a bare CR in a header', "${get}X-A: b\rContent-Length: 5\r\n\r\n", 400, undef, 1]);
};

subtest 'headers' => sub {
	refused(
		['no Host', "GET /health/live HTTP/1.1\r\n\r\n", 400, undef, 1],
		['two Hosts', "${get}Host: b\r\n\r\n", 400, undef, 1],
		['two Authorizations', "${get}Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", 400, 'bad_request', 1],
		['a line without a colon', "${get}foo\r\n\r\n", 400, undef, 1],
		['a control character', "${get}X-A: b\x01c\r\n\r\n", 400, 'bad_request', 1],
		['more than 16 KiB', $get . join('', map { "X-$_: " . 'b' x 1000 . "\r\n" } 1 .. 20) . "\r\n", 431, 'headers_too_large', 1],
		['more than the buffer', $get . join('', map { "X-$_: " . 'b' x 1000 . "\r\n" } 1 .. 60) . "\r\n", 431, undef, 1],
		['more than 64', $get . join('', map { "X-$_: b\r\n" } 1 .. 80) . "\r\n", 431, 'headers_too_large', 1],
		['HTTP/2.0', "GET /health/live HTTP/2.0\r\nHost: a\r\n\r\n", 505, undef, 1],
		['HTTP/0.9', "GET /health/live\r\n\r\n", 400, undef, 1],
		['another protocol', "GET /health/live FOO\r\nHost: a\r\n\r\n", 400, undef, 1]);
	is(raw("GET /health/live HTTP/1.0\r\n\r\n")->{status}, 200, 'HTTP/1.0 needs no Host');
};

subtest 'the target' => sub {
	my $with = sub { "GET $_[0] HTTP/1.1\r\nHost: a\r\n\r\n" };
	refused(
		['%00', $with->('/v1/people/%00'), 400, 'bad_request'],
		['not UTF-8', $with->('/v1/people/%ff'), 400, 'bad_request'],
		['an overlong slash', $with->('/v1/people/%c0%af'), 400, 'bad_request'],
		['a broken escape', $with->('/v1/people/%zz'), 400, 'bad_request'],
		['half an escape', $with->('/v1/people/%4'), 400, 'bad_request'],
		['a broken escape in the query', $with->('/v1/attributes?locale=%zz'), 400, 'bad_request'],
		['bytes that must be escaped', $with->("/v1/people/\xc3\xa9"), 400, 'bad_request', 1],
		['a space', $with->('/health/li ve'), 400, undef, 1],
		['a fragment', $with->('/health/live#x'), 400, 'bad_request', 1],
		['no path', $with->('health'), 400, 'bad_request', 1],
		['an escaped slash stays in its segment', $with->('/health%2flive'), 404, 'not_found'],
		['dots are no way up', $with->('/v1/../health/live'), 404, 'not_found'],
		['two slashes are not one', $with->('//health/live'), 404, 'not_found'],
		['longer than 4 KiB', $with->('/' . 'a' x 5000), 414, 'uri_too_long', 1],
		['longer than the buffer', $with->('/' . 'a' x 60000), 414, undef, 1]);
	is(raw($with->('http://else/health/live'))->{status}, 200, 'the absolute form');
	is(raw($with->('/%68ealth/live'))->{status}, 404, 'health has one spelling');
	is(raw($with->('/v1/%61ttributes'))->{status}, 200, 'routes are found by decoded segments');
};

subtest 'bodies' => sub {
	refused(
		['over 64 KiB: read, refused, kept alive', "${post}Content-Length: 65537\r\n\r\n" . ' ' x 65537, 413, 'too_large'],
		['over 64 KiB in chunks', $chunked . ('1000' . "\r\n" . ' ' x 4096 . "\r\n") x 17 . "0\r\n\r\n", 413, 'too_large'],
		['over 1 MiB: not even read', "${post}Content-Length: 2000000\r\n\r\n  ", 413, 'too_large', 1],
		['too large, asked first', "${post}Expect: 100-continue\r\nContent-Length: 70000\r\n\r\n", 413, 'too_large', 1],
		['not JSON by name', "POST /v1/sign-in HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", 415, 'unsupported_media_type'],
		['no name', "POST /v1/sign-in HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", 415, 'unsupported_media_type'],
		['another charset', "POST /v1/sign-in HTTP/1.1\r\nHost: a\r\nContent-Type: application/json; charset=latin1\r\nContent-Length: 2\r\n\r\n{}", 415, 'unsupported_media_type'],
		['compressed', "${post}Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", 415, 'unsupported_media_type'],
		['64 KiB are fine, if empty of fields', "${post}Content-Length: 65536\r\n\r\n{}" . ' ' x 65534, 422, 'missing_field'],
		['UTF-8 by name', "POST /v1/sign-in HTTP/1.1\r\nHost: a\r\nContent-Type: Application/JSON; charset=\"UTF-8\"\r\nContent-Length: 2\r\n\r\n{}", 422, 'missing_field'],
		['chunks with a trailer', "${chunked}2\r\n{}\r\n0\r\nX: y\r\n\r\n", 422, 'missing_field'],
		['GET with a body', "GET /v1/attributes HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", 400, 'bad_request']);
	# MHD 1.0 refuses extensions of chunks, since it counts them wrong; it must not misread what follows.
	like(raw("${chunked}2;a=b\r\n{}\r\n0\r\n\r\n")->{status}, qr/^4(?:22|00)$/, 'chunks with extensions are read or refused');
	my $hidden = raw_socket();
	print $hidden "${chunked}2\r\n{}\r\n0;a=b\r\nGET /v1/nothing HTTP/1.1\r\nHost: a\r\n\r\n";
	my @answers = map { read_answer($hidden, seconds => 1)->{status} } 1 .. 2;
	isnt($_, 404, 'a trailer is no request') for @answers;
	my $socket = raw_socket();
	print $socket "${post}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n";
	like(read_answer($socket)->{head}, qr{^HTTP/1\.1 100}, 'a client that asks first is told to go on');
	print $socket '{}';
	is(read_answer($socket)->{status}, 422, 'and is answered');
};

subtest 'methods' => sub {
	for my $case (['/health/live', 'GET, HEAD, OPTIONS'], ['/v1/sign-in', 'POST, OPTIONS'], ['/v1/me', 'GET, HEAD, PATCH, OPTIONS'],
		['/v1/blocks/1', 'DELETE, PUT, OPTIONS'], ['/v1/sessions/current', 'DELETE, OPTIONS']) {
		my ($path, $allow) = @$case;
		for my $method ('TRACE', 'get', 'BREW') {
			my $answer = raw("$method $path HTTP/1.1\r\nHost: a\r\n\r\n");
			is("$answer->{status} $answer->{json}{code}", '405 method_not_allowed', "$method $path");
			like($answer->{head}, qr/^Allow: \Q$allow\E\r$/m, "$method $path: Allow");
		}
		my $options = raw("OPTIONS $path HTTP/1.1\r\nHost: a\r\n\r\n");
		is($options->{status}, 204, "OPTIONS $path");
		like($options->{head}, qr/^Allow: \Q$allow\E\r$/m, "OPTIONS $path: Allow");
		unlike($options->{head}, qr/^Access-Control/m, "OPTIONS $path: no CORS unless configured");
	}
	my $get_answer = raw("GET /v1/attributes HTTP/1.1\r\nHost: a\r\n\r\n");
	my $head_answer = raw("HEAD /v1/attributes HTTP/1.1\r\nHost: a\r\n\r\nGET /health/live HTTP/1.1\r\nHost: a\r\n\r\n", head => 1);
	is($head_answer->{status}, 200, 'HEAD');
	my ($length) = $head_answer->{head} =~ /^Content-Length: (\d+)/m;
	is($length, length $get_answer->{body}, 'HEAD tells the length GET has');
	refused(['nothing there', "GET /v1/nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404, 'not_found'],
		['nothing there, whatever the method', "POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 404, 'not_found']);
};

subtest 'what every answer carries' => sub {
	my $answer = raw("GET /v1/nothing HTTP/1.1\r\nHost: a\r\nX-Request-Id: my-id.7\r\nOrigin: https://app.example\r\n\r\n");
	like($answer->{head}, qr/^Cache-Control: no-store\r$/m, 'no-store');
	like($answer->{head}, qr/^X-Content-Type-Options: nosniff\r$/m, 'nosniff');
	like($answer->{head}, qr/^X-Request-Id: my-id\.7\r$/m, 'the request id that came');
	like($answer->{head}, qr{^Content-Type: application/problem\+json\r$}m, 'a problem');
	unlike($answer->{head}, qr/^(Access-Control|Server)/m, 'neither CORS nor a server name');
	is_deeply($answer->{json}, { type => 'urn:rapport:error:not_found', title => 'not found', status => 404, code => 'not_found',
			request_id => 'my-id.7' }, 'the problem');
	for my $bad ('a"b', 'a b', 'x' x 65, "\xc3\xa9", '') {
		my ($id) = raw("${get}X-Request-Id: $bad\r\n\r\n")->{head} =~ /^X-Request-Id: (.*)\r$/m;
		like($id, qr/^[0-9a-f]{32}$/, 'a new id for one that is no good');
	}
	my $refused = raw("GET /v1/me HTTP/1.1\r\nHost: a\r\n\r\n");
	is("$refused->{status} $refused->{json}{code}", '401 authentication_required', 'no token');
	like($refused->{head}, qr/^WWW-Authenticate: Bearer\r$/m, 'WWW-Authenticate');
};

subtest 'one connection, many requests' => sub {
	my $socket = raw_socket();
	for my $i (1 .. 20) {
		print $socket "${get}\r\n";
		is(read_answer($socket)->{status}, 200, "request $i") or last;
	}
	print $socket map { "GET $_ HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer $person->{token}\r\n\r\n" }
		'/health/live', '/v1/account', '/nothing', '/v1/attributes', '/v1/account';
	is(join(' ', map { read_answer($socket)->{status} } 1 .. 5), '200 200 404 200 200', 'pipelined answers come in order');
	print $socket "${get}Connection: close\r\n\r\n";
	is(read_answer($socket)->{status}, 200, 'the last one');
	ok(read_answer($socket)->{closed}, 'the connection ends when the client says so');
	my $old = raw_socket();
	print $old "GET /health/live HTTP/1.0\r\n\r\n";
	read_answer($old);
	ok(read_answer($old)->{closed}, 'HTTP/1.0 ends it');
	for my $target ('/health/live', '/v1/attributes', '/v1/me') {
		my $half = raw_socket();
		print $half "GET $target HTTP/1.1\r\nHost: a\r\n\r\n";
		shutdown $half, 1;
		my $answer = read_answer($half);
		ok($answer->{closed} || read_answer($half)->{closed}, "$target: a client that ends its side does not hold the connection");
	}
	my $slow = raw_socket();
	for (split //, "${get}\r\n") { print $slow $_; sleep 0.002; }
	is(read_answer($slow)->{status}, 200, 'a request byte by byte');
};

subtest 'OpenAPI' => sub {
	my $first = call('GET', '/openapi.json');
	is($first->{json}{openapi}, '3.1.0', 'the document');
	ok($first->{headers}{etag}, 'has a tag');
	my $again = call('GET', '/openapi.json', headers => { 'If-None-Match' => $first->{headers}{etag} });
	is($again->{status}, 304, 'is not sent twice');
	is(length($again->{body} // ''), 0, 'has no body then');
	is(call('GET', '/openapi.json', headers => { 'If-None-Match' => '"other"' })->{status}, 200, 'is sent when it changed');
};

subtest 'patience is limited' => sub {
	my $front = start_front(RAPPORT_REQUEST_SECONDS => 1, RAPPORT_IDLE_SECONDS => 2, RAPPORT_MAX_CLIENTS => 5);
	my %case = (
		'nothing sent' => '',
		'half a first line' => 'GET /hea',
		'half the headers' => "GET /health/live HTTP/1.1\r\nHost:",
		'half a body' => "${post}Content-Length: 10\r\n\r\n{");
	for my $title (sort keys %case) {
		my $socket = raw_socket($front->{url});
		my $start = time;
		print $socket $case{$title};
		# Bytes that keep dripping do not help: the limit is for the whole request.
		local $SIG{PIPE} = 'IGNORE';
		my $ended;
		# It would be ten seconds without the setting.
		while (time - $start < 9 && !$ended) {
			print $socket 'a' if $title ne 'nothing sent';
			$ended = read_answer($socket, seconds => 0.2)->{closed};
		}
		ok($ended && time - $start < 9, "$title: ends");
	}
	my $socket = raw_socket($front->{url});
	print $socket "${get}\r\n";
	read_answer($socket);
	ok(read_answer($socket)->{closed}, 'an idle connection ends');
	is(stop_front($front), 0, 'stops');
};

subtest 'so many clients and no more' => sub {
	my $front = start_front(RAPPORT_MAX_CLIENTS => 5);
	call('GET', '/health/live');	# Ends the connection that was kept to the other.
	my @open = map { raw_socket($front->{url}) } 1 .. 5;
	my $sixth = raw_socket($front->{url});
	print $sixth "${get}\r\n";
	is(read_answer($sixth, seconds => 0.5)->{status}, 0, 'a connection over the limit waits');
	@open = ();
	is(read_answer($sixth)->{status}, 200, 'until another ends');
	is(stop_front($front), 0, 'stops');
};

subtest 'CORS, when configured' => sub {
	my $front = start_front(RAPPORT_CORS_ORIGINS => 'https://app.example, https://b.example');
	wait_until(sub { call('GET', '/health/ready', url => $front->{url})->{status} == 200 });
	my $preflight = call('OPTIONS', '/v1/me', url => $front->{url},
		headers => { Origin => 'https://b.example', 'Access-Control-Request-Method' => 'PATCH' });
	is($preflight->{status}, 204, 'the preflight');
	is($preflight->{headers}{'access-control-allow-origin'}, 'https://b.example', 'names the origin');
	like($preflight->{headers}{'access-control-allow-methods'}, qr/PATCH/, 'names the methods');
	like($preflight->{headers}{'access-control-allow-headers'}, qr/Authorization/, 'names the headers');
	my $other = call('GET', '/health/live', url => $front->{url}, headers => { Origin => 'https://evil.example' });
	is($other->{headers}{'access-control-allow-origin'}, undef, 'another origin is told nothing');
	is($other->{headers}{vary}, 'Origin', 'and caches know');
	stop_front($front);
};

subtest 'the end' => sub {
	my $front = start_front();
	wait_until(sub { call('GET', '/health/ready', url => $front->{url})->{status} == 200 });
	my $idle = raw_socket($front->{url});
	print $idle "${get}\r\n";
	read_answer($idle);
	my $busy = raw_socket($front->{url});
	my $let_go = hold('rapport.profile');
	my $body = '{"about":"the last words"}';
	print $busy "PATCH /v1/me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer $person->{token}\r\nContent-Type: application/json\r\n"
		. 'Content-Length: ' . length($body) . "\r\n\r\n$body";
	writer_waits() or die;
	kill 'TERM', $front->{pid};
	ok(wait_until(sub { !IO::Socket::INET->new(PeerAddr => $front->{url} =~ m{//(.*)}) }), 'nobody new is let in');
	$let_go->();
	my $answer = read_answer($busy);
	is($answer->{status}, 204, 'a request under way is answered');
	like($answer->{head}, qr/^Connection: close\r$/mi, 'as the last of its connection');
	ok(read_answer($idle)->{closed}, 'an idle connection ends');
	is(stop_front($front, 0), 0, 'the exit status is 0');
};

subtest 'the command line' => sub {
	like(`api/rapportd --version`, qr/^rapportd \d+\.\d+\.\d+$/, '--version');
	like(`api/rapportd --help`, qr/RAPPORT_LISTEN.*127\.0\.0\.1:8080/, '--help names the options');
	like(`api/rapportd --check`, qr/serves the extension rapport .*: \d+ routes/, '--check');
	for my $case (['RAPPORT_LISTEN=nonsense', 1], ['RAPPORT_READ_DEPTH=0', 2], ['RAPPORT_LOG_LEVEL=loud', 2]) {
		my ($variable, $status) = @$case;
		system("env -u RAPPORT_LOG $variable timeout 10 api/rapportd 2>/dev/null");
		is($? >> 8, $status, "$variable is refused");
	}
	open my $ini, '>', "/tmp/rapportd-$$.ini" or die $!;
	print $ini "[rapportd]\nlisten = 127.0.0.1:0\nno_such = 1\n";
	close $ini;
	like(`api/rapportd -c /tmp/rapportd-$$.ini 2>&1`, qr/no option "no_such"/, 'an unknown option is refused');
	unlink "/tmp/rapportd-$$.ini";
};

done_testing;
