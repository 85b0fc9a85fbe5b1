# Nothing lost, nothing twice: sixteen people write over REST and retry until they
# have an answer, while every process of the cluster and rapportd are killed at
# once, again and again. Others follow with sync(). Then the tables are what was
# acknowledged, in that order, and what each reader has put together. That losses
# and doubles would be seen is shown by clients and a standby that cause them.
use strict;
use warnings;
use File::Temp qw(tempdir);
use HTTP::Tiny;
use JSON::PP;
use POSIX ();
use RapportApi;
use RapportCluster;
use Test::More;
use Time::HiRes qw(sleep time);

my $bin = "/usr/lib/postgresql/$ENV{PG_VERSION}/bin";
my $writers = 16;				# two to a conversation
my $rounds = $ENV{RAPPORT_LONG} ? 100 : 3;
my $dir = tempdir(CLEANUP => 1);
my $json = JSON::PP->new->utf8->canonical;

# People, two to a conversation: {id, conversation, token}.
sub make_people
{
	my ($cluster) = @_;
	$cluster->query(<<"SQL");
SET client_min_messages = warning;
CREATE EXTENSION rapport CASCADE;
DO \$\$
DECLARE
	ids bigint[];
BEGIN
	PERFORM rapport.set_setting('password_memory', '1'), rapport.set_setting('password_ops', '1'),
		rapport.set_setting('messages_per_minute', '0'), rapport.set_setting('access_token_seconds', '86400');
	FOR i IN 1 .. @{[ $writers / 2 ]} LOOP
		ids := ARRAY(SELECT rapport.new_person() FROM generate_series(1, 2) ORDER BY 1);
		INSERT INTO rapport.pair (lo, hi, mode, lo_action, hi_action, matched_at)
		VALUES (ids[1], ids[2], 1, 'like', 'like', rapport.now());
		PERFORM rapport.run_hooks('matched', ids || 1::bigint);
		PERFORM rapport.set_credential_for(id, 'p' || id || '\@example.org', 'correct horse') FROM unnest(ids) AS id;
	END LOOP;
END
\$\$;
SQL
	return [ map { my @w = split /\|/; { id => $w[0], conversation => $w[1], token => $w[2] } } split /\n/, $cluster->query(<<'SQL') ];
SELECT m.person_id, m.conversation_id, s.access_token
FROM rapport.member AS m
CROSS JOIN LATERAL rapport.sign_in('p' || m.person_id || '@example.org', 'correct horse') AS s
ORDER BY m.conversation_id, m.person_id
SQL
}

# rapportd, at a port that stays.
sub start_rapportd
{
	my ($folder, $port) = @_;
	my $pid = fork // die "fork: $!";
	if (!$pid)
	{
		open STDOUT, '>>', "$dir/rapportd.log";
		open STDERR, '>&', \*STDOUT;
		delete @ENV{ grep { /^RAPPORT_/ } keys %ENV };
		@ENV{qw(PGHOST PGUSER PGDATABASE RAPPORT_LISTEN)} = ($folder, 'rapport_api', 'postgres', "127.0.0.1:$port");
		exec 'api/rapportd' or POSIX::_exit(1);
	}
	return $pid;
}

# A request; undef where its outcome is unknown or the service away.
sub request
{
	my ($http, $port, $who, $method, $path, $body) = @_;
	my $answer = $http->request($method, "http://127.0.0.1:$port$path", { headers => { Authorization => "Bearer $who->{token}", 'Content-Type' => 'application/json' },
		defined $body ? (content => $json->encode($body)) : () });
	return if $answer->{status} >= 500;
	return { status => $answer->{status}, json => length $answer->{content} ? scalar eval { $json->decode($answer->{content}) } : undef };
}

# Sends one message after the other until it is told to stop, each until there is an
# answer; edits and deletes some. Its log has what was acknowledged, in order. A
# careless one names a message anew when it tries again.
sub writer
{
	my ($port, $who, $log, $careless) = @_;
	my $http = HTTP::Tiny->new(timeout => 5, keep_alive => 1);
	my $base = "/v1/conversations/$who->{conversation}/messages";
	my $tries = 0;
	open my $out, '>>', $log or die "$log: $!";
	$out->autoflush(1);
	srand($who->{id} % 1_000_003);
	my $until = sub {
		my ($method, $path, $body) = @_;
		while (1)
		{
			my $answer = request($http, $port, $who, $method, $path, ref $body eq 'CODE' ? $body->() : $body);
			return $answer if $answer;
			return if -e "$dir/abandon";
			sleep .03;
		}
	};
	for (my $n = 1; !-e "$dir/stop"; $n++)
	{
		my $text = "text $n of $who->{id}";
		my $answer = $until->('POST', $base, sub { { client_id => $careless ? 'c' . ++$tries . "-$$" : "c$n", body => $text } }) or last;
		if ($answer->{status} != 201) { print $out "wrong $answer->{status}\n"; last }
		my $seq = $answer->{json}{seq};
		print $out "sent $seq c$n\n";
		my $what = rand;
		next if $careless || $what > .3;
		$answer = $what < .2 ? $until->('PATCH', "$base/$seq", { body => "$text, edited" }) : $until->('DELETE', "$base/$seq?for_all=true");
		last if !$answer;
		print $out $answer->{status} < 300 ? $what < .2 ? "edited $seq\n" : "deleted $seq\n" : "wrong $answer->{status}\n";
	}
	return;
}

# Follows a conversation as the protocol says: sync, and where a number is missing or
# sync begins anew, history. At the end it writes down what it has.
sub reader
{
	my ($port, $who, $file) = @_;
	my $http = HTTP::Tiny->new(timeout => 5, keep_alive => 1);
	my (%have, $since, $last);
	my $get = sub {
		while (1)
		{
			my $answer = request($http, $port, $who, 'GET', $_[0]);
			return $answer->{json} if $answer && $answer->{status} == 200;
			die "reader: $answer->{status}" if $answer;
			sleep .03;
		}
	};
	my $take = sub { $have{ $_[0]{seq} } = [ @{ $_[0] }{qw(state body)} ] };
	while (1)
	{
		my $ending = -e "$dir/end";
		my $page = $get->('/v1/sync' . (defined $since ? "?since=$since" : ''));
		%have = () if $page->{reset};
		for my $item (@{ $page->{items} })
		{
			$last = $item->{last_seq} if $item->{kind} eq 'conversation';
			$take->($item) if $item->{kind} eq 'message' || $item->{kind} eq 'change';
		}
		$since = $page->{next};
		next if $page->{more};
		my $from = 0;
		$from++ while exists $have{ $from + 1 };
		while ($from < ($last // 0))
		{
			my $history = $get->("/v1/conversations/$who->{conversation}/messages?page_size=100&after_seq=$from");
			my $items = ref $history eq 'HASH' ? $history->{items} : $history;
			last if !@$items;
			for (@$items) { $take->($_); $from = $_->{seq} }
		}
		last if $ending;
		sleep .1;
	}
	open my $out, '>', $file or die "$file: $!";
	print $out $json->encode(\%have);
	close $out;
	return;
}

sub in_background
{
	my ($code) = @_;
	my $pid = fork // die "fork: $!";
	return $pid if $pid;
	open STDERR, '>>', "$dir/errors";
	my $good = eval { $code->(); 1 };
	print STDERR $@ if !$good;
	POSIX::_exit($good ? 0 : 1);
}

sub wait_for { my $failed = 0; for (@_) { waitpid $_, 0; $failed++ if $? } return $failed }

# What the logs of writers say: acknowledged messages [conversation, sender, seq, name, edited or deleted]; and what is wrong of itself.
sub acknowledged
{
	my ($people, $name) = @_;
	my (@sent, $reordered, $refused);
	$reordered = $refused = 0;
	for my $who (@$people)
	{
		my $last = 0;
		open my $in, '<', "$dir/$name.$who->{id}" or next;
		while (<$in>)
		{
			my ($verb, $seq, $client) = split;
			$refused++ if $verb eq 'wrong';
			# Of the message before, once it is acknowledged.
			$sent[-1][4] = $verb if $verb eq 'edited' || $verb eq 'deleted';
			next if $verb ne 'sent';
			$reordered++ if $seq <= $last;
			$last = $seq;
			push @sent, [ $who->{conversation}, $who->{id}, $seq, $client, '' ];
		}
	}
	return (\@sent, $reordered, $refused);
}

# What is wrong in the tables: all numbers must be 0.
sub wrong
{
	my ($ask, $sent) = @_;
	my $rows = join ',', map { "($_->[0],$_->[1],$_->[2],'$_->[3]','$_->[4]')" } @$sent;
	my $file = "$dir/wrong.sql";
	open my $out, '>', $file or die "$file: $!";
	print $out 'CREATE TEMP TABLE sent (conversation_id bigint, sender_id bigint, seq bigint, client_id text, change text);', $rows ? "INSERT INTO sent VALUES $rows;" : '', <<'SQL';
CREATE TEMP TABLE stored AS
SELECT m.* FROM rapport.conversation AS c CROSS JOIN LATERAL rapport.message_range(c.conversation_id, 1, c.last_seq + 1000) AS m;
SELECT 'lost', count(*) FROM sent LEFT JOIN stored USING (conversation_id, sender_id, seq, client_id) WHERE stored.sent_at IS NULL
UNION ALL
SELECT 'unchanged', count(*)
FROM sent
JOIN stored USING (conversation_id, sender_id, seq, client_id)
WHERE change <> ''
AND stored.body IS DISTINCT FROM CASE change WHEN 'edited' THEN format('text %s of %s, edited', substr(client_id, 2), sender_id) END
UNION ALL
SELECT 'duplicated', count(*) FROM (SELECT FROM stored WHERE body IS NOT NULL GROUP BY sender_id, split_part(body, ',', 1) HAVING count(*) > 1) AS x
UNION ALL
SELECT 'named twice', count(*) FROM (SELECT FROM stored GROUP BY conversation_id, sender_id, client_id HAVING count(*) > 1) AS x
UNION ALL
SELECT 'gaps', count(*)
FROM rapport.conversation AS c
CROSS JOIN LATERAL (SELECT count(*) AS n, coalesce(max(s.seq), 0) AS last FROM stored AS s WHERE s.conversation_id = c.conversation_id) AS s
WHERE (s.n, s.last) <> (c.last_seq, c.last_seq);
SQL
	close $out;
	my $text = $ask->($file);
	return { map { split /\|/ } grep { /^[^|]+\|\d+$/ } split /\n/, $text };
}

# Runs a file of SQL in the cluster whose socket is in that folder.
sub asking
{
	my ($folder, @options) = @_;
	return sub {
		local $ENV{PGHOST} = $folder;
		my $text = qx{$bin/psql -XAtq -v ON_ERROR_STOP=1 @options -d postgres -f $_[0] 2>&1};
		die $text if $?;
		return $text;
	};
}

sub nothing_but { my ($wrong) = @_; return { map { $_ => $wrong->{$_} } grep { $wrong->{$_} } keys %$wrong } }

sub mark { my ($name) = @_; open my $out, '>', "$dir/$name" or die "$name: $!"; return close $out }
sub unmark { return unlink map { "$dir/$_" } @_ }

# Writers that retry, through kills.
{
	my $cluster = RapportCluster->new;
	my $people = make_people($cluster);
	my $port = free_port();
	my $front = start_rapportd($cluster->dir, $port);
	my @writers = map { my $who = $_; in_background(sub { writer($port, $who, "$dir/good.$who->{id}") }) } @$people;
	my @readers = map { my $who = $_; in_background(sub { reader($port, $who, "$dir/read.$who->{id}") }) } @$people[0, 3];
	my $before = 0;
	for my $round (1 .. $rounds)
	{
		sleep 1.5 + rand 1.5;
		kill 'KILL', $front;
		my $killed = $cluster->kill_all;
		waitpid $front, 0;
		my ($sent) = acknowledged($people, 'good');
		$cluster->start;
		$front = start_rapportd($cluster->dir, $port);
		my $wrong = wrong(asking($cluster->dir), $sent);
		is_deeply(nothing_but({ lost => $wrong->{lost}, twice => $wrong->{duplicated}, unchanged => $wrong->{unchanged} }), {}, "round $round: $killed processes killed, " . (@$sent - $before) . ' messages acknowledged before, none lost, none twice, all edits and deletions made');
		$before = @$sent;
	}
	sleep 1;
	mark('stop');
	is(wait_for(@writers), 0, 'every writer got its answers');
	mark('end');
	is(wait_for(@readers), 0, 'every reader came to the end') or diag(qx{tail -n 5 $dir/errors});
	my ($sent, $reordered, $refused) = acknowledged($people, 'good');
	cmp_ok(@$sent, '>', $writers * $rounds, @$sent . ' messages acknowledged');
	is($refused, 0, 'nothing was refused') or diag(qx{cat $dir/good.* | grep wrong | sort | uniq -c});
	is($reordered, 0, 'nobody\'s messages changed their order');
	is_deeply(nothing_but(wrong(asking($cluster->dir), $sent)), {}, 'lost 0, duplicated 0, gaps 0, no edit or deletion undone');
	is($cluster->query('SELECT sum(last_seq) FROM rapport.conversation'), scalar @$sent, 'and nothing is stored that was not acknowledged');
	for my $who (@$people[0, 3])
	{
		my $have = do { open my $in, '<', "$dir/read.$who->{id}" or die; local $/; $json->decode(<$in>) };
		my %stored = map { my ($seq, $state, $body) = split /\|/, $_, 3; $seq => [ $state, length $body ? $body : undef ] }
			split /\n/, $cluster->query("SELECT m.seq, CASE WHEN m.flags & 4 = 4 THEN 'deleted' ELSE 'sent' END, m.body FROM rapport.message_range($who->{conversation}, 1, 1000000) AS m");
		is_deeply($have, \%stored, 'a reader has put together what is stored: ' . keys(%stored) . ' messages, '
			. (grep { ($_->[1] // '') =~ /edited/ } values %stored) . ' of them edited, ' . (grep { $_->[0] eq 'deleted' } values %stored) . ' deleted');
	}
	# The comparison sees each fault.
	my $some = $sent->[ @$sent / 2 ];
	my $seen = wrong(asking($cluster->dir), [ @$sent, [ @$some[0, 1], 10_000_000, 'never', '' ] ]);
	is($seen->{lost}, 1, 'a message that is not there is seen');
	for my $change ('edited', 'deleted')
	{
		my ($one) = grep { $_->[4] eq $change } @$sent;
		my $where = "conversation_id = $one->[0] AND seq = $one->[2]";
		my $body = $cluster->query("SELECT quote_nullable(body) FROM rapport.message WHERE $where");
		$cluster->query("UPDATE rapport.message SET body = 'as before' WHERE $where");
		is(wrong(asking($cluster->dir), $sent)->{unchanged}, 1, "one that is not $change any more is seen");
		$cluster->query("UPDATE rapport.message SET body = $body WHERE $where");
	}
	$cluster->query("DELETE FROM rapport.message WHERE conversation_id = $some->[0] AND seq = $some->[2]");
	$seen = wrong(asking($cluster->dir), $sent);
	is($seen->{lost}, 1, 'one that is taken away is seen');
	is($seen->{gaps}, 1, 'and its gap');

	# Who names a message anew when there was no answer sends it twice.
	unmark('stop', 'end');
	@writers = map { my $who = $_; in_background(sub { writer($port, $who, "$dir/careless.$who->{id}", 1) }) } @$people;
	for (1 .. 8)
	{
		sleep .7;
		kill 'KILL', $front;
		waitpid $front, 0;
		$front = start_rapportd($cluster->dir, $port);
	}
	sleep 1;
	mark('stop');
	wait_for(@writers);
	cmp_ok(wrong(asking($cluster->dir), [])->{duplicated}, '>', 0, 'with a new name for each try messages are there twice, and that is seen');
	kill 'KILL', $front;
	waitpid $front, 0;
}

# A standby that nobody waits for has not all that was acknowledged.
{
	my $cluster = RapportCluster->new;
	my $people = make_people($cluster);
	my $standby = "$dir/standby";
	{
		local $ENV{PGHOST} = $cluster->dir;
		system("$bin/pg_basebackup", '-D', $standby, '-R', '-c', 'fast') == 0 or die 'pg_basebackup';
	}
	mkdir "$dir/socket" or die "socket: $!";
	my $control = sub { return system("$bin/pg_ctl", '-s', '-w', '-D', $standby, '-l', "$dir/standby.log", @_) == 0 };
	$control->('-o', "-k $dir/socket", 'start') or die 'the standby does not start';
	my $port = free_port();
	my $front = start_rapportd($cluster->dir, $port);
	unmark('stop', 'abandon');
	my @writers = map { my $who = $_; in_background(sub { writer($port, $who, "$dir/apart.$who->{id}") }) } @$people;
	sleep 2;
	# The line between the two is cut; the primary goes on for a while.
	{
		local $ENV{PGHOST} = "$dir/socket";
		system("$bin/psql", '-Xq', '-d', 'postgres', '-c', q{ALTER SYSTEM SET primary_conninfo = ''}, '-c', 'SELECT pg_reload_conf()', '-o', '/dev/null');
	}
	sleep 2;
	mark('abandon');
	$cluster->kill_all;
	kill 'KILL', $front;
	waitpid $front, 0;
	wait_for(@writers);
	$control->('promote') or die 'the standby is not promoted';
	my ($sent) = acknowledged($people, 'apart');
	my $wrong = wrong(asking("$dir/socket"), $sent);
	cmp_ok($wrong->{lost}, '>', 0, "at its promotion $wrong->{lost} of " . @$sent . ' acknowledged messages are lost, and that is seen');
	is($wrong->{gaps}, 0, 'what it has is whole');
	$control->('-m', 'immediate', 'stop');
}

done_testing();
