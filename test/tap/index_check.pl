# match_index_check(): right about indexes that are right, whoever writes
# meanwhile, and about indexes that something was done to, byte by byte.
use strict;
use warnings;
use File::Temp qw(tempdir);
use RapportCluster;
use Test::More;

my $bin = "/usr/lib/postgresql/$ENV{PG_VERSION}/bin";
my $cluster = RapportCluster->new;
my $people = 8000;

$cluster->query(<<"SQL");
SET client_min_messages = warning;
CREATE EXTENSION rapport CASCADE;
CREATE FUNCTION key_of(id bigint) RETURNS rapport.match_key LANGUAGE sql AS \$\$
	SELECT rapport.match_key(id, 52 + random(), 13 + random(), birth_date => '1980-01-01'::date + (id % 9000)::integer,
		traits => ARRAY[1 + id::integer % 2, 1 + (random() * 5)::integer], wants => ARRAY[4 - 2 * (id::integer % 2), 127], ages => '[18,99]', max_distance_km => 80,
		active_on => current_date - (random() * 60)::integer, quality => random())
\$\$;
CREATE TABLE people AS SELECT id, key_of(id) AS key FROM generate_series(1, $people) AS id;
SQL

sub checked
{
	my ($name) = @_;
	return split /\|/, $cluster->query("SELECT * FROM rapport.match_index_check('$name')"), -1;
}

# Built, filled row by row, after updates, deletes and VACUUM, with nulls, in part, empty.
$cluster->query('CREATE TABLE built AS TABLE people; CREATE INDEX built_key ON built USING match_gist (key)');
$cluster->query('CREATE TABLE filled (LIKE people); CREATE INDEX filled_key ON filled USING match_gist (key);'
	. 'INSERT INTO filled SELECT * FROM people ORDER BY random()');
is_deeply([ (checked('built_key'))[ 0, 3, 4 ] ], [ $people, 0, '' ], 'a built index is right');
is_deeply([ (checked('filled_key'))[ 0, 2, 3, 4 ] ], [ $people, 3, 0, '' ], 'so is one filled row by row, of three levels');
$cluster->query('DELETE FROM filled WHERE id % 3 = 0; UPDATE filled SET key = key_of(id) WHERE id % 7 = 0; UPDATE filled SET id = id; INSERT INTO filled VALUES (0, NULL)');
is((checked('filled_key'))[3], 0, 'after updates and deletes');
$cluster->query($_) for 'VACUUM filled', 'DELETE FROM filled WHERE id < 4000', 'VACUUM filled',
	'INSERT INTO filled SELECT i, key_of(i) FROM generate_series(1, 3000) AS i';
is((checked('filled_key'))[3], 0, 'after VACUUM and more of it');
$cluster->query('CREATE INDEX filled_part ON filled USING match_gist ((key)) WHERE id % 2 = 0; CREATE TABLE nobody (LIKE people); CREATE INDEX nobody_key ON nobody USING match_gist (key)');
is_deeply([ (checked('filled_part'))[ 0, 3 ] ], [ $cluster->query('SELECT count(*) FROM filled WHERE id % 2 = 0'), 0 ], 'a partial index');
is_deeply([ checked('nobody_key') ], [ 0, 1, 1, 0, '' ], 'an empty one');
for my $bad ([ 'people', '42809' ], [ 'pg_class_oid_index', '42809' ], [ '4000000000', '42P01' ])
{
	is($cluster->query("DO \$\$ BEGIN PERFORM rapport.match_index_check('$bad->[0]'); EXCEPTION WHEN SQLSTATE '$bad->[1]' THEN RETURN; END \$\$; SELECT 'refused'"),
		'refused', "$bad->[0] is refused");
}

# Who may call it, and that it lets others work and be interrupted.
is($cluster->query("SELECT string_agg(r, ',') FROM unnest('{rapport_anon,rapport_user,rapport_admin,rapport_service}'::text[]) AS r "
	. "WHERE has_function_privilege(r, 'rapport.match_index_check(regclass)', 'EXECUTE')"), 'rapport_service', 'for rapport_service alone');
is($cluster->query("BEGIN; SELECT FROM rapport.match_index_check('built_key'); SELECT DISTINCT mode FROM pg_locks WHERE relation IN ('built'::regclass, 'built_key'::regclass)"),
	'', 'it keeps no lock');
like($cluster->query("SET statement_timeout = '200ms'; DO \$\$ BEGIN FOR i IN 1 .. 1000 LOOP PERFORM rapport.match_index_check('built_key'); END LOOP;"
	. "EXCEPTION WHEN query_canceled THEN RETURN; END \$\$; SELECT 'interrupted'"), qr/interrupted/, 'it can be interrupted');

# Side by side with writers and VACUUM it finds nothing.
{
	my $dir = tempdir(CLEANUP => 1);
	my %script = (
		write => "\\set id random(1, 4000)\nUPDATE filled SET key = key_of(id) WHERE id = :id;\n"
			. "DELETE FROM filled WHERE id = :id + 1;\nINSERT INTO filled SELECT i, key_of(i) FROM generate_series(:id, :id + 20) AS i;\n",
		check => "SELECT 1 / (problems = 0)::integer FROM rapport.match_index_check('filled_key');\n",
		vacuum => "VACUUM filled;\n");
	my @files;
	for my $name (sort keys %script)
	{
		open my $out, '>', "$dir/$name.sql" or die "$name: $!";
		print $out $script{$name};
		close $out;
	}
	local $ENV{PGHOST} = $cluster->dir;
	my $seconds = $ENV{RAPPORT_LONG} ? 60 : 4;
	my $log = qx{$bin/pgbench -n -c 4 -j 2 -T $seconds -f $dir/write.sql\@20 -f $dir/check.sql\@2 -f $dir/vacuum.sql\@1 postgres 2>&1};
	is($?, 0, 'no false alarm while others write') or diag($log);
	is((checked('filled_key'))[3], 0, 'nor afterwards');
}

# A page of an index file: 8 kB, and its items as [offset, length].
sub read_page
{
	my ($file, $block) = @_;
	open my $in, '<:raw', $file or die "$file: $!";
	seek $in, 8192 * $block, 0;
	read $in, my $bytes, 8192;
	close $in;
	my $lower = unpack 'v', substr $bytes, 12, 2;
	my @items = map { my $id = unpack 'V', substr $bytes, $_, 4; [ $id & 0x7fff, $id >> 17 ] } map { 24 + 4 * $_ } 0 .. ($lower - 24) / 4 - 1;
	return { block => $block, bytes => $bytes, items => \@items };
}

sub write_page
{
	my ($file, $page) = @_;
	open my $out, '+<:raw', $file or die "$file: $!";
	seek $out, 8192 * $page->{block}, 0;
	print $out $page->{bytes};
	close $out;
	return;
}

sub set { my ($page, $at, $bytes) = @_; substr($page->{bytes}, $at, length $bytes) = $bytes; return }
sub get { my ($page, $at, $length) = @_; return substr $page->{bytes}, $at, $length }

# The block that item $n leads to.
sub child
{
	my ($page, $n) = @_;
	my ($high, $low) = unpack 'vv', get($page, $page->{items}[$n][0], 4);
	return $high << 16 | $low;
}

# Offsets in key.h, after the 8 bytes of the index tuple.
my $bounds = 8;
my %low = (place => $bounds + 8, high => $bounds + 20, reach => $bounds + 32, active => $bounds + 40, quality => $bounds + 47, wants => $bounds + 112);
my $key = 8;

# What is done to a page, and what the check must say about it: of the root, of
# an inner page below it, or of the leaf below that.
my @plants = (
	[ 'a narrower place', 'root', sub { my ($p, $at) = @_; set($p, $at + $low{high}, get($p, $at + $low{place}, 4)) }, qr/outside of the bounds/ ],
	[ 'a narrower place further down', 'inner', sub { my ($p, $at) = @_; set($p, $at + $low{high}, get($p, $at + $low{place}, 4)) }, qr/outside of the bounds/ ],
	[ 'a shorter reach', 'inner', sub { my ($p, $at) = @_; set($p, $at + $low{reach}, pack 'V', 1) }, qr/outside of the bounds/ ],
	[ 'a lane that accepts nobody', 'inner', sub { my ($p, $at) = @_; set($p, $at + $low{wants}, "\0") }, qr/outside of the bounds/ ],
	[ 'an earlier activity', 'inner', sub { my ($p, $at) = @_; set($p, $at + $low{active}, pack 'v', 1) }, qr/outside of the bounds/ ],
	[ 'a lower quality, which only delays', 'inner', sub { my ($p, $at) = @_; set($p, $at + $low{quality}, "\0") }, qr/outside of the bounds/ ],
	[ 'bounds of another kind', 'inner', sub { my ($p, $at) = @_; set($p, $at + $bounds + 4, "\x10") }, qr/holds no bounds/ ],
	[ 'a downlink to the page next to it', 'inner', sub { my ($p, $at) = @_; set($p, $at, get($p, $p->{items}[1][0], 4)) }, qr/reached twice|outside of the bounds/ ],
	[ 'a downlink beyond the end', 'inner', sub { my ($p, $at) = @_; set($p, $at, pack 'vv', 1, 0) }, qr/beyond the end of the index/ ],
	[ 'a downlink to the root', 'inner', sub { my ($p, $at) = @_; set($p, $at, pack 'vv', 0, 0) }, qr/reached twice/ ],
	[ 'another quality in a leaf', 'leaf', sub { my ($p, $at) = @_; set($p, $at + $key + 39, chr(255 - ord get($p, $at + $key + 39, 1))) }, qr/outside of the bounds|another key/ ],
	[ 'another id in a leaf', 'leaf', sub { my ($p, $at) = @_; set($p, $at + $key + 8, "\xff") }, qr/another key/ ],
	[ 'a leaf for another row', 'leaf', sub { my ($p, $at) = @_; set($p, $at, get($p, $p->{items}[1][0], 6)) }, qr/is not in the index|in the index twice|another key/ ],
	[ 'a leaf for a row beyond the end', 'leaf', sub { my ($p, $at) = @_; set($p, $at, pack 'vvv', 9, 0, 1) }, qr/is not in the index|leads to the row/ ],
	[ 'a leaf for an item that is not there', 'leaf', sub { my ($p, $at) = @_; set($p, $at + 4, pack 'v', 200) }, qr/is not in the index|leads to the row/ ],
	[ 'a leaf marked as dead', 'leaf', sub { my ($p) = @_; set($p, 24, pack 'V', unpack('V', get($p, 24, 4)) | 3 << 15) }, qr/is not in the index/ ],
	[ 'a leaf cut off', 'leaf', sub { my ($p) = @_; set($p, 12, pack 'v', unpack('v', get($p, 12, 2)) - 4) }, qr/is not in the index/ ],
	[ 'a place off the sphere', 'leaf', sub { my ($p, $at) = @_; set($p, $at + $key + 16, pack 'V', 5) }, qr/holds no key/ ],
	[ 'an item beyond the page', 'leaf', sub { my ($p) = @_; set($p, 24, pack 'V', 8000 | 1 << 15 | 1000 << 17) }, qr/holds no key/ ],
	[ 'a page of zeroes', 'leaf', sub { my ($p) = @_; set($p, 0, "\0" x 8192) }, qr/is empty/ ],
	[ 'a page of something else', 'inner', sub { my ($p) = @_; set($p, 8192 - 2, "\0\0") }, qr/no(?:t a page)? of a GiST index|is not a page/ ],
);

# Each is done to an index of its own, while the cluster is down.
my %file;
for my $n (0 .. $#plants)
{
	$cluster->query("CREATE TABLE t$n AS TABLE people; CREATE INDEX t${n}_key ON t$n USING match_gist (key)");
	$file{$n} = $cluster->file_of("t${n}_key");
}
$cluster->query($_) for 'VACUUM ANALYZE', 'CHECKPOINT';
my $checksums = $cluster->query('SHOW data_checksums');
$cluster->stop;
if ($checksums eq 'on')
{
	system("$bin/pg_checksums", '--disable', '-D', $cluster->dir . '/data') == 0 or die 'pg_checksums';
}
for my $n (0 .. $#plants)
{
	my (undef, $where, $plant) = @{ $plants[$n] };
	my $page = read_page($file{$n}, 0);
	$page = read_page($file{$n}, child($page, 0)) if $where ne 'root';
	$page = read_page($file{$n}, child($page, 0)) if $where eq 'leaf';
	my $before = $page->{bytes};
	$plant->($page, $page->{items}[0][0]);
	die "$plants[$n][0] changes nothing" if $before eq $page->{bytes};
	write_page($file{$n}, $page);
}
$cluster->start;
for my $n (0 .. $#plants)
{
	my ($name, undef, undef, $says) = @{ $plants[$n] };
	my (undef, undef, undef, $problems, $first) = checked("t${n}_key");
	ok($problems > 0, "found: $name") or next;
	like($first, $says, "and named: $first ($problems)");
}
is((checked('built_key'))[3], 0, 'an index that nothing was done to is right');

# A bound that is wrong makes scans wrong, and REINDEX makes both right.
my $count = sub { my ($off) = @_; return $cluster->query("SET $off = off; SET enable_bitmapscan = off; SELECT sum(n) FROM (SELECT rapport.match_query(key, current_date) AS q FROM people WHERE id <= 40) AS q,"
	. ' LATERAL (SELECT count(*) AS n FROM t3 WHERE key OPERATOR(rapport.@@) q.q) AS t') };
my $right = $count->('enable_indexscan');
cmp_ok($count->('enable_seqscan'), '<', $right, 'with a lane that accepts nobody, scans miss people');
$cluster->query('REINDEX INDEX t3_key');
is((checked('t3_key'))[3], 0, 'REINDEX makes the index right');
is($count->('enable_seqscan'), $right, 'and the scans');

done_testing();
