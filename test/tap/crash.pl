# kill -9 of every process of a cluster under mixed load, again and again: what
# was acknowledged is there, conversations have no gaps, the match index is
# right, and discovery is exact. With durability turned off the same comparison
# finds what is lost.
use strict;
use warnings;
use File::Temp qw(tempdir);
use IPC::Open2;
use RapportCluster;
use Test::More;
use Time::HiRes qw(sleep time);

my $bin = '/usr/lib/postgresql/' . ($ENV{PG_VERSION} || 15) . '/bin';
my $clients = 8;
my $personas = 6;				# people a client acts as
my $rounds = $ENV{RAPPORT_LONG} ? 20 : 3;
my $oracle = do { local (@ARGV, $/) = 'test/lib/match_oracle.sql'; <> };
my $dir = tempdir(CLEANUP => 1);

# People in one city who all accept each other.
sub make_people
{
	my ($cluster) = @_;
	$cluster->query(<<"SQL");
SET client_min_messages = warning;
CREATE EXTENSION rapport CASCADE;
CREATE TABLE persona (n serial PRIMARY KEY, person_id bigint);
DO \$\$
DECLARE
	id bigint;
BEGIN
	FOR i IN 1 .. @{[ $clients * $personas ]} LOOP
		id := rapport.new_person();
		INSERT INTO persona (person_id) VALUES (id);
		PERFORM rapport.act_as(id, true);
		PERFORM rapport.update_profile(jsonb_build_object('display_name', 'P' || i, 'birth_date', '1990-01-01', 'about', 'c0'));
		PERFORM rapport.set_place(52.5 + i * .01, 13.4);
		PERFORM rapport.set_preference('date', '{"enabled": true}');
		PERFORM rapport.act_as(NULL, true);
	END LOOP;
END
\$\$;
SQL
	return [ split /\n/, $cluster->query('SELECT person_id FROM persona ORDER BY n') ];
}

# A client until its connection breaks: statements go into psql one by one. What it is
# about to do and what was acknowledged are appended to a file, as lines of words.
sub client
{
	my ($cluster, $people, $number, $round, $log) = @_;
	my $pid = open2(my $out, my $in, 'env', 'PGHOST=' . $cluster->dir, "$bin/psql", '-XAtq', '-d', 'postgres');
	open my $file, '>>', $log or die "$log: $!";
	$file->autoflush(1);
	$in->autoflush(1);
	local $SIG{PIPE} = 'IGNORE';
	srand($number * 1000 + $round);
	my $count = 0;
	my %conversations;
	# The answer of a statement; undef when the connection is gone. A refusal is an empty answer.
	my $ask = sub {
		my ($sql) = @_;
		print $in "$sql;\n\\echo :SQLSTATE\n" or return;
		my @answer;
		while (defined(my $line = <$out>))
		{
			chomp $line;
			return ($line, @answer) if $line =~ /^[0-9A-Z]{5}$/;
			push @answer, $line;
		}
		return;
	};
	my $retry;
	# What the last round left open is asked again with the same name.
	if (open my $before, '<', $log)
	{
		my %open;
		while (<$before>)
		{
			my @words = split;
			$open{$words[1]} = [ @words ] if $words[0] eq 'try' && $words[2] eq 'send';
			delete $open{$words[1]} if $words[0] ne 'try';
		}
		$retry = [ values %open ];
	}
	while (1)
	{
		my $me = $people->[ ($number - 1) * $personas + int rand $personas ];
		my $other = $people->[ int rand @$people ];
		my $name = "$number-$round-" . ++$count;
		my $kind = rand;
		my ($what, $sql);
		if (my $again = shift @{ $retry // [] })
		{
			(undef, $name, undef, $me, my $conversation) = @$again;
			$what = "send $me $conversation";
		}
		elsif ($kind < .5)
		{
			my @known = @{ $conversations{$me} //= [] };
			if (!@known || rand() < .1)
			{
				my ($state, undef, @rows) = ($ask->("SELECT rapport.act_as($me)"));
				return close_client($pid, $in, $out) if !defined $state;
				($state, @rows) = $ask->('SELECT conversation_id FROM rapport.conversations(100)');
				return close_client($pid, $in, $out) if !defined $state;
				$conversations{$me} = [ @known = @rows ];
			}
			$what = @known ? "send $me $known[rand @known]" : "like $me $other";
		}
		elsif ($kind < .75) { $what = "like $me $other" }
		elsif ($kind < .9) { $what = "about $me c$name" }
		else { $what = (rand() < .3 ? 'block' : 'unblock') . " $me $other" }
		my ($verb, undef, $target) = split / /, $what;
		next if $target eq $me;
		$sql = $verb eq 'send' ? "SELECT seq FROM rapport.send_message($target, 'm$name', 'text of m$name')"
			: $verb eq 'like' ? "SELECT coalesce(conversation_id, 0) FROM rapport.\"like\"($target, 'date')"
			: $verb eq 'about' ? "SELECT rapport.update_profile('{\"about\": \"$target\", \"tags\": [\"$target\"]}')"
			: "SELECT rapport.$verb($target)";
		print $file "try $name $what\n";
		my ($state) = $ask->("SELECT rapport.act_as($me)");
		last if !defined $state;
		($state, my $answer) = $ask->($sql);
		last if !defined $state || $state =~ /^(?:57P|08)/;
		print $file ($state eq '00000' ? 'done' : 'refused'), " $name $what ", $answer // '', "\n";
	}
	return close_client($pid, $in, $out);
}

sub close_client
{
	my ($pid, @handles) = @_;
	close $_ for @handles;
	waitpid $pid, 0;
	return;
}

# Load for some seconds, then all processes are killed at once; back after recovery.
sub round
{
	my ($cluster, $people, $round, $seconds, $logs) = @_;
	my @pids;
	for my $number (1 .. $clients)
	{
		my $pid = fork // die "fork: $!";
		if ($pid == 0)
		{
			open STDERR, '>', '/dev/null';
			eval { client($cluster, $people, $number, $round, "$logs/$number") };
			require POSIX;
			POSIX::_exit($@ ? 1 : 0);
		}
		push @pids, $pid;
	}
	sleep $seconds;
	my $killed = $cluster->kill_all;
	my $failed = 0;
	for my $pid (@pids) { waitpid $pid, 0; $failed++ if $? }
	$cluster->start;
	return ($killed, $failed);
}

# What the clients know, as rows: what was acknowledged, in their order, and what may or may not have been done.
sub known
{
	my ($logs) = @_;
	my (@done, %open);
	for my $log (sort glob "$logs/*")
	{
		open my $in, '<', $log or die "$log: $!";
		my $n = 0;
		while (<$in>)
		{
			my ($state, $name, $what, $me, $target, $answer) = split;
			$n++;
			if ($state eq 'try') { $open{"$log $name"} = [ $n, $name, $what, $me, $target ] }
			else { delete $open{"$log $name"} }
			push @done, [ $n, $name, $what, $me, $target, $answer // '' ] if $state eq 'done';
		}
	}
	return (\@done, [ values %open ]);
}

# What is wrong, by name; all numbers must be 0.
sub wrong
{
	my ($cluster, $done, $open) = @_;
	my $rows = sub { my ($with_answer, $list) = @_; return join ",\n", map { my @w = @$_; "($w[0], '$w[1]', '$w[2]', $w[3]::bigint, '$w[4]'" . ($with_answer ? ", '" . ($w[5] // '') . "')" : ')') } @$list };
	my $script = "CREATE TEMP TABLE done (n integer, name text, what text, me bigint, target text, answer text);\n"
		. (@$done ? 'INSERT INTO done VALUES ' . $rows->(1, $done) . ";\n" : '')
		. "CREATE TEMP TABLE undecided (n integer, name text, what text, me bigint, target text);\n"
		. (@$open ? 'INSERT INTO undecided VALUES ' . $rows->(0, $open) . ";\n" : '') . <<'SQL';
SELECT 'sends lost', count(*) FROM done AS d
LEFT JOIN rapport.message AS m ON m.conversation_id = d.target::bigint AND m.seq = d.answer::bigint
	AND m.sender_id = d.me AND m.client_id = 'm' || d.name AND m.body = 'text of m' || d.name
WHERE d.what = 'send' AND m.seq IS NULL
UNION ALL
SELECT 'messages nobody sent', count(*) FROM rapport.message AS m
WHERE NOT EXISTS (SELECT FROM done AS d WHERE d.what = 'send' AND 'm' || d.name = m.client_id)
AND NOT EXISTS (SELECT FROM undecided AS u WHERE u.what = 'send' AND 'm' || u.name = m.client_id)
UNION ALL
SELECT 'messages twice', count(*) FROM (SELECT FROM rapport.message GROUP BY sender_id, client_id HAVING count(*) > 1) AS m
UNION ALL
SELECT 'conversations with gaps', count(*)
FROM rapport.conversation AS c
CROSS JOIN LATERAL (SELECT count(*) AS n, coalesce(min(m.seq), 1) AS first, coalesce(max(m.seq), 0) AS last
					FROM rapport.message AS m WHERE m.conversation_id = c.conversation_id) AS m
WHERE (m.n, m.first, m.last) <> (c.last_seq, 1, c.last_seq)
OR (SELECT count(*) FROM rapport.member AS b WHERE b.conversation_id = c.conversation_id AND b.last_seq = c.last_seq) <> 2
UNION ALL
SELECT 'likes lost', count(*) FROM done AS d
LEFT JOIN (SELECT w.person_id, w.other_id FROM rapport.swipe AS w WHERE w.action = 'like'
		   UNION ALL
		   SELECT w.person_id, u.other_id FROM rapport.seen AS w CROSS JOIN LATERAL rapport.seen_unpack(w.data) AS u) AS s
	ON s.person_id = d.me AND s.other_id = d.target::bigint
LEFT JOIN rapport.like_received AS l ON l.person_id = d.target::bigint AND l.other_id = d.me
LEFT JOIN rapport.pair AS p ON p.lo = least(d.me, d.target::bigint) AND p.hi = greatest(d.me, d.target::bigint)
WHERE d.what = 'like'
AND (s.other_id IS NULL OR l.at IS NULL OR coalesce(CASE WHEN d.me = p.lo THEN p.lo_action ELSE p.hi_action END, '') <> 'like'
	 OR d.answer <> '0' AND p.conversation_id IS DISTINCT FROM d.answer::bigint)
UNION ALL
SELECT 'matches in half', count(*) FROM rapport.pair AS p
WHERE (p.lo_action = 'like' AND p.hi_action = 'like') IS DISTINCT FROM (p.matched_at IS NOT NULL AND p.conversation_id IS NOT NULL)
AND (p.matched_at IS NOT NULL OR p.lo_action IS NOT NULL AND p.hi_action IS NOT NULL)
UNION ALL
-- The last acknowledged, or one that was asked for after it.
SELECT 'profiles lost', count(*)
FROM (SELECT DISTINCT ON (me) me, target, n FROM done WHERE what = 'about' ORDER BY me, split_part(name, '-', 2)::integer DESC, n DESC) AS d
JOIN rapport.profile AS p ON p.person_id = d.me
WHERE p.about <> d.target
AND NOT EXISTS (SELECT FROM undecided AS u WHERE u.what = 'about' AND u.me = d.me AND u.n > d.n AND u.target = p.about)
UNION ALL
SELECT 'blocks lost', count(*)
FROM (SELECT DISTINCT ON (me, target) me, target, what, n FROM done WHERE what IN ('block', 'unblock') ORDER BY me, target, n DESC) AS d
LEFT JOIN rapport.block AS b ON b.person_id = d.me AND b.other_id = d.target::bigint
LEFT JOIN rapport.blocked_by AS y ON y.person_id = d.target::bigint AND y.other_id = d.me
WHERE (b.person_id IS NULL) <> (y.person_id IS NULL)
OR (b.person_id IS NOT NULL) <> (d.what = 'block')
AND NOT EXISTS (SELECT FROM undecided AS u WHERE u.what IN ('block', 'unblock') AND u.me = d.me AND u.target = d.target AND u.n > d.n)
UNION ALL
SELECT 'conversations open across a block, or closed without', count(*)
FROM rapport.pair AS p
JOIN rapport.conversation AS c ON c.conversation_id = p.conversation_id
JOIN rapport.member AS m ON m.conversation_id = p.conversation_id
WHERE (c.closed_at IS NOT NULL) <> rapport.is_blocked(p.lo, p.hi) OR m.closed <> rapport.is_blocked(p.lo, p.hi)
UNION ALL
SELECT 'keys that are not what profiles say', count(*)
FROM rapport.candidate AS c
FULL JOIN rapport.match_sides(ARRAY(SELECT person_id FROM rapport.person), 1) AS k ON k.person_id = c.person_id AND k.mode = c.mode
WHERE c.key OPERATOR(rapport.=) k.key IS NOT TRUE
UNION ALL
SELECT 'problems of the index', problems FROM rapport.match_index_check('rapport.candidate_key');
SQL
	# Discovery against brute force, and nobody is shown across a block.
	$script .= $oracle . <<'SQL';
CREATE TEMP TABLE deck AS
SELECT p.person_id, pg_temp.shown(p.person_id, 'date', 20) AS shown, ARRAY(SELECT pg_temp.who(p.person_id, 1::smallint)) AS members
FROM persona AS p;
SELECT 'decks that differ from brute force', count(*) FROM deck
WHERE ARRAY(SELECT unnest(shown) ORDER BY 1) <> ARRAY(SELECT unnest(members) ORDER BY 1);
SQL
	open my $file, '>', "$dir/wrong.sql" or die "wrong.sql: $!";
	print $file $script;
	close $file;
	local $ENV{PGHOST} = $cluster->dir;
	my $out = qx{$bin/psql -XAtq -v ON_ERROR_STOP=1 -d postgres -f $dir/wrong.sql 2>&1};
	die $out if $?;
	return map { split /\|/ } grep { /^[^|]+\|\d+$/ } split /\n/, $out;
}

{
	my $cluster = RapportCluster->new;
	my $people = make_people($cluster);
	my $logs = "$dir/logs";
	mkdir $logs;
	is($cluster->query("SELECT concat_ws(' ', current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'))"), 'on on on',
		'the cluster is as durable as it gets');
	my $before = 0;
	for my $round (1 .. $rounds)
	{
		my ($killed, $failed) = round($cluster, $people, $round, 2 + rand 2, $logs);
		my ($done, $open) = known($logs);
		my %wrong = wrong($cluster, $done, $open);
		is($failed, 0, "round $round: no client went astray");
		cmp_ok($killed, '>', $clients, "round $round: $killed processes killed");
		cmp_ok(@$done - $before, '>', 50, "round $round: " . (@$done - $before) . ' acknowledged writes, ' . @$open . ' without an answer so far');
		is_deeply({ map { $_ => $wrong{$_} } grep { $wrong{$_} } keys %wrong }, {}, "round $round: " . keys(%wrong) . ' comparisons, nothing wrong');
		$before = @$done;
	}
	my ($done, $open) = known($logs);
	my %count;
	$count{ $_->[2] }++ for @$done;
	cmp_ok($count{$_} // 0, '>', 0, "acknowledged: $_ ($count{$_})") for qw(send like about block unblock);
	cmp_ok($cluster->query('SELECT count(*) FROM rapport.pair WHERE matched_at IS NOT NULL'), '>', 5, 'people matched');
	# The comparison sees it when a write that nobody did counts as acknowledged, of every kind.
	for my $fake ([ send => '1', '1', 'sends lost' ], [ like => $people->[1], '0', 'likes lost' ], [ about => 'never', '', 'profiles lost' ], [ block => $people->[0], '', 'blocks lost' ])
	{
		my ($what, $target, $answer, $name) = @$fake;
		my $me = $people->[-1];
		$cluster->query("DELETE FROM rapport.swipe WHERE person_id = $me AND other_id = $target") if $what eq 'like';
		$cluster->query("DELETE FROM rapport.block WHERE person_id = $me AND other_id = $target; DELETE FROM rapport.blocked_by WHERE other_id = $me AND person_id = $target") if $what eq 'block';
		my %wrong = wrong($cluster, [ @$done, [ 1_000_000, '9-999-1', $what, $me, $target, $answer ] ], $open);
		cmp_ok($wrong{$name}, '>', 0, "a made-up $what is seen: $name");
	}
	# And when a message is gone.
	$cluster->query('DELETE FROM rapport.message AS m WHERE seq = 1 AND conversation_id = (SELECT min(conversation_id) FROM rapport.message)');
	my %wrong = wrong($cluster, $done, $open);
	is($wrong{'sends lost'}, 1, 'a message taken away is seen');
	is($wrong{'conversations with gaps'}, 1, 'and its gap');
}

# An answer before the log is on its way: some of what was acknowledged is gone.
{
	my $cluster = RapportCluster->new(conf => "wal_buffers = 64MB\nbgwriter_lru_maxpages = 0\nautovacuum = off\n");
	my $people = make_people($cluster);
	my $logs = "$dir/careless";
	mkdir $logs;
	$cluster->query('ALTER SYSTEM SET synchronous_commit = off');
	$cluster->stop;
	$cluster->start;
	# Who would write the log some moments later never comes to it.
	kill 'STOP', $cluster->query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'");
	round($cluster, $people, 1, 3, $logs);
	my ($done, $open) = known($logs);
	my %wrong = wrong($cluster, $done, $open);
	cmp_ok($wrong{'sends lost'} + $wrong{'likes lost'} + $wrong{'profiles lost'} + $wrong{'blocks lost'}, '>', 0,
		'without synchronous_commit acknowledged writes are lost, and that is seen: '
		. join(', ', map { "$_ $wrong{$_}" } grep { $wrong{$_} } sort keys %wrong) . ' of ' . @$done);
	is($wrong{'problems of the index'}, 0, 'even then the index is right');
}

done_testing();
