# Sends under load: 16 clients in four conversations, with retries, rollbacks and
# blocks. Numbers have no gaps, and exactly what was acknowledged is stored.
use strict;
use warnings;

use File::Temp qw(tempdir);
use Test::More;

my $clients = 16;
my $transactions = $ENV{RAPPORT_LONG} ? 2000 : 150;
my $dir = tempdir(CLEANUP => 1);
$ENV{PGDATABASE} = 'rapport_send';

# Runs statements in psql; returns what they print, unaligned.
sub query
{
	my ($sql, $database) = @_;
	open my $psql, '-|', 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $database // $ENV{PGDATABASE}, '-c', $sql
		or die "psql: $!";
	my $out = do { local $/; <$psql> } // '';
	close $psql or die "psql failed: $sql";
	chomp $out;
	return $out;
}

# Runs pgbench scripts (text => weight) side by side; returns the number of
# transactions it counted as done, or fails the test with what it printed.
sub bench
{
	my ($name, %scripts) = @_;
	my @files;
	for my $text (sort keys %scripts)
	{
		my $file = "$dir/" . @files . '.sql';
		open my $out, '>', $file or die "$file: $!";
		print $out $text;
		close $out;
		push @files, '-f', "$file\@$scripts{$text}";
	}
	my $log = qx{pgbench -n -M prepared -c $clients -j 2 -t $transactions @files 2>&1};
	is($?, 0, "$name: pgbench ends well") or diag($log);
	my ($done) = $log =~ m{actually processed: (\d+)/};
	return $done;
}

query('DROP DATABASE IF EXISTS rapport_send', 'postgres');
query('CREATE DATABASE rapport_send', 'postgres');
query(<<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION rapport CASCADE;
DO $$ BEGIN PERFORM rapport.set_setting('messages_per_minute', '0'); END $$;

-- Four conversations; a seat is one side of one, with two devices each.
CREATE TABLE seat (n serial, person_id bigint, conversation_id bigint);
DO $$
DECLARE
	ids bigint[];
BEGIN
	FOR i IN 1..4 LOOP
		ids := ARRAY(SELECT rapport.new_person() FROM generate_series(1, 2) ORDER BY 1);
		INSERT INTO rapport.pair (lo, hi, mode, lo_action, hi_action, matched_at)
		VALUES (ids[1], ids[2], 1, 'like', 'like', rapport.now());
		PERFORM rapport.run_hooks('matched', ids || 1::bigint);
		INSERT INTO seat (person_id, conversation_id)
		SELECT unnest(ids), p.conversation_id FROM rapport.pair AS p WHERE p.lo = ids[1] AND p.hi = ids[2];
	END LOOP;
END;
$$;

-- What a client knows to be stored: written after the send, in its transaction.
CREATE TABLE acknowledged (conversation_id bigint, person_id bigint, client_id text, seq bigint, duplicate boolean);

-- A send as somebody; -1 and no row where it is refused as not found.
CREATE FUNCTION try_send(seat integer, client_id text) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
	s seat;
	answer record;
BEGIN
	SELECT t.* INTO s FROM seat AS t WHERE t.n = try_send.seat;
	PERFORM rapport.act_as(s.person_id, true);
	BEGIN
		SELECT * INTO answer FROM rapport.send_message(s.conversation_id, try_send.client_id, 'text of ' || try_send.client_id);
	EXCEPTION WHEN SQLSTATE 'RP404' THEN
		PERFORM rapport.act_as(NULL, true);
		RETURN -1;
	END;
	PERFORM rapport.act_as(NULL, true);
	INSERT INTO acknowledged VALUES (s.conversation_id, s.person_id, try_send.client_id, answer.seq, answer.duplicate);
	RETURN answer.seq;
END;
$$;

CREATE FUNCTION toggle_block(seat integer, blocks boolean) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
	s seat;
	other bigint;
BEGIN
	SELECT t.* INTO s FROM seat AS t WHERE t.n = toggle_block.seat;
	SELECT t.person_id INTO other FROM seat AS t WHERE t.conversation_id = s.conversation_id AND t.n <> s.n;
	PERFORM rapport.act_as(s.person_id, true);
	IF blocks THEN
		PERFORM rapport.block(other);
	ELSE
		PERFORM rapport.unblock(other);
	END IF;
	PERFORM rapport.act_as(NULL, true);
END;
$$;
SQL

# Conversations whose numbers are not exactly 1 to last_seq, or whose inbox rows differ from it.
my $gaps = <<'SQL';
SELECT count(*)
FROM rapport.conversation AS c
CROSS JOIN LATERAL (SELECT count(*) AS n, coalesce(min(m.seq), 1) AS first, coalesce(max(m.seq), 0) AS last
					FROM rapport.message AS m WHERE m.conversation_id = c.conversation_id) AS m
WHERE (m.n, m.first, m.last) <> (c.last_seq, 1, c.last_seq)
OR (SELECT count(*) FROM rapport.member AS b WHERE b.conversation_id = c.conversation_id AND b.last_seq = c.last_seq) <> 2
SQL
# Answers without their message, and messages nobody was told of.
my $lost = <<'SQL';
SELECT count(*)
FROM (SELECT DISTINCT conversation_id, person_id AS sender_id, client_id, seq FROM acknowledged) AS a
FULL JOIN rapport.message AS m USING (conversation_id, sender_id, client_id, seq)
WHERE a.seq IS NULL OR m.body IS NULL OR m.body <> 'text of ' || client_id
SQL

my $send = <<'SQL';
\set seat random(1, 8)
\set name random(1, 1000000000000)
SELECT try_send(:seat, :name::text);
SQL

my $done = bench('sends', $send => 1);
is($done, $clients * $transactions, 'every send is acknowledged');
is(query('SELECT count(*) FROM rapport.message'), $done, 'as many messages as acknowledged sends');
is(query($gaps), 0, 'no gaps');
is(query($lost), 0, 'every answer names its message');

# A name out of forty a conversation and side: most are retries, many at the same time.
my $retry = <<'SQL';
\set seat random(1, 8)
\set name random(1, 40)
SELECT try_send(:seat, 'again-' || :name);
SQL
my $rolled_back = <<'SQL';
\set seat random(1, 8)
\set name random(1, 40)
BEGIN;
SELECT try_send(:seat, 'again-' || :name);
ROLLBACK;
SQL
bench('retries and rollbacks', $retry => 3, $rolled_back => 1, $send => 1);
is(query($gaps), 0, 'no gaps');
is(query($lost), 0, 'every answer names its message');
is(query('SELECT count(*) FROM (SELECT FROM rapport.message GROUP BY conversation_id, sender_id, client_id HAVING count(*) > 1) AS m'),
	0, 'one message a name');
is(query('SELECT count(*) FROM (SELECT FROM acknowledged GROUP BY conversation_id, person_id, client_id HAVING count(*) FILTER (WHERE NOT duplicate) <> 1) AS a'),
	0, 'one answer a name that is no duplicate');

my $block = <<'SQL';
\set seat random(1, 8)
\set blocks random(0, 1)
SELECT toggle_block(:seat, :blocks::boolean);
SQL
bench('blocks in between', $block => 1, $send => 3);
is(query($gaps), 0, 'no gaps');
is(query($lost), 0, 'every answer names its message');
is(query(<<'SQL'), 0, 'a conversation is closed exactly while one of the two blocks the other');
SELECT count(*)
FROM rapport.pair AS p
JOIN rapport.conversation AS c ON c.conversation_id = p.conversation_id
JOIN rapport.member AS m ON m.conversation_id = p.conversation_id
WHERE (c.closed_at IS NOT NULL) <> rapport.is_blocked(p.lo, p.hi) OR m.closed <> rapport.is_blocked(p.lo, p.hi)
SQL

query('DROP DATABASE rapport_send', 'postgres');
done_testing();
