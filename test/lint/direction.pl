# A topic uses only topics to its left: the extension is built topic by topic,
# and every function of each build is checked to find what it names.
use strict;
use warnings;
use Test::More;

my @topics = split ' ', (`sed -n 's/^TOPICS *?= *//p' Makefile`);
my ($control) = glob '../stage/usr/share/postgresql/*/extension/rapport.control' or die 'no staged extension';
(my $folder = $control) =~ s{/[^/]*$}{};
my ($version) = `cat $control` =~ /^default_version = '(.*)'/m;

sub slurp { my ($file) = @_; local $/; open my $in, '<', $file or die "$file: $!"; return <$in> }

# Installs the script under a version of its own in a new database; returns
# what is wrong with it.
sub wrong
{
	my ($name, $script) = @_;
	my $database = "lint_$name";
	open my $out, '>', "$folder/rapport--$name.sql" or die $!;
	print $out $script;
	close $out;
	my $psql = "psql -X -q -v ON_ERROR_STOP=1 -At";
	my $result = `createdb $database && PGOPTIONS='-c client_min_messages=error' $psql -d $database -c "
		CREATE EXTENSION rapport VERSION '$name' CASCADE" -c "
		CREATE EXTENSION plpgsql_check" -c "
		SELECT p.oid::regprocedure || ': ' || c.message
		FROM pg_proc AS p
		JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname = 'plpgsql'
		CROSS JOIN LATERAL plpgsql_check_function_tb(p.oid, fatal_errors => false, other_warnings => false,
			extra_warnings => false, performance_warnings => false) AS c
		WHERE p.pronamespace = 'rapport'::regnamespace
		AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
		AND c.level = 'error'" -c "
		SET client_min_messages = warning" -c "
		DO 'DECLARE s record; BEGIN
			FOR s IN SELECT * FROM rapport.subjects() LOOP
				BEGIN
					EXECUTE format(''SELECT FROM %s AS t WHERE %s'', s.tab, s.find) USING array[]::bigint[];
				EXCEPTION WHEN OTHERS THEN
					RAISE WARNING ''%: %'', s.tab, SQLERRM;
				END;
			END LOOP;
		END'" 2>&1`;
	system("dropdb --if-exists $database; rm $folder/rapport--$name.sql");
	return $result;
}

sub script
{
	my ($names) = @_;
	system("make -s -B TOPICS='$names' extension/rapport--$version.sql >/dev/null") == 0 or die 'make';
	return slurp("extension/rapport--$version.sql");
}

my $whole = slurp("extension/rapport--$version.sql");
for my $last (0 .. $#topics)
{
	is(wrong("upto_$topics[$last]", script("@topics[0 .. $last]")), '', "$topics[$last] stands on the topics to its left");
}

# Planted: core uses a table of account, in each kind of function.
my $core = script('core');
like(wrong('planted', "$core\nCREATE FUNCTION rapport.planted() RETURNS bigint BEGIN ATOMIC SELECT person_id FROM rapport.person; END;\n"),
	qr/relation "rapport.person" does not exist/, 'caught when planted: in SQL');
like(wrong('planted', "$core\nCREATE FUNCTION rapport.planted() RETURNS void LANGUAGE plpgsql AS \$\$ BEGIN PERFORM person_id FROM rapport.person; END \$\$;\n"),
	qr/relation "rapport.person" does not exist/, 'caught when planted: in plpgsql');

like(wrong('planted', "$core\nINSERT INTO rapport.subject (tab, col, own, find) VALUES ('rapport.setting', 'value', true, 't.value IN (SELECT email FROM rapport.email)');\n"),
	qr/relation "rapport.email" does not exist/, 'caught when planted: in the condition of a subject');

open my $out, '>', "extension/rapport--$version.sql" or die $!;
print $out $whole;
close $out;
done_testing();
