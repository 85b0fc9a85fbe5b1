# Candidates in partitions and on several clusters answer as one table does:
# 1,000 queries of every kind, asked of one table, by brute force, of two plain
# clusters that hold a slice each, and of partitions.
use strict;
use warnings;
use lib 'test/lib';
use RapportCluster;
use Test::More;

my $database = 'tap_shards';
my $queries = 1000;
my $seed = $ENV{SEED} // .7;
my $clock = '2026-03-01 12:00:00+00';
my $bin = "/usr/lib/postgresql/$ENV{PG_VERSION}/bin";
my $file = "shards_$$";
$ENV{PGOPTIONS} = "-c client_min_messages=warning -c rapport.now='" . ($clock =~ s/ /\\ /gr) . "'";

# What a script prints in psql, unaligned, or its error; on is the folder of another cluster's socket.
sub psql
{
	my ($sql, $on, $in) = @_;
	local $ENV{PGHOST} = $on // $ENV{PGHOST};
	open my $script, '>', "$file.psql" or die "$file: $!";
	print $script $sql;
	close $script;
	my $text = qx($bin/psql -XAtq -v ON_ERROR_STOP=1 -d @{[ $in // $database ]} -f $file.psql 2>&1);
	chomp $text;
	return $text =~ s/^psql:\S+ //mgr;
}

sub done { my ($name, @psql) = @_; return is(psql(@psql), '', $name) || BAIL_OUT($name) }

# Rows of a query here into a table of another cluster, or from there into one here.
sub copy
{
	my ($query, $from, $table, $to, $format) = @_;
	local $ENV{PGDATABASE} = $database;
	$format //= 'text';
	return system("$bin/psql -XAtq -h $from -c \"COPY ($query) TO STDOUT (FORMAT $format)\" | $bin/psql -XAtq -v ON_ERROR_STOP=1 -h $to -c \"COPY $table FROM STDIN (FORMAT $format)\"") == 0;
}

END { unlink "$file.psql", "$file.dump" if $file }

my $here = $ENV{PGHOST};
done('a database', "DROP DATABASE IF EXISTS $database; CREATE DATABASE $database", undef, 'postgres');

#
# People of every kind, and queries
#

done('people', <<"SQL");
CREATE EXTENSION rapport CASCADE;
\\i test/lib/match_oracle.sql
SELECT setseed($seed) \\g /dev/null
SELECT pg_temp.start_over() \\g /dev/null
SELECT pg_temp.populate('city', 400, .1), pg_temp.populate('world', 200, .1), pg_temp.populate('pole', 200, .1), pg_temp.populate('date line', 200, .1) \\g /dev/null
CREATE FUNCTION upto(n integer) RETURNS integer LANGUAGE plpgsql AS 'BEGIN RETURN floor(random() * n); END';
-- Crowds whose costs are equal in the orders newest and active, as the days are not known, and people without a place.
INSERT INTO rapport.candidate (person_id, mode, key)
SELECT i, 1, rapport.match_key(i, c.latitude, c.longitude, '1995-01-01')
FROM generate_series(1, 1200) AS i
JOIN (VALUES (0, 52.5, 13.4), (1, -36.8, 174.8), (2, 89.9, 10), (3, NULL, NULL)) AS c (n, latitude, longitude) ON c.n = i % 4;
-- People everywhere.
INSERT INTO rapport.candidate (person_id, mode, key)
SELECT i, 1 + upto(2), rapport.match_key(i, degrees(asin(random() * 2 - 1)), random() * 360 - 180, date '1965-01-01' + upto(14000), 1 + upto(2), ARRAY[1 + upto(3)],
	max_distance_km => CASE WHEN upto(2) = 0 THEN 10 ^ (1 + random() * 3.3) END, active_on => date '2026-03-01' - upto(100), joined_on => date '2026-03-01' - upto(60),
	quality => random(), desirability => random(), price => random())
FROM generate_series(1201, 4000) AS i;
SELECT rapport.set_scoring_profile('far', '{"distance": 0, "tags": 3, "diversity": 0.2, "decay": "linear"}', true),
	rapport.set_scoring_profile('both', '{"family": "reciprocal", "price": 0.3, "boost": 0.4}', true) \\g /dev/null
-- As text, as rows have no room for the larger ones.
CREATE TABLE asked_text (n integer PRIMARY KEY, k integer, query text);
CREATE VIEW asked AS SELECT n, k, query::rapport.match_query FROM asked_text OFFSET 0;
CREATE TABLE pick AS
SELECT row_number() OVER (ORDER BY c.person_id, c.mode)::integer AS at, c.person_id, m.code
FROM rapport.candidate AS c JOIN rapport.mode AS m USING (mode) JOIN rapport.profile AS p USING (person_id);
INSERT INTO asked_text
SELECT e.n, CASE WHEN upto(3) > 0 THEN 1 + upto(30) ELSE 1 + upto(500) END,
	rapport.discover_query_for(v.person_id, v.code,
		sort => (ARRAY['best', 'nearest', 'newest', 'active', NULL])[1 + upto(5)],
		radius_km => CASE WHEN NOT e.everywhere THEN (ARRAY[1, 5, 30, 200, 1000, 6000, 20000])[1 + upto(7)] END,
		everywhere => CASE WHEN e.everywhere THEN true END,
		active_within_days => CASE WHEN upto(8) = 0 THEN upto(100) END,
		joined_within_days => CASE WHEN upto(8) = 0 THEN upto(60) END,
		options => CASE upto(8) WHEN 0 THEN '{"gender": {"never": ["option_1"]}}' WHEN 1 THEN '{"smoking": {"only": ["option_2", null]}}' END::jsonb,
		tags => CASE WHEN upto(12) = 0 THEN (SELECT p.tags[1:1] FROM rapport.profile AS p WHERE p.tags <> '{}' AND p.person_id > v.person_id LIMIT 1) END,
		min_shared_tags => CASE WHEN upto(12) = 0 THEN 1 END,
		scoring => (ARRAY['default', 'nearby', 'fresh', 'far', 'both', NULL])[1 + upto(6)])
FROM (SELECT g.n, 1 + upto((SELECT count(*)::integer FROM pick)) AS at, CASE upto(5) WHEN 0 THEN true WHEN 1 THEN NULL ELSE false END AS everywhere
	  FROM generate_series(1, $queries) AS g (n) OFFSET 0) AS e
JOIN pick AS v USING (at);
-- Some go on where another ended.
UPDATE asked_text AS a
SET query = rapport.discover_query_for(f.person_id, f.code, after_cost => d.cost, after_id => d.person_id)
FROM (SELECT a.n, p.person_id, m.code
	  FROM asked_text AS a
	  CROSS JOIN LATERAL (SELECT substring(a.query FROM 'key=\\(1;id=(\\d+)')::bigint AS person_id) AS p
	  JOIN rapport.mode AS m ON m.mode = substring(a.query FROM 'key=\\(1;id=\\d+;mode=(\\d+)')::integer
	  WHERE a.n % 10 = 0) AS f
CROSS JOIN LATERAL (SELECT * FROM rapport.discover_shard(rapport.discover_query_for(f.person_id, f.code), 10) OFFSET 9) AS d
WHERE a.n = f.n;
-- Some end in the middle of a crowd of equals.
UPDATE asked_text
SET k = 100 + upto(400), query = rapport.match_query(rapport.match_key(-n, 40, 20, '1990-01-01', ages => '[31,31]'), '2026-03-01', sort => 'newest')
WHERE n % 20 = 7;
-- Some have seen very many.
UPDATE asked_text AS a
SET query = regexp_replace(a.query, ';seen=(;?)', ';seen=' || (SELECT string_agg(c.person_id::text, ',' ORDER BY c.person_id) FROM rapport.candidate AS c WHERE c.mode = 1 AND c.person_id % 2 = 0)
						   || '\\1')
WHERE a.n % 25 = 1 AND a.query LIKE '%;seen=;%';
CREATE TABLE one (n integer, ord bigint, person_id bigint, cost double precision, score double precision, distance_km integer);
INSERT INTO one SELECT a.n, d.* FROM asked AS a
CROSS JOIN LATERAL (SELECT d.ordinality, d.person_id, d.cost, d.score, d.distance_km FROM rapport.discover_shard(a.query, a.k) WITH ORDINALITY AS d) AS d;
SQL

# Who is in one set of answers and not in the other, each at its place with each bit of its cost.
sub differences
{
	my ($answers) = @_;
	return psql(<<"SQL");
SELECT count(DISTINCT n) FROM ((TABLE one EXCEPT ALL ($answers)) UNION ALL (($answers) EXCEPT ALL TABLE one)) AS x;
SQL
}

is(psql('SELECT count(*) > 4000, count(DISTINCT mode), count(*) FILTER (WHERE key::text LIKE \'%at=0,0,0%\') > 100 FROM rapport.candidate'), 't|2|t', 'thousands of candidates');
is(psql(<<'SQL'), 't|t|t|t|t', 'queries with empty, short and long answers, pages, all orders, big seen sets');
SELECT count(*) FILTER (WHERE o.found = 0) BETWEEN 20 AND 500, count(*) FILTER (WHERE o.found >= 100) > 50,
	count(*) FILTER (WHERE a.query LIKE '%;after=2;%') > 40, count(DISTINCT substring(a.query FROM ';order=(\d)')) = 4,
	max(length(a.query)) > 10000
FROM asked_text AS a JOIN LATERAL (SELECT count(*) AS found FROM one AS o WHERE o.n = a.n) AS o ON true;
SQL
my $ties = psql(<<'SQL');
SELECT count(DISTINCT a.n)
FROM asked AS a JOIN one AS o ON o.n = a.n AND o.ord = a.k
JOIN rapport.candidate AS c ON c.person_id > o.person_id AND rapport.match_accepts(c.key, a.query) AND rapport.match_cost(c.key, a.query) = o.cost;
SQL
cmp_ok($ties, '>', 10, 'the id decides who is last in some');
is(psql(<<"SQL"), 0, 'one table: brute force finds the same');
SELECT count(DISTINCT n) FROM (
	SELECT * FROM (SELECT n, ord, person_id, cost FROM one) AS one
	FULL JOIN (SELECT a.n, d.* FROM asked AS a
			   CROSS JOIN LATERAL (SELECT row_number() OVER (ORDER BY rapport.match_cost(c.key, a.query), c.person_id) AS ord, c.person_id, rapport.match_cost(c.key, a.query) AS cost
								   FROM rapport.candidate AS c WHERE rapport.match_accepts(c.key, a.query)) AS d
			   WHERE d.ord <= a.k) AS brute USING (n, ord, person_id, cost)
	WHERE one IS NULL OR brute IS NULL) AS x;
SQL
my $decks = <<'SQL';
SELECT count(*) FILTER (WHERE s.found <> '') > 20, count(*) FILTER (WHERE deck(v.person_id, v.code) IS DISTINCT FROM s.found)
FROM viewer AS v
CROSS JOIN LATERAL (SELECT string_agg(concat_ws(' ', d.person_id, d.score, d.distance_km), ',' ORDER BY ordinality) AS found
					FROM rapport.discover_shard(rapport.discover_query_for(v.person_id, v.code), 50) WITH ORDINALITY AS d
					WHERE d.person_id > 4000) AS s;
SQL
done('people who ask', <<'SQL');
CREATE TABLE viewer AS
SELECT DISTINCT c.person_id, m.code FROM rapport.candidate AS c JOIN rapport.mode AS m USING (mode) JOIN rapport.profile AS p USING (person_id) WHERE c.person_id % 20 = 0;
CREATE FUNCTION deck(viewer bigint, mode text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	found text;
BEGIN
	PERFORM rapport.act_as(viewer, true);
	SELECT string_agg(concat_ws(' ', d.person_id, d.score, d.distance_km), ',' ORDER BY ordinality) INTO found FROM rapport.discover(mode, 50) WITH ORDINALITY AS d;
	PERFORM rapport.act_as(NULL, true);
	RETURN found;
END $$;
SQL
is(psql($decks), 't|0', 'and discover() the same people, but for those without a profile');

#
# Two clusters
#

done('the map', 'SELECT rapport.set_shards(rapport.curve_cuts(2)) \g /dev/null');
is(psql('SELECT count(*), max(abs(s.people - c.people / 2)) < 301, sum(s.people) = max(c.people) FROM rapport.shards() AS s, (SELECT count(*) AS people FROM rapport.candidate) AS c'),
	'2|t|t', 'it cuts at equal load, but for who is at one place');
my @shards = map { RapportCluster->new } 1, 2;
for my $n (1, 2)
{
	my $there = $shards[ $n - 1 ]->dir;
	done("shard $n", "CREATE DATABASE $database", $there, 'postgres');
	done("shard $n has the extension", 'CREATE EXTENSION rapport CASCADE; CREATE TABLE asked_text (n integer PRIMARY KEY, k integer, query text); CREATE TABLE asked_binary (n integer, query rapport.match_query);'
		. 'CREATE VIEW asked AS SELECT n, k, query::rapport.match_query FROM asked_text OFFSET 0', $there);
	# One in the text of keys and queries, the other in their binary form, as far as it goes into a row.
	my $format = $n == 1 ? 'text' : 'binary';
	ok(copy("SELECT c.person_id, c.mode, c.key FROM rapport.candidate AS c WHERE rapport.shard_of(c.key) = $n", $here, 'rapport.candidate (person_id, mode, key)', $there, $format), "its slice");
	ok(copy('TABLE asked_text', $here, 'asked_text', $there), 'the queries');
	ok(copy('SELECT n, query FROM asked WHERE pg_column_size(query) < 7000', $here, 'asked_binary', $there, $format), "and as values, in the $format format");
	cmp_ok(psql("UPDATE asked_text AS a SET query = b.query::text FROM asked_binary AS b WHERE b.n = a.n; SELECT count(*) FROM asked_binary", $there), '>', 900, 'most of them');
	is(psql('ANALYZE rapport.candidate; SELECT md5(string_agg(query, \' \' ORDER BY n)) FROM asked_text', $there),
		psql('SELECT md5(string_agg(query, \' \' ORDER BY n)) FROM asked_text'), "which arrive as they were");
}
is(psql('SELECT count(*) FROM rapport.candidate', $shards[0]->dir) + psql('SELECT count(*) FROM rapport.candidate', $shards[1]->dir),
	psql('SELECT count(*) FROM rapport.candidate'), 'the slices are all candidates');
psql('CREATE TABLE answer (shard integer, n integer, ord bigint, person_id bigint, cost double precision, score double precision, distance_km integer); CREATE INDEX ON answer (n, person_id)');
for my $n (1, 2)
{
	ok(copy("SELECT $n, a.n, d.ordinality, d.person_id, d.cost, d.score, d.distance_km FROM asked AS a CROSS JOIN LATERAL rapport.discover_shard(a.query, a.k) WITH ORDINALITY AS d (person_id, cost, score, distance_km, ordinality)",
		$shards[ $n - 1 ]->dir, 'answer', $here), "the answers of shard $n");
}
# Of those shards for which the condition holds, merged.
sub merged
{
	my ($which, $rank) = @_;
	$rank //= 'm.ordinality';
	return <<"SQL";
SELECT a.n, m.ord, m.person_id, m.cost, x.score, x.distance_km
FROM asked AS a
CROSS JOIN LATERAL (SELECT array_agg(x.person_id) AS ids, array_agg(x.cost) AS costs FROM answer AS x WHERE x.n = a.n AND $which) AS l
CROSS JOIN LATERAL (SELECT $rank AS ord, m.person_id, m.cost FROM rapport.merge_shards(l.ids, l.costs, a.k) WITH ORDINALITY AS m (person_id, cost, ordinality)) AS m
CROSS JOIN LATERAL (SELECT x.score, x.distance_km FROM answer AS x WHERE x.n = a.n AND x.person_id = m.person_id LIMIT 1) AS x
SQL
}
my $asked = 'x.shard = ANY (rapport.query_shards(a.query))';
is(differences(merged('true')), 0, "$queries queries: two clusters answer as one");
is(differences(merged($asked)), 0, 'and when those alone are asked that the map names');
is(psql("SELECT count(*) FROM answer AS x JOIN asked AS a USING (n) WHERE NOT $asked"), 0, 'for the others hold nobody');
is(psql('SELECT count(*) FILTER (WHERE cardinality(s) = 1) > 200, count(*) FILTER (WHERE cardinality(s) = 2) > 200 FROM (SELECT rapport.query_shards(query) AS s FROM asked) AS x'), 't|t', 'which is often');
is(psql(<<"SQL"), 't', 'and both are often in an answer');
SELECT count(*) > 100 FROM (SELECT n FROM one JOIN answer USING (n, person_id) GROUP BY n HAVING count(DISTINCT shard) = 2) AS x;
SQL
cmp_ok(differences(merged('x.shard = 1')), '>', 100, 'control: without a shard');
cmp_ok(differences(merged('x.ord < a.k')), '>', 20, 'control: a shard that gives one too few');
cmp_ok(differences(merged('true', 'row_number() OVER (ORDER BY m.cost, m.person_id DESC)')), '>', 5, 'control: equals the other way round');
is(psql("BEGIN; DELETE FROM rapport.shard WHERE shard = 2; INSERT INTO rapport.shard VALUES (2, (rapport.curve_cuts(4))[4]);"
	. "SELECT count(*) > 0 FROM answer AS x JOIN asked AS a USING (n) WHERE NOT $asked; ROLLBACK"), 't', 'control: the map of another cut');
is(psql(<<'SQL'), 't|t|0', 'many cuts: those that are not asked hold nobody');
CREATE TABLE fits AS SELECT a.n, rapport.curve_position(c.key) AS place FROM asked AS a JOIN rapport.candidate AS c ON rapport.match_accepts(c.key, a.query);
BEGIN;
SELECT rapport.set_shards(rapport.curve_cuts(150)) \g /dev/null
CREATE TEMP TABLE named AS SELECT a.n, rapport.query_shards(a.query) AS shards FROM asked AS a;
CREATE TEMP TABLE lows AS SELECT array_agg(s.low ORDER BY s.low) AS lows FROM rapport.shard AS s;
SELECT (SELECT avg(cardinality(n.shards)) < 110 FROM named AS n), (SELECT count(*) > 100000 FROM fits),
	count(*) FROM fits AS f JOIN named AS n USING (n), lows AS l WHERE NOT width_bucket(f.place, l.lows) = ANY (n.shards);
ROLLBACK;
SQL

#
# Partitions
#

my $again = 'SELECT a.n, d.ordinality, d.person_id, d.cost, d.score, d.distance_km FROM asked AS a CROSS JOIN LATERAL rapport.discover_shard(a.query, a.k) WITH ORDINALITY AS d (person_id, cost, score, distance_km, ordinality)';
is(psql($decks . 'CREATE TEMP TABLE made AS SELECT * FROM rapport.partition_candidates(4); SELECT count(*), max(m.people) - min(m.people) < 700, sum(m.people) = (SELECT count(*) FROM rapport.candidate) FROM made AS m;' . $decks), "t|0\n4|t|t\nt|0", 'four partitions, and discover() as before, by the plans it keeps');
is(differences($again), 0, "$queries queries: partitions answer as one table");
my $plan = <<'SQL';
SELECT query AS q FROM asked_text WHERE n = 3 \gset
SET plan_cache_mode = force_%s_plan;
PREPARE page (rapport.match_query) AS SELECT person_id FROM rapport.candidate WHERE key OPERATOR(rapport.@@) $1 ORDER BY key OPERATOR(rapport.<->) $1 LIMIT 20;
EXPLAIN (COSTS OFF) EXECUTE page (:'q');
SQL
for my $kind (qw(generic custom))
{
	my $text = psql(sprintf $plan, $kind);
	ok($text =~ /Merge Append/ && $text !~ /->  Sort|Seq Scan/ && (() = $text =~ /->  Index Scan/g) == 4, "merged in the order of the indexes: a $kind plan") or diag($text);
}
is(psql('SELECT count(*), sum(problems), count(DISTINCT index) FROM rapport.candidate_indexes() AS i CROSS JOIN LATERAL rapport.match_index_check(i.index)'), '4|0|4', 'an index each');
is(psql('SELECT * FROM rapport.cluster_by(\'pets\')') =~ s/\n/ /gr =~ tr/;//, 0, 'cluster_by() names statements');
is(psql("SELECT rapport.cluster_by('pets') \\gexec\nSELECT array_agg(DISTINCT rapport.index_lane(i.index)), count(*) FROM rapport.candidate_indexes() AS i"), '{31}|4', 'that cluster all of them');
is(differences($again), 0, 'which changes no answer');

my $moved = psql(<<'SQL');
SELECT c.person_id AS mover, c.tableoid::regclass AS old FROM rapport.candidate AS c JOIN rapport.profile AS p USING (person_id) WHERE c.tableoid = 'rapport.candidate_1'::regclass AND c.mode = 1 ORDER BY 1 LIMIT 1 \gset
SELECT rapport.place_latitude(p.place) AS lat, rapport.place_longitude(p.place) AS lon FROM rapport.candidate AS c JOIN rapport.profile AS p USING (person_id) WHERE c.tableoid = 'rapport.candidate_4'::regclass LIMIT 1 \gset
SELECT rapport.set_setting('move_max_kmh', '0'), rapport.set_setting('moves_a_day', '0') \g /dev/null
SELECT rapport.act_as(:mover) \g /dev/null
SELECT FROM rapport.set_place(:lat, :lon) \g /dev/null
SELECT rapport.act_as(NULL) \g /dev/null
SELECT :'old', string_agg(DISTINCT c.tableoid::regclass::text, ','), count(*) = count(DISTINCT c.mode) FROM rapport.candidate AS c WHERE c.person_id = :mover;
SELECT count(*) FROM rapport.candidates_of(ARRAY(SELECT person_id FROM rapport.profile)) AS w
FULL JOIN (SELECT c.* FROM rapport.candidate AS c WHERE c.person_id > 4000) AS c USING (person_id, mode) WHERE w.key OPERATOR(rapport.=) c.key IS NOT TRUE;
SELECT rapport.erase_person_for(:mover) \g /dev/null
SELECT count(*) FROM rapport.candidate WHERE person_id = :mover;
SQL
is($moved, "rapport.candidate_1|rapport.candidate_4|t\n0\n0", 'whoever moves is in another partition, and is erased there');

# As one answer: where everybody is, and in which indexes.
my $state = <<'SQL';
SELECT c.tableoid::regclass, count(*), md5(string_agg(c.mode || c.key::text, ' ' ORDER BY c.person_id, c.mode)) FROM rapport.candidate AS c GROUP BY 1 ORDER BY 1;
SELECT c.oid::regclass, c.relowner::regrole, pg_get_expr(c.relpartbound, c.oid), obj_description(c.oid, 'pg_class') FROM pg_class AS c JOIN pg_inherits AS h ON h.inhrelid = c.oid WHERE h.inhparent = 'rapport.candidate'::regclass ORDER BY 1;
SELECT i.indrelid::regclass, i.indexrelid::regclass, i.indisprimary FROM pg_index AS i JOIN pg_inherits AS h ON h.inhrelid = i.indrelid WHERE h.inhparent = 'rapport.candidate'::regclass ORDER BY 1, 2;
SELECT * FROM rapport.shard ORDER BY 1;
SQL
my $before = psql($state);
is(scalar(() = $before =~ /\n/g), 17, 'the state of four partitions and the map');
done('a database to restore into', "DROP DATABASE IF EXISTS ${database}_2; CREATE DATABASE ${database}_2", undef, 'postgres');
my $errors = qx($bin/pg_dump -Fc -d $database -f $file.dump 2>&1; $bin/pg_restore --exit-on-error -d ${database}_2 $file.dump 2>&1);
is($errors, '', 'partitions are dumped and restored without an error');
is(psql($state, undef, "${database}_2"), $before, 'to what they were');
is(psql('SELECT rebuilt, candidates = (SELECT count(*) FROM rapport.candidate), index_bytes > 0, problems FROM rapport.after_restore()', undef, "${database}_2"), '0|t|t|0', 'after_restore() finds nothing wrong');
is(psql('SELECT people > 0 FROM rapport.partition_candidates(3)', undef, "${database}_2"), "t\nt\nt", 'other partitions');
is(psql('DROP DATABASE ' . $database . '_2', undef, 'postgres'), '', 'dropped');

# An update has nothing to say of them: it runs what can be replaced, as the next release will.
my ($stage) = glob "$ENV{PGHOST}/stage/usr/share/postgresql/$ENV{PG_VERSION}/extension" or die 'no staged extension';
my ($version) = qx(cat extension/rapport.control) =~ /^default_version = '(.*)'/m;
my @sources = ((map { (sort glob("extension/$_/functions_*.sql")), grep { -e } "extension/$_/functions.sql" } split ' ', qx(sed -n 's/^TOPICS *?= *//p' Makefile)), 'extension/rest/routes.sql', 'extension/core/finish.sql');
my $update = "$stage/rapport--$version--99.0.1.sql";
is(system("extension/update/script $version $version @sources >$update"), 0, 'the script of an update');
is(psql("ALTER EXTENSION rapport UPDATE TO '99.0.1'"), '', 'an update');
unlink $update;
is(psql($state), $before, 'leaves partitions and map as they are');

is(psql('SELECT * FROM rapport.partition_candidates(1)') =~ s/\d+$//r, 'rapport.candidate_1|0|', 'one table again');
is(psql('SELECT count(*), min(rapport.index_lane(i.index)) FROM rapport.candidate_indexes() AS i'), '1|31', 'its index is as it was chosen');
is(differences($again . ' WHERE NOT EXISTS (SELECT)'), psql('SELECT count(DISTINCT n) FROM one'), 'control: no answers');
done('the end', "DROP DATABASE $database", undef, 'postgres');
done_testing();
