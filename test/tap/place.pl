# Nobody finds out where somebody is: a true position is in no file of the
# database and in no log, and an attacker who asks from anywhere finds the grid
# cell and nothing more; without the grid the same attack finds the person.
use strict;
use warnings;
use Digest::SHA qw(sha256);
use File::Find qw(find);
use IPC::Run qw(run);
use RapportCluster;
use Test::More;

my $long = $ENV{RAPPORT_LONG};
my $database = 'tap_place';
my $bin = '/usr/lib/postgresql/' . ($ENV{PG_VERSION} || 15) . '/bin';

# Files, tables and logs

{
	my $cluster = RapportCluster->new(conf => "log_min_messages = debug1\nlog_error_verbosity = verbose\n");
	my ($latitude, $longitude) = ('47.123456789', '8.987654321');
	my $request = qq(PUT /v1/me/place {"latitude":$latitude,"longitude":$longitude});
	my @marks = (pack('d<', $latitude), pack('d<', $longitude), substr($latitude, 0, 10), substr($longitude, 0, 10), sha256($request));

	# The files of the cluster that hold one of the marks, by kind.
	my $found = sub {
		my %in;
		find({ no_chdir => 1, wanted => sub {
			return unless -f && -s _;
			open my $file, '<:raw', $_ or die "$_: $!";
			my $bytes = do { local $/; <$file> };
			close $file;
			$in{ m{/pg_wal/} ? 'wal' : m{/base/} ? 'tables' : m{/log$} ? 'log' : 'other' }++ if grep { index($bytes, $_) >= 0 } @marks;
		} }, $cluster->dir . '/data', $cluster->dir . '/log');
		return join ' ', sort keys %in;
	};
	# A statement that may fail, without what psql says of it.
	my $try = sub {
		my ($sql) = @_;
		open my $errors, '>&', \*STDERR or die;
		open STDERR, '>', '/dev/null' or die;
		my $done = eval { $cluster->query($sql); 1 };
		open STDERR, '>&', $errors or die;
		return $done ? 'done' : 'refused';
	};

	$cluster->query('SET client_min_messages = error; CREATE EXTENSION rapport CASCADE');
	my $as = q{SELECT rapport.act_as_external('ann'); };
	$cluster->query(q{SELECT rapport.new_person('ann')});
	is($try->("$as SELECT rapport.set_place($latitude, $longitude)"), 'done', 'a place is set');
	is($try->("$as SELECT rapport.remember('0b2f7d1e-5c1a-4f0e-9a55-1f3b7c2d9e10', '$request', rapport.set_place($latitude, $longitude)::text)"),
		'done', 'and with an idempotency key');
	$cluster->query(q{SELECT rapport.set_setting('move_max_kmh', '0')});
	$cluster->query("$as SELECT rapport.set_place(48, 9)");
	$cluster->query(q{SELECT rapport.set_setting('move_max_kmh', NULL)});
	is($try->("$as SELECT rapport.set_place($latitude, $longitude)"), 'refused', 'going back is too fast');
	$cluster->query(q{SELECT rapport.set_setting('move_max_kmh', '0'), rapport.set_setting('moves_a_day', '1')});
	is($try->("$as SELECT rapport.set_place($latitude, $longitude)"), 'refused', 'and once too often');
	is($try->("$as SELECT rapport.set_place($latitude, -180$longitude)"), 'refused', 'and half of a place is none');
	$cluster->query('CHECKPOINT');
	is($found->(), '', 'the position is in no table, no WAL and no log');
	$try->("SELECT 1 / 0 AS \"$latitude\"");
	is($found->(), 'log', 'a statement that failed is found in the log');
	$cluster->query("CREATE TABLE planted AS SELECT $latitude\::float8 AS place; CHECKPOINT");
	is($found->(), 'log tables wal', 'and a row in tables and WAL');
}

# The attack

sub psql
{
	my ($script, $in) = @_;
	my ($out, $errors) = ('', '');
	run([ "$bin/psql", '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $in // $database ], '<', \$script, '>', \$out, '2>', \$errors)
		or die "psql: $errors";
	chomp $out;
	return $out;
}

# grid, oracle => summary, after an attack on so many targets with these settings.
sub attack
{
	my ($targets, $settings) = @_;
	my %of;
	my $out = psql(<<"SQL");
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS attack CASCADE;
\\i test/lib/trilateration.sql
\\copy attack.city FROM 'test/data/cities.tsv' WITH (FORMAT csv, DELIMITER E'\\t', HEADER, QUOTE E'\\b')
DO \$\$ BEGIN PERFORM attack.make_targets($targets, 0.25); END \$\$;
$settings
SELECT concat_ws(' ', grid, oracle, median_m, within50_pct, questions) FROM attack.summary;
SQL
	for my $line (split /\n/, $out)
	{
		my ($grid, $oracle, @figures) = split / /, $line;
		@{ $of{ $grid eq 't' ? 'grid' : 'exact' }{$oracle} }{qw(median within50 questions)} = @figures;
	}
	return \%of;
}

# Every oracle finds people who stand where they are, and the cell of those who do not.
sub judge
{
	my ($name, $of, $within50) = @_;
	for my $oracle (qw(bucket filter rank all))
	{
		my ($exact, $grid) = ($of->{exact}{$oracle}, $of->{grid}{$oracle});
		cmp_ok($exact->{median}, '<=', 10, "$name: without a grid, $oracle finds people to $exact->{median} m");
		cmp_ok($grid->{median}, '>=', 300, "$name: with it, $oracle to $grid->{median} m after $grid->{questions} questions");
		cmp_ok($grid->{within50}, '<=', $within50, "$name: $oracle finds $grid->{within50} % within 50 m");
	}
}

psql("DROP DATABASE IF EXISTS $database", 'postgres');
psql("CREATE DATABASE $database", 'postgres');
psql('SET client_min_messages = error; CREATE EXTENSION rapport CASCADE');

my $run = 'DO $$ BEGIN PERFORM attack.run(); END $$;';
judge('operators', attack($long ? 480 : 16, "$run SET attack.grid = off; $run"), 2);

# As people do: through the public functions, the control first, then with and without limits on moving.
my $agents = q{DO $$ BEGIN PERFORM attack.new_agent('viewer', 10, 10), attack.new_agent('puppet', 10, 10); END $$;};
my $public = "SET rapport.now = '2026-03-01 00:00:00+00'; $agents SET attack.public = on; SET attack.bearings = 5; SET attack.tolerance = 4;";
my $free = q{DO $$ BEGIN PERFORM rapport.set_setting('moves_a_day', '0'), rapport.set_setting('move_max_kmh', '0'); END $$;};
my $limited = q{DO $$ BEGIN PERFORM rapport.set_setting('moves_a_day', NULL), rapport.set_setting('move_max_kmh', NULL); END $$;};
my $on = $long ? 24 : 2;
judge('functions', attack($on, "$public $free SET attack.grid = off; $run SET attack.grid = on; $run"), $long ? 5 : 0);
my $of = attack(1, "$public $limited SET attack.tolerance = 100; $run SELECT concat_ws(' ', 't days', extract(day FROM rapport.now() - '2026-03-01')::integer);");
cmp_ok($of->{grid}{days}{median}, '>=', 1, "within the limits one cell takes more than a day");
cmp_ok($of->{grid}{all}{median}, '>=', 50, 'and is a cell');

psql("DROP DATABASE $database", 'postgres');
done_testing;
