# What the API suites share: requests, raw sockets, SQL, and people to act as.
# The cluster is named by PGHOST, PGUSER, PGDATABASE, rapportd by RAPPORT_URL.
package RapportApi;

use strict;
use warnings;
use utf8;
use Exporter 'import';
use HTTP::Tiny;
use IO::Handle;
use IO::Select;
use IO::Socket::INET;
use IPC::Open2;
use JSON::PP;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(call raw raw_socket read_answer sql ask person answer_code with_profile state_of_tables wait_until hold writer_waits start_front stop_front free_port);

my $http = HTTP::Tiny->new(timeout => 20, keep_alive => 1, agent => 'rapport-test');
my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $people = 0;

# call('POST', '/v1/...', body => {...} or 'text', token => ..., headers => {...}, url => ...):
# {status, headers, body, json}
sub call {
	my ($method, $path, %with) = @_;
	my %headers = %{ $with{headers} // {} };
	$headers{Authorization} = "Bearer $with{token}" if defined $with{token};
	my %options = (headers => \%headers);
	if (defined $with{body}) {
		$headers{'Content-Type'} //= 'application/json';
		$options{content} = ref $with{body} ? $json->encode($with{body}) : $with{body};
	}
	my $answer = $http->request($method, ($with{url} // $ENV{RAPPORT_URL}) . $path, \%options);
	return {
		status => $answer->{status},
		headers => $answer->{headers},
		body => $answer->{content},
		json => (($answer->{headers}{'content-type'} // '') =~ /json/ && length $answer->{content})
			? scalar(eval { $json->decode($answer->{content}) }) : undef,
	};
}

# "200", or status and code of a problem: "404 not_found".
sub answer_code {
	my ($answer) = @_;
	my $code = ref $answer->{json} eq 'HASH' ? $answer->{json}{code} : undef;
	return $answer->{status} >= 400 && defined $code ? "$answer->{status} $code" : $answer->{status};
}

sub raw_socket {
	my ($url) = @_;
	my ($host, $port) = ($url // $ENV{RAPPORT_URL}) =~ m{//([^:/]+):(\d+)};
	my $socket = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port, Timeout => 30) or die "connect: $!";
	binmode $socket;
	$socket->autoflush(1);
	return $socket;
}

# Reads one answer off a socket, or what there is until it ends:
# {status, head, body, closed}; status 0 when nothing came.
sub read_answer {
	my ($socket, %with) = @_;
	my $deadline = time + ($with{seconds} // 30);
	my $text = delete ${*$socket}{rapport_rest} // '';
	my $closed = 0;
	while (1) {
		if ($text =~ /\A(.*?\r\n\r\n)(.*)\z/s) {
			my ($head, $rest) = ($1, $2);
			my ($status) = $head =~ /\AHTTP\/1\.1 (\d+)/;
			my ($length) = $head =~ /^Content-Length: (\d+)/mi;
			$length = 0 if !defined $length || $with{head};
			if (length $rest >= $length) {
				my $body = substr $rest, 0, $length;
				${*$socket}{rapport_rest} = substr $rest, $length;
				return { status => $status // 0, head => $head, body => $body, closed => 0,
					json => scalar(length $body ? eval { $json->decode($body) } : undef) };
			}
		}
		my $left = $deadline - time;
		last if $left <= 0 || !IO::Select->new($socket)->can_read($left);
		my $n = sysread $socket, my $piece, 65536;
		if (!$n) { $closed = 1; last; }
		$text .= $piece;
	}
	my ($status) = $text =~ /\AHTTP\/1\.1 (\d+)/;
	return { status => $status // 0, head => $text, body => '', closed => $closed };
}

# Sends the bytes on a connection of its own and reads the first answer; closed
# tells whether the server then ends the connection.
sub raw {
	my ($bytes, %with) = @_;
	local $SIG{PIPE} = 'IGNORE';
	my $socket = raw_socket($with{url});
	print $socket $bytes;
	my $answer = read_answer($socket, %with);
	if (!$answer->{closed} && IO::Select->new($socket)->can_read($with{linger} // 0)) {
		my $n = sysread $socket, my $piece, 65536;
		$answer->{closed} = 1 if !$n;
		$answer->{more} = $piece if $n;
	}
	return $answer;
}

# Runs SQL as superuser; the output without headers, trimmed.
sub sql {
	my ($query) = @_;
	open my $psql, '-|', 'psql', '-XAtqc', $query or die "psql: $!";
	local $/;
	my $output = <$psql>;
	close $psql or die "psql failed: $query";
	$output =~ s/\s+\z//;
	return $output;
}

# Signs up somebody new and in: {id, token, refresh_token, email}.
sub person {
	my $email = sprintf 'p%d.%d.%d@example.org', $$, ++$people, int rand 1e6;
	my $password = 'a long enough password';
	my $up = call('POST', '/v1/sign-up', body => { email => $email, password => $password });
	die 'sign-up: ' . answer_code($up) if $up->{status} != 204;
	my $in = call('POST', '/v1/sign-in', body => { email => $email, password => $password });
	die 'sign-in: ' . answer_code($in) if $in->{status} != 200;
	return { id => $in->{json}{person_id}, token => $in->{json}{access_token},
		refresh_token => $in->{json}{refresh_token}, email => $email, password => $password };
}

# A person with a complete profile at a place, who takes part in dating.
sub with_profile {
	my ($name, $latitude, $longitude) = @_;
	my $who = person();
	for (['PATCH', '/v1/me', { display_name => $name, birth_date => '1990-05-17', about => "I am $name.", tags => ['climbing', 'jazz'] }],
		['PUT', '/v1/me/place', { latitude => $latitude, longitude => $longitude }],
		['PUT', '/v1/me/preferences/date', { enabled => JSON::PP::true, age => [18, 99], max_distance_km => 50 }]) {
		my $answer = call($_->[0], $_->[1], body => $_->[2], token => $who->{token});
		die "$_->[1]: $answer->{status} $answer->{body}" if $answer->{status} >= 300;
	}
	return $who;
}

# Runs SQL as superuser in the one session that lasts as long as the test, for
# temporary tables and functions: the output without headers.
my ($to_psql, $from_psql);
sub ask {
	my ($query) = @_;
	if (!$to_psql) {
		open2($from_psql, $to_psql, 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1') or die "psql: $!";
		$to_psql->autoflush(1);
	}
	print $to_psql "$query;\n\\echo end\n";
	my $lines = '';
	while (my $line = <$from_psql>) {
		return $lines if $line eq "end\n";
		$lines .= $line;
	}
	die 'psql has ended';
}

# The rows of every table of the extension, as one line a table: name, count,
# hash of the contents.
sub state_of_tables {
	return ask(<<'SQL');
SELECT format('%s %s', c.oid::regclass,
			  (xpath('/row/r/text()', query_to_xml(format(
				'SELECT count(*) || '' '' || coalesce(sum(hashtextextended(x::text, 0)), 0) AS r FROM %s AS x', c.oid::regclass),
				false, true, '')))[1])
FROM pg_class AS c
WHERE c.relnamespace = 'rapport'::regnamespace
AND c.relkind = 'r'
ORDER BY 1
SQL
}

# Waits until it is so: for as long as any machine may take, however busy.
sub wait_until {
	my ($condition) = @_;
	my $end = time + 60;
	while (time < $end) {
		return 1 if $condition->();
		sleep 0.1;
	}
	return 0;
}

# Locks a table against everyone; what it returns is called to let go of it.
sub hold {
	my ($table) = @_;
	open my $psql, '|-', 'psql -Xq >/dev/null 2>&1' or die "psql: $!";
	$psql->autoflush(1);
	print $psql "BEGIN; LOCK TABLE $table IN ACCESS EXCLUSIVE MODE;\n";
	wait_until(sub {
		sql("SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = '$table'::regclass")
	}) or die 'the lock was not taken';
	return sub { close $psql };
}

# Waits until a request of rapportd waits for a lock.
sub writer_waits {
	return wait_until(sub {
		sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rapportd' AND wait_event_type = 'Lock'")
	});
}

sub free_port {
	return IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')->sockport;
}

# A test that dies leaves none behind.
my %fronts;
END {
	local $?;
	kill 'TERM', grep { $fronts{$_} == $$ } keys %fronts;
}

# Starts a rapportd of one's own, with that environment, and so many
# descriptors if they are given: {pid, url, log}.
sub start_front {
	my (%environment) = @_;
	my $descriptors = delete $environment{descriptors} // 'unlimited';
	my $port = free_port();
	my $log = "/tmp/rapportd-test-$$-$port.log";
	my $pid = fork // die "fork: $!";
	if (!$pid) {
		open STDOUT, '>', $log;
		open STDERR, '>&', \*STDOUT;
		delete @ENV{grep { /^RAPPORT_/ } keys %ENV};
		$ENV{RAPPORT_LISTEN} = "127.0.0.1:$port";
		$ENV{$_} = $environment{$_} for keys %environment;
		exec 'sh', '-c', "[ $descriptors = unlimited ] || ulimit -n $descriptors; exec api/rapportd" or die "sh: $!";
	}
	my $front = { pid => $pid, url => "http://127.0.0.1:$port", log => $log };
	$fronts{$pid} = $$;
	wait_until(sub { call('GET', '/health/live', url => $front->{url})->{status} == 200 }) or die "rapportd does not start: $log";
	return $front;
}

# Stops it; its exit status.
sub stop_front {
	my ($front, $signal) = @_;
	kill $signal // 'TERM', $front->{pid};
	waitpid $front->{pid}, 0;
	my $status = $?;
	delete $fronts{ $front->{pid} };
	unlink $front->{log};
	return $status;
}

1;
