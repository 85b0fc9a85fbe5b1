# A standby has replayed what the suites did, and what is done here to indexes
# of match keys, comparing every page with the primary's; then its indexes are
# right. It stops at a planted difference of one byte.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep);

my $standby = "$ENV{PGHOST}/standby";
my %rows;

sub query
{
	my ($port, $database, $sql) = @_;
	local $ENV{PGPORT} = $port;
	open my $psql, '-|', 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $database, '-c', $sql or die "psql: $!";
	my $out = do { local $/; <$psql> } // '';
	close $psql or die "psql failed: $sql";
	chomp $out;
	return $out;
}

sub primary { return query(5432, @_) }

# Whether the standby comes to where the primary is now, while it runs.
sub replayed
{
	my $end = primary('postgres', 'SELECT pg_current_wal_flush_lsn()');
	for (1 .. 3000)
	{
		return 1 if primary('postgres', "SELECT 1 FROM pg_stat_replication WHERE replay_lsn >= '$end'");
		last if !-e "$standby/postmaster.pid";
		sleep 0.2;
	}
	return 0;
}

sub standby { return system('pg_ctl', '-s', '-w', '-D', $standby, '-l', "$standby.log", @_) == 0 }

# Indexes built, filled row by row, split, updated, emptied in part and vacuumed.
primary('postgres', 'CREATE DATABASE replay');
primary('replay', <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION rapport CASCADE;
CREATE FUNCTION key_of(id integer) RETURNS rapport.match_key LANGUAGE sql AS $$
	SELECT rapport.match_key(id, 52 + random(), 13 + random(), birth_date => '1980-01-01'::date + id % 9000, traits => ARRAY[1 + id % 2, 1 + (random() * 5)::integer],
		wants => ARRAY[4 - 2 * (id % 2), 127], ages => '[18,99]', max_distance_km => 80, active_on => current_date - (random() * 60)::integer, quality => random())
$$;
CREATE TABLE built AS SELECT id, key_of(id) AS key FROM generate_series(1, 3000) AS id;
CREATE INDEX built_key ON built USING match_gist (key);
CREATE TABLE filled (LIKE built);
CREATE INDEX filled_key ON filled USING match_gist (key);
INSERT INTO filled TABLE built;
UPDATE filled SET key = key_of(id) WHERE id % 7 = 0;
DELETE FROM filled WHERE id < 2000;
SQL
primary('replay', $_) for 'VACUUM filled', 'INSERT INTO filled TABLE built', 'VACUUM built';

ok(replayed(), 'the standby replays to the end, every page as on the primary');
is(query(5433, 'postgres', 'SELECT pg_is_in_recovery()'), 't', 'and is a standby');
for my $database (split /\n/, query(5433, 'postgres', 'SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1'))
{
	for my $index (split /\n/, query(5433, $database, "SELECT i.indexrelid::regclass FROM pg_index AS i JOIN pg_opclass AS c ON c.oid = i.indclass[0] "
		. "WHERE c.opcname = 'match_key_ops' ORDER BY 1"))
	{
		my ($rows, $problems, $first) = split /\|/, query(5433, $database, "SELECT rows, problems, first_problem FROM rapport.match_index_check('$index')"), -1;
		is($problems, 0, "$index of $database is right there ($rows rows)") or diag($first);
		$rows{"$database.$index"} = $rows;
	}
}
is($rows{'replay.filled_key'}, 4001, 'rows and all');
ok(exists $rows{'rapport_regress.rapport.candidate_key'} && exists $rows{'rapport_isolation.rapport.candidate_key'}, 'those of the suites too');

# A byte of a page, which the next change of the page leaves as it is.
primary('replay', "CREATE TABLE planted AS SELECT 'as it was' AS x");
primary('replay', 'CHECKPOINT');
my $file = "$standby/" . primary('replay', "SELECT pg_relation_filepath('planted')");
ok(replayed() && standby('-m', 'fast', 'stop'), 'the standby stops');
open my $pages, '+<:raw', $file or die "$file: $!";
my $at = index(do { local $/; <$pages> }, 'as it was');
die 'no page' if $at < 0;
seek $pages, $at, 0;
print $pages 'A';
close $pages;
ok(standby('-o', '-c port=5433 -c ignore_checksum_failure=on', 'start') && replayed(), 'it starts again');
primary('replay', "UPDATE planted SET x = 'as it is'");
ok(!replayed(), 'and does not get past a planted difference');
primary('postgres', "SELECT pg_drop_replication_slot('standby')");
done_testing;
