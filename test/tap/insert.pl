# The insertion of match_gist: many writers at once, splits, bounds that grow and
# dead rows that go while others read; a standby that compares every page; kill -9
# in between. Afterwards the index is right, there as here.
use strict;
use warnings;
use File::Temp qw(tempdir);
use RapportCluster;
use Test::More;
use Time::HiRes qw(sleep);

my $bin = "/usr/lib/postgresql/$ENV{PG_VERSION}/bin";
my $seconds = $ENV{RAPPORT_LONG} ? 60 : 4;
my $cluster = RapportCluster->new(conf => <<'CONF');
wal_consistency_checking = 'all'
autovacuum = off
max_wal_size = 8GB
wal_keep_size = 4GB
CONF
my $dir = $cluster->dir;
local $ENV{PGHOST} = $dir;

$cluster->query(<<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION rapport CASCADE;
CREATE FUNCTION key_of(id bigint) RETURNS rapport.match_key LANGUAGE sql AS $$
	SELECT rapport.match_key(id, 52 + random(), 13 + random(), birth_date => '1980-01-01'::date + (id % 9000)::integer,
		traits => ARRAY[1 + id::integer % 2, 1 + (random() * 5)::integer], wants => ARRAY[4 - 2 * (id::integer % 2), 127], ages => '[18,99]', max_distance_km => 80,
		active_on => '2026-01-01'::date - (random() * 60)::integer, quality => random())
$$;
-- How many a viewer finds: in order, as match_gist does it; in none, as GiST does, which marks dead entries; and without the index.
CREATE FUNCTION in_order(viewer bigint) RETURNS bigint LANGUAGE plpgsql SET enable_seqscan = off SET enable_sort = off AS $$
DECLARE
	q rapport.match_query := (SELECT rapport.match_query(key, '2026-01-02') FROM people WHERE id = viewer);
BEGIN
	RETURN (SELECT count(*) FROM (SELECT FROM people WHERE key OPERATOR(rapport.@@) q ORDER BY key OPERATOR(rapport.<->) q OFFSET 0) AS t);
END
$$;
CREATE FUNCTION in_none(viewer bigint) RETURNS bigint LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
	q rapport.match_query := (SELECT rapport.match_query(key, '2026-01-02') FROM people WHERE id = viewer);
BEGIN
	RETURN (SELECT count(*) FROM people WHERE key OPERATOR(rapport.@@) q);
END
$$;
CREATE FUNCTION by_reading(viewer bigint) RETURNS bigint LANGUAGE plpgsql SET enable_indexscan = off SET enable_bitmapscan = off AS $$
DECLARE
	q rapport.match_query := (SELECT rapport.match_query(key, '2026-01-02') FROM people WHERE id = viewer);
BEGIN
	RETURN (SELECT count(*) FROM people WHERE key OPERATOR(rapport.@@) q);
END
$$;
CREATE TABLE people (id bigint PRIMARY KEY, key rapport.match_key);
CREATE INDEX people_key ON people USING match_gist (key);
INSERT INTO people SELECT id, key_of(id) FROM generate_series(1, 2000) AS id;
SQL

my $standby = "$dir/standby";
system("$bin/pg_basebackup", '-D', $standby, '-R', '-c', 'fast') == 0 or die 'pg_basebackup';
open my $conf, '>>', "$standby/postgresql.conf" or die "conf: $!";
print $conf "port = 5433\nmax_standby_streaming_delay = -1\n";
close $conf;
sub standby { return system("$bin/pg_ctl", '-s', '-w', '-D', $standby, '-l', "$standby.log", @_) == 0 }
END
{
	local $?;
	standby('-m', 'immediate', 'stop') if $standby && -e "$standby/postmaster.pid";
}
standby('start') or die 'the standby does not start';

# What a query prints there.
sub there
{
	my ($sql) = @_;
	local $ENV{PGPORT} = 5433;
	return $cluster->query($sql);
}

# Whether the standby comes to where the primary is now.
sub replayed
{
	my $end = $cluster->query('SELECT pg_current_wal_flush_lsn()');
	for (1 .. 600)
	{
		return 1 if $cluster->query("SELECT 1 FROM pg_stat_replication WHERE replay_lsn >= '$end'");
		last if !-e "$standby/postmaster.pid";
		sleep 0.1;
	}
	diag(qx{tail -n 5 $standby.log});
	return 0;
}

my $scripts = tempdir(CLEANUP => 1);
my %script = (
	update => "\\set id random(1, 2000)\nUPDATE people SET key = key_of(id) WHERE id = :id;\n",
	insert => "INSERT INTO people SELECT id, key_of(id) FROM (SELECT nextval('more') AS id) AS i;\n",
	delete => "DELETE FROM people WHERE id IN (SELECT id FROM people WHERE id > 2000 ORDER BY id LIMIT 30);\n",
	vacuum => "VACUUM people;\n",
	# In one snapshot, whatever the others do.
	read => "\\set id random(1, 2000)\nBEGIN ISOLATION LEVEL REPEATABLE READ;\n"
		. "SELECT 1 / (in_order(:id) = by_reading(:id))::integer, 1 / (in_none(:id) = by_reading(:id))::integer;\nCOMMIT;\n");
for my $name (keys %script)
{
	open my $out, '>', "$scripts/$name.sql" or die "$name: $!";
	print $out $script{$name};
	close $out;
}
$cluster->query('CREATE SEQUENCE more START 2001');

sub load
{
	my ($clients, @weights) = @_;
	my $log = qx{$bin/pgbench -n -c $clients -j 2 -T $seconds @{[ map { "-f $scripts/$_" } @weights ]} postgres 2>&1};
	return ($?, $log);
}

# What the log says was done to an index since then, by kind of record.
sub records
{
	my ($since, $index) = @_;
	my $end = $cluster->query('SELECT pg_current_wal_flush_lsn()');
	my ($node) = $cluster->file_of($index) =~ m{(\d+)$};
	my %count;
	open my $in, '-|', "$bin/pg_waldump -p $dir/data/pg_wal -s $since -e $end" or die "pg_waldump: $!";
	while (<$in>)
	{
		next unless m{/$node } && /^rmgr: (\w+) .* desc: ([A-Za-z_]+)/;
		# Of three pages: a split. Of two: a leaf with the bounds above it.
		$count{$1 eq 'Generic' ? /blkref #2/ ? 'split' : /blkref #1/ ? 'both' : 'bytes' : $2}++;
	}
	close $in;
	return \%count;
}

sub is_right
{
	my ($where) = @_;
	my $check = "SELECT problems, first_problem FROM rapport.match_index_check('people_key')";
	# Names and costs of the best fifty of some, by the index and without it.
	my $best = "SELECT md5(string_agg(t::text, ',')) FROM (SELECT v.id, c.id, c.cost FROM (SELECT id, rapport.match_query(key, '2026-01-02') AS q FROM people WHERE id <= 20 ORDER BY id) AS v,"
		. ' LATERAL (SELECT id, key OPERATOR(rapport.<->) v.q AS cost FROM people WHERE key OPERATOR(rapport.@@) v.q ORDER BY key OPERATOR(rapport.<->) v.q LIMIT 50) AS c ORDER BY v.id, c.cost, c.id) AS t';
	is($cluster->query($check), '0|', "$where: the index is right");
	is($cluster->query("SET enable_seqscan = off; SET enable_sort = off; $best"),
		$cluster->query("SET enable_indexscan = off; SET enable_bitmapscan = off; $best"), "$where: an ordered scan gives what brute force does");
	return $check;
}

# Eight writers into one small index: splits side by side, and bounds that grow;
# here and on the standby others read.
my $since = $cluster->query('SELECT pg_current_wal_flush_lsn()');
open my $log_there, '-|', "PGPORT=5433 $bin/pgbench -n -c 2 -T @{[ 2 * $seconds ]} -f $scripts/read.sql postgres 2>&1" or die "pgbench: $!";
my ($status, $log) = load(10, 'insert.sql@8', 'read.sql@2');
is($status, 0, 'eight insert, two read') or diag($log);
is_right('inserted');
my $records = records($since, 'people_key');
cmp_ok($records->{split} // 0, '>', 20, 'pages were split');
cmp_ok($records->{bytes} // 0, '>', 100, 'bounds grew byte by byte') or diag(explain($records));
cmp_ok($records->{both} // 0, '>', 100, 'or together with the key');
is($records->{PAGE_SPLIT} // 0, 0, 'inner pages were split as well, not by GiST') or diag(explain($records));

# Rows that die all the time: full pages are cleared of them. Some minor releases
# of PostgreSQL replay that with a flag which the primary does not set (harmless;
# 15.18 does, 15.20 does not), so there pages cannot be compared from here on.
chomp(my $include = qx{$bin/pg_config --includedir-server});
open my $header, '<', "$include/access/gist.h" or die "gist.h: $!";
if (grep { /GistMarkTuplesDeleted/ } <$header>)
{
	ok(replayed(), 'the standby replays the splits, every page as here');
	$cluster->query($_) for 'ALTER SYSTEM SET wal_consistency_checking = \'\'', 'SELECT pg_reload_conf()';
}
$since = $cluster->query('SELECT pg_current_wal_flush_lsn()');
($status, $log) = load(8, 'update.sql@7', 'read.sql@1');
is($status, 0, 'seven update, one reads') or diag($log);
my $there = do { local $/; <$log_there> };
ok(close($log_there), 'two read on the standby meanwhile') or diag($there);
my $check = is_right('updated');
$records = records($since, 'people_key');
cmp_ok($records->{DELETE} // 0, '>', 20, 'full pages were cleared of dead rows') or diag(explain($records));
my $pages = 'SELECT pg_relation_size(\'people_key\') / 8192';
my $grown = $cluster->query($pages);
$cluster->query('REINDEX INDEX people_key');
cmp_ok($grown, '<', 3 * $cluster->query($pages), "so that $grown pages were enough");

# VACUUM finds what a split moves to a page that it has read, and pages come back.
($status, $log) = load(8, 'insert.sql@40', 'update.sql@40', 'delete.sql@10', 'read.sql@4', 'vacuum.sql@2');
is($status, 0, 'with deletes and VACUUM') or diag($log);
is_right('vacuumed');

ok(replayed(), 'a standby replays all of it, every page as here');
is(there($check), '0|', 'and its index is right');

# All processes killed while they write, and again.
for my $round (1 .. 2)
{
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		open STDERR, '>', '/dev/null';
		open STDOUT, '>', '/dev/null';
		exec "$bin/pgbench", '-n', '-c', 6, '-j', 2, '-T', 60, '-f', "$scripts/update.sql\@3", '-f', "$scripts/insert.sql\@3", 'postgres';
	}
	sleep $seconds / 2;
	$cluster->kill_all;
	waitpid $pid, 0;
	$cluster->start;
	is_right("killed $round");
}
ok(replayed(), 'the standby follows');
is(there($check), '0|', 'and is right');

# Not in the log, of several columns, null: by GiST, and as right.
for my $case ([ 'CREATE UNLOGGED TABLE', '(key)' ], [ 'CREATE TABLE', '(key, key)' ], [ 'CREATE TABLE', '((key)) WHERE id % 2 = 0' ])
{
	my ($create, $columns) = @$case;
	is($cluster->query("$create other (id bigint, key rapport.match_key); CREATE INDEX other_key ON other USING match_gist $columns;"
		. 'INSERT INTO other SELECT id, key_of(id) FROM generate_series(1, 2000) AS id; INSERT INTO other VALUES (0, NULL);'
		. 'UPDATE other SET key = key_of(id) WHERE id % 3 = 0;' . ($columns eq '(key, key)' ? 'SELECT 0' :
		"SELECT problems FROM rapport.match_index_check('other_key')")), '0', "$create $columns");
	$cluster->query('DROP TABLE other');
}

# Eastwards: each key grows the bounds of the last leaf, which all are after and which
# is split all the time. Who splits it holds it and waits for its parent; who has grown
# the parent takes the leaf along only where nobody holds it, or both wait for ever.
$cluster->query($_) for q{ALTER SYSTEM SET wal_consistency_checking = ''}, 'SELECT pg_reload_conf()',
	'CREATE TABLE east (id bigserial, key rapport.match_key); CREATE INDEX east_key ON east USING match_gist (key)';
open my $east, '>', "$scripts/east.sql" or die "east: $!";
print $east "INSERT INTO east SELECT id, rapport.match_key(id, 0, id * 0.0005) FROM (SELECT nextval('east_id_seq') AS id FROM generate_series(1, 200)) AS i;\n";
close $east;
$since = $cluster->query('SELECT pg_current_wal_flush_lsn()');
$log = qx{timeout 60 $bin/pgbench -n -c 8 -j 2 -t 25 -f $scripts/east.sql postgres 2>&1};
is($?, 0, 'who grows a parent does not wait for the leaf below') or diag($log);
if ($? == 0)
{
	$records = records($since, 'east_key');
	cmp_ok($records->{$_} // 0, '>', 500, "that was to be decided: $_") for qw(split both bytes);
	is($cluster->query(q{SELECT rows, problems FROM rapport.match_index_check('east_key')}), '40000|0', 'all are there');
}

done_testing();
