# Discovery is exact: populations of every kind, through inserts, updates,
# deletes and VACUUM, with the clock moved and nothing written, on every path of
# instructions. discover() and the bare ordered scan give what brute force gives;
# and brute force with something shifted a little gives something else.
use strict;
use warnings;
use IPC::Run qw(run);
use Test::More;
use Time::HiRes qw(time);

my $database = 'tap_exact';
my $long = $ENV{RAPPORT_LONG};
my $seconds = 10;
my $bin = '/usr/lib/postgresql/' . ($ENV{PG_VERSION} || 15) . '/bin';

# What a script prints in psql, unaligned; dies when a statement fails.
sub psql
{
	my ($script, $in) = @_;
	my ($out, $errors) = ('', '');
	run([ "$bin/psql", '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $in // $database ], '<', \$script, '>', \$out, '2>', \$errors)
		or die "psql: $errors";
	chomp $out;
	return $out;
}

psql("DROP DATABASE IF EXISTS $database", 'postgres');
psql("CREATE DATABASE $database", 'postgres');
psql('SET client_min_messages = error; CREATE EXTENSION rapport CASCADE');

# Every setting that is not refused on this machine.
my @paths = grep { psql(<<"SQL") } qw(avx2 sse2 scalar);
DO \$\$ BEGIN PERFORM set_config('rapport.simd', '$_', false); EXCEPTION WHEN invalid_parameter_value THEN RETURN; END \$\$;
SELECT 1 WHERE current_setting('rapport.simd') = '$_'
SQL
ok((grep { $_ eq 'scalar' } @paths), "paths of this machine: @paths");

my $oracle = join '', map { local (@ARGV, $/) = $_; <> } 'test/lib/match_oracle.sql', 'test/lib/score_oracle.sql';
my $functions = $oracle . <<'SQL';
CREATE TEMP TABLE result (phase text, check_of text, asked bigint, answers bigint, differences bigint);

-- The bare scan, in its order, and everybody sorted; whether the first was an ordered index scan.
CREATE FUNCTION pg_temp.scan_differs(q rapport.match_query, path text, k integer) RETURNS boolean LANGUAGE plpgsql
SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
	statement text := 'SELECT array_agg(t.cost) AS costs, array_agg(t.person_id ORDER BY t.cost, t.person_id) AS ids FROM ('
		'SELECT c.person_id, c.key OPERATOR(rapport.<->) $1 AS cost FROM rapport.candidate AS c WHERE c.key OPERATOR(rapport.@@) $1'
		' ORDER BY c.key OPERATOR(rapport.<->) $1 FETCH FIRST $2 ROWS WITH TIES) AS t';
	plan json;
	by_index record;
	by_all record;
BEGIN
	PERFORM set_config('rapport.simd', path, true), set_config('enable_seqscan', 'off', true), set_config('enable_indexscan', 'on', true);
	EXECUTE 'EXPLAIN (FORMAT json) ' || statement INTO plan USING q, k;
	EXECUTE statement INTO by_index USING q, k;
	PERFORM set_config('rapport.simd', 'scalar', true), set_config('enable_seqscan', 'on', true), set_config('enable_indexscan', 'off', true);
	EXECUTE statement INTO by_all USING q, k;
	PERFORM set_config('rapport.simd', 'auto', true);
	RETURN by_index IS DISTINCT FROM by_all OR plan::text NOT LIKE '%"Index Scan"%"Order By"%';
END $$;

-- Compares everything for some viewers of a population, or only those given.
CREATE FUNCTION pg_temp.examine(in_phase text, viewers integer, paths text[]) RETURNS void LANGUAGE plpgsql SET jit = off AS $$
DECLARE
	viewer record;
	path text;
	members bigint[];
	deck bigint[];
	q rapport.match_query;
	k rapport.match_key;
	day date := rapport.today();
	active_days integer := rapport.setting_int('active_within_days');
	weights jsonb := rapport.scoring_weights(1::smallint);
	sort text;
	start integer := pg_temp.upto(16);
BEGIN
	-- Keys are what profiles say, and nobody has one who should not.
	INSERT INTO result
	SELECT in_phase, 'keys', 1, count(c.key), count(*) FILTER (WHERE c.key OPERATOR(rapport.=) w.key IS NOT TRUE)
	FROM rapport.candidate AS c
	FULL JOIN (SELECT s.person_id, s.mode, s.key
			   FROM rapport.match_sides(ARRAY(SELECT person_id FROM rapport.person WHERE state = 'active'), 1) AS s
			   JOIN rapport.profile AS p ON p.person_id = s.person_id AND NOT p.paused
			   WHERE NOT EXISTS (SELECT FROM rapport.missing_steps(p))) AS w ON w.person_id = c.person_id AND w.mode = c.mode;
	FOR viewer IN
		SELECT p.person_id, f.mode, m.code
		FROM rapport.profile AS p
		JOIN rapport.person AS a ON a.person_id = p.person_id AND a.state = 'active'
		JOIN rapport.preference AS f ON f.person_id = p.person_id AND f.enabled
		JOIN rapport.mode AS m ON m.mode = f.mode
		WHERE NOT EXISTS (SELECT FROM rapport.missing_steps(p))
		ORDER BY random()
		LIMIT viewers
	LOOP
		members := ARRAY(SELECT pg_temp.who(viewer.person_id, viewer.mode));
		k := rapport.match_side(viewer.person_id, viewer.mode, 2);
		FOREACH path IN ARRAY paths LOOP
			PERFORM set_config('rapport.simd', path, true);
			deck := pg_temp.shown(viewer.person_id, viewer.code,
								  (ARRAY[CASE WHEN cardinality(members) < 60 THEN 3 ELSE 41 END, 20, 100])[1 + pg_temp.upto(3)]);
			PERFORM set_config('rapport.simd', 'auto', true);
			INSERT INTO result VALUES (in_phase, 'discover', 1, cardinality(deck),
									   pg_temp.misplaced(deck, viewer.person_id, viewer.mode, members, weights, 'best', day));
			q := rapport.match_query_for(viewer.person_id, viewer.mode, k, rapport.today(), rapport.seen_by(viewer.person_id, viewer.mode),
										 CASE WHEN active_days > 0 THEN rapport.today() - active_days END);
			INSERT INTO result
			SELECT in_phase, 'scan', 1, least(n, cardinality(members)), pg_temp.scan_differs(q, path, n)::integer
			FROM unnest(ARRAY[1, 20, 1000000]) AS n;
		END LOOP;
		-- By some of the scoring profiles, in some order: in the long run all of each.
		FOR weights, sort IN
			SELECT p.weights, s
			FROM profile_of AS p, unnest(ARRAY['best', 'nearest', 'newest', 'active']) WITH ORDINALITY AS o (s, i)
			WHERE (4 * p.n + i + start) % 16 = 0
		LOOP
			q := rapport.match_query_for(viewer.person_id, viewer.mode, k, day, rapport.seen_by(viewer.person_id, viewer.mode),
										 CASE WHEN active_days > 0 THEN day - active_days END, weights => weights);
			INSERT INTO result VALUES (in_phase, 'profiles', 1, cardinality(members), pg_temp.misplaced(
				pg_temp.scanned(pg_temp.sorted(q, sort)), viewer.person_id, viewer.mode, members, weights, sort, day));
		END LOOP;
		weights := rapport.scoring_weights(1::smallint);
	END LOOP;
END $$;

-- Everyone's wishes become those of a kind of people.
CREATE FUNCTION pg_temp.wish(kind text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF kind = 'everyone' THEN
		UPDATE rapport.preference
		SET accepts = '{}', number_min = '{}', number_max = '{}', number_unset = '{}', age_min = NULL, age_max = NULL, max_distance_km = NULL;
	ELSIF kind = 'nobody' THEN
		UPDATE rapport.preference SET accepts = '{0}', strengths = '{1}' WHERE random() < .7;
	ELSIF kind IN ('two_way', 'one_way', 'soft') THEN
		UPDATE rapport.preference
		SET strengths = array_fill(CASE kind WHEN 'two_way' THEN 1 WHEN 'one_way' THEN 2 ELSE 3 END::smallint, ARRAY[8]);
	ELSE
		RETURN;
	END IF;
	PERFORM rapport.run_hooks('person_changed', ARRAY(SELECT person_id FROM rapport.person));
END $$;

-- What happens to people: some move, change, stop, come back, go; new ones come.
CREATE FUNCTION pg_temp.live(kind text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	ids bigint[] := ARRAY(SELECT person_id FROM rapport.person ORDER BY random());
	n integer := cardinality(ids);
	moved bigint[] := ids[1 : n / 3 + 1];
	gone bigint[] := ids[n - n / 10 : n];
BEGIN
	UPDATE rapport.profile
	SET place = CASE WHEN random() < .9 THEN pg_temp.spot(kind) END,
		birth_date = CASE WHEN random() < .5 THEN birth_date - pg_temp.upto(1000) ELSE birth_date END,
		traits = CASE WHEN random() < .5 THEN ARRAY[1 + pg_temp.upto(3), pg_temp.upto(16), 0, pg_temp.upto(64)]::smallint[] ELSE traits END,
		paused = random() < .1
	WHERE person_id = ANY (moved);
	UPDATE rapport.preference
	SET enabled = random() < .9,
		max_distance_km = (ARRAY[5, 100, 3000, NULL])[1 + pg_temp.upto(4)],
		strengths = ARRAY[pg_temp.upto(4), pg_temp.upto(4), pg_temp.upto(4)]::smallint[]
	WHERE person_id = ANY (moved);
	UPDATE rapport.person SET state = CASE WHEN random() < .8 THEN 'active' ELSE 'suspended' END WHERE person_id = ANY (ids[n / 4 : n / 2]);
	PERFORM rapport.run_hooks('person_changed', ids);
	DELETE FROM rapport.preference WHERE person_id = ANY (gone);
	DELETE FROM rapport.profile WHERE person_id = ANY (gone);
	PERFORM rapport.run_hooks('person_changed', gone);
END $$;
SET client_min_messages = warning;
SQL

my @places = ('city', 'world', 'pole', 'date line', 'one cell');
my @wishes = ('mixed', 'everyone', 'nobody', 'two_way', 'one_way', 'soft', 'mixed');
# Days that people get older on, and do not.
my @clocks = ('2024-02-28 23:59:59Z', '2024-02-29 00:00:00Z', '2024-03-01 00:00:00Z', '2025-02-28 23:59:59Z', '2025-03-01 00:00:00Z', '2026-06-15 12:00:00Z');

my $path_list = '{' . join(',', @paths) . '}';
my $quoted = sub { my ($text) = @_; $text =~ s/'/''/g; return "'$text'" };
my %total;

sub population
{
	my ($n, $size, $viewers) = @_;
	my $place = $places[ $n % @places ];
	my $wish = $wishes[ $n % @wishes ];
	my $clock = $clocks[ $n % @clocks ];
	my $seed = ($n * 0.6180339887) - int($n * 0.6180339887);
	my $strict = 0.1 * ($n % 7);
	my $active = $n % 3 == 0 ? 40 : 0;
	# Moved without a write: a day, the days that passes expire on, months, a leap day and years.
	my @later = map { "'$clock'::timestamptz + interval '$_'" } '1 day', '2 days', (qw(30 60 365 366 1461))[ $n % 5 ] . ' days';
	my $examine = sub { my ($phase) = @_; return "SELECT pg_temp.examine('$phase', $viewers, '$path_list');\n" };
	my $script = $functions . <<"SQL";
TRUNCATE rapport.person, rapport.candidate, rapport.profile, rapport.preference, rapport.activity, rapport.swipe, rapport.block,
	rapport.blocked_by, rapport.like_received, rapport.pair, rapport.match_scalar CASCADE;
SELECT pg_temp.start_over();
SELECT setseed($seed);
SET rapport.now = '$clock';
SELECT rapport.set_scoring_profile('default', weights) FROM profile_of WHERE n = $n % 11;
SELECT rapport.set_setting('active_within_days', '$active');
SELECT pg_temp.populate('$place', $size, $strict), pg_temp.wish('$wish');
SELECT pg_temp.count_tags(1000);
-- A third of the indexes are built from all rows, the others were filled by inserts.
@{[ $n % 3 == 1 ? 'REINDEX INDEX rapport.candidate_key;' : '' ]}
@{[ $examine->('as it is made') ]}
SELECT pg_temp.live('$place');
@{[ $examine->('after updates and deletes') ]}
VACUUM rapport.candidate;
@{[ $size > 5000 ? '' : "SELECT pg_temp.populate('$place', $size / 4, $strict);" ]}
@{[ $examine->('after VACUUM and inserts') ]}
@{[ join '', map { "SELECT set_config('rapport.now', ($_)::text, false);\n" . $examine->('with the clock moved') } @later ]}
SELECT 'index', problems FROM rapport.match_index_check('rapport.candidate_key');
SELECT phase, check_of, sum(asked), sum(answers), sum(differences) FROM result GROUP BY 1, 2 ORDER BY 1, 2;
SQL
	$script =~ s/^SELECT (pg_temp|setseed|rapport\.set_setting|rapport\.set_scoring_profile|set_config)(.*);$/SELECT $1$2 \\g \/dev\/null/mg;
	my $bad = 0;
	for my $line (split /\n/, psql($script))
	{
		my ($phase, $check, $asked, $answers, $differences) = split /\|/, $line;
		if ($phase eq 'index')
		{
			$total{index}{asked}++;
			$total{index}{differences} += $check;
			$bad += $check;
			next;
		}
		for my $sum ($total{"$check, $phase"} //= {})
		{
			$sum->{asked} += $asked;
			$sum->{answers} += $answers;
			$sum->{differences} += $differences;
		}
		$bad += $differences;
	}
	diag("population $n ($size people, $place, $wish, $clock): $bad differences") if $bad;
	return $bad;
}

my ($populations, $bad) = (0, 0);
my $begin = time;
if ($long)
{
	# 200 of 1 to 1,000 people, then a few crowds.
	for my $n (1 .. 200)
	{
		my $size = $n % 40 == 0 ? $n / 40 : (100, 150, 200, 300, 500, 1000)[ int($n / 7) % 6 ];
		$bad += population($n, $size, 4);
		$populations++;
		note("$n populations") if $n % 20 == 0;
	}
	$bad += population(200 + $_->[0], $_->[1], 3), $populations++ for [ 1, 5000 ], [ 2, 5000 ], [ 3, 20000 ], [ 5, 20000 ];
	cmp_ok($populations, '>=', 200, 'populations');
	my $decks = 0;
	$decks += $total{$_}{asked} for grep { /^profiles, / } keys %total;
	cmp_ok($decks, '>=', 2000, 'populations x viewers x scoring profiles, against brute force');
}
else
{
	for my $n (1 .. 1000)
	{
		# Two at least, however busy the machine.
		last if $populations > 1 && time - $begin > $seconds;
		$bad += population($n, $n == 2 ? 1 : 100, 2);
		$populations++;
	}
	cmp_ok($populations, '>', 1, 'populations');
}
is($bad, 0, "$populations populations: no differences");
for my $name (sort keys %total)
{
	my $sum = $total{$name};
	is($sum->{differences}, 0, "$name: $sum->{asked} comparisons" . ($sum->{answers} ? ", $sum->{answers} answers" : ''));
	cmp_ok($sum->{answers}, '>', 0, "$name: there was something to compare") if exists $sum->{answers};
}

# What the comparison is worth: each of these is a mistake that it must see.
my %mistake = (
	'a weight shifted' => "SELECT rapport.set_scoring_profile('default', '{\"distance\": 0.36, \"desirability\": 0.1, \"price\": 0.1, \"boost\": 0.1}')",
	'the days of the clock off by 400' => "SET rapport.now = '2025-07-20 12:00:00Z'",
	'an age limit off by one' => 'UPDATE rapport.preference SET age_max = age_max + 1, age_min = age_min + 1',
	'a price, and what is learnt, unlike those of the keys' => 'UPDATE rapport.match_scalar SET desirability = 1 - desirability, price = 1 - price',
	'the day off by one' => "SET rapport.now = '2024-06-16 12:00:00Z'",
	'likes forgotten' => 'DELETE FROM rapport.like_received',
	'blocks forgotten' => 'DELETE FROM rapport.block',
	'passes not counted' => 'INSERT INTO rapport.swipe (person_id, other_id, mode, action, at) SELECT a.person_id, b.person_id, a.mode, $$pass$$, rapport.now() '
		. 'FROM rapport.candidate AS a JOIN rapport.candidate AS b ON b.mode = a.mode AND b.person_id > a.person_id ON CONFLICT DO NOTHING',
	'a shorter way' => 'UPDATE rapport.preference SET max_distance_km = max_distance_km / 2 WHERE max_distance_km > 1',
	'people who moved' => 'UPDATE rapport.profile AS p SET place = o.place FROM rapport.profile AS o WHERE o.person_id = (SELECT min(person_id) FROM rapport.profile WHERE place IS NOT NULL)',
);
my $control = $functions . <<'SQL';
TRUNCATE rapport.person, rapport.candidate, rapport.profile, rapport.preference, rapport.activity, rapport.swipe, rapport.block,
	rapport.blocked_by, rapport.like_received, rapport.pair, rapport.match_scalar CASCADE;
SELECT pg_temp.start_over() \g /dev/null
SELECT setseed(.25) \g /dev/null
SET rapport.now = '2024-06-15 12:00:00Z';
SELECT rapport.set_scoring_profile('default', '{"desirability": 0.1, "price": 0.1, "boost": 0.1}'), rapport.set_setting('active_within_days', '0') \g /dev/null
SELECT pg_temp.populate('city', 100, .1) \g /dev/null
SELECT pg_temp.count_tags(1000) \g /dev/null
-- What discover() says now is compared with a brute force made after the mistake.
CREATE FUNCTION pg_temp.mistaken(mistake text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	viewer record;
	decks jsonb := '{}';
	deck bigint[];
	differences integer := 0;
BEGIN
	FOR pass IN 1 .. 2 LOOP
		IF pass = 2 THEN
			EXECUTE mistake;
		END IF;
		FOR viewer IN
			SELECT p.person_id, f.mode, m.code
			FROM rapport.profile AS p
			JOIN rapport.person AS a ON a.person_id = p.person_id AND a.state = 'active'
			JOIN rapport.preference AS f ON f.person_id = p.person_id AND f.enabled
			JOIN rapport.mode AS m ON m.mode = f.mode
			WHERE NOT EXISTS (SELECT FROM rapport.missing_steps(p))
			ORDER BY p.person_id, f.mode
			LIMIT 20
		LOOP
			IF pass = 1 THEN
				decks := decks || jsonb_build_object(viewer.person_id || ' ' || viewer.mode, pg_temp.shown(viewer.person_id, viewer.code, 100));
			ELSE
				deck := ARRAY(SELECT jsonb_array_elements_text(decks -> (viewer.person_id || ' ' || viewer.mode)));
				differences := differences + (pg_temp.misplaced(
					deck, viewer.person_id, viewer.mode, ARRAY(SELECT pg_temp.who(viewer.person_id, viewer.mode)),
					rapport.scoring_weights(1::smallint), 'best', rapport.today()) > 0)::integer;
			END IF;
		END LOOP;
	END LOOP;
	RETURN differences;
END $$;
SQL
my @names = sort keys %mistake;
my $out = psql($control . join '', map { "BEGIN;\nSELECT pg_temp.mistaken(" . $quoted->($_) . ");\nROLLBACK;\n" } 'SELECT 1', map { $mistake{$_} } @names);
my ($none, @seen) = split /\n/, $out;
is($none, 0, 'without a mistake the controls see none');
cmp_ok($seen[$_], '>', 0, "the comparison sees: $names[$_] ($seen[$_] of 20)") for 0 .. $#names;

# So it does with the key of one person that is not theirs.
is(psql($control . <<'SQL'), 't', 'the comparison sees one key that is not what the profile says');
BEGIN;
UPDATE rapport.candidate AS c SET key = o.key
FROM (SELECT person_id, key FROM rapport.candidate WHERE mode = 1 ORDER BY person_id LIMIT 1) AS o
WHERE c.mode = 1 AND c.person_id = (SELECT max(person_id) FROM rapport.candidate WHERE mode = 1);
SELECT pg_temp.examine('planted', 1, '{scalar}') \g /dev/null
SELECT differences = 1 FROM result WHERE check_of = 'keys';
ROLLBACK;
SQL

psql("DROP DATABASE $database", 'postgres');
done_testing();
