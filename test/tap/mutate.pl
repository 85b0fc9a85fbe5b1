# Wrong input in SQL: mutated arguments of every function that somebody may
# call, and mutated values of the types in text and binary form. Each must be
# taken, or refused as what it is: wrong input. 2,000 of them; 100,000 with
# RAPPORT_LONG. The same seed (MUTATE_SEED) gives the same statements.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;

my $database = 'tap_mutate';
my $inputs   = $ENV{RAPPORT_LONG} ? 100_000 : 2_000;
my $seed     = $ENV{MUTATE_SEED} || 1;
my $dir      = tempdir(CLEANUP => 1);
srand $seed;

sub psql
{
	my ($sql, $in) = @_;
	open(my $out, '-|', 'psql', '-XAtq', '-F', "\t", '-v', 'ON_ERROR_STOP=1', '-d', $in // $database, '-c', $sql)
		or die "cannot run psql: $!";
	my $rows = do { local $/; <$out> } // '';
	close($out) or die "failed: $sql";
	chomp $rows;
	return $rows;
}

#
# What may come out. Everything else is a failure: internal errors (XX000,
# RP5nn), constraints that stand in for checks (23nnn), rights (42501), and what
# ends a statement or a session (57nnn).
#
my @wrong_input = (qr/^22/, qr/^08P01$/, qr/^RP4\d\d$/);
# What PostgreSQL's own input functions say to some types.
my %wrong_name = map { $_ => 1 } (
	'42P01',    # no such relation
	'42602',    # a name is malformed
	'42601',    # a.b.c.d
	'0A000',    # another database's, or a relation of another kind
	'3F000',    # no such schema
	'42809',    # not an index of match keys, or not a table
	'42704',    # an operator class that is not there
);

sub is_right
{
	my ($state, $statement) = @_;
	return 1 if grep { $state =~ $_ } @wrong_input;
	return 1 if $statement =~ /::regclass/ && $wrong_name{$state};
	return 0;
}

# Runs statements, [role, text] each, in a session of each role; every one in a
# transaction that is rolled back. Returns how many were taken, a hash of the
# SQLSTATEs of the others, and what went wrong. A statement hangs when it takes
# longer than the timeout three times.
sub outcomes
{
	my ($timeout, @statements) = @_;
	my ($taken, %states, @wrong) = (0);
	my %by_role;
	push @{ $by_role{ $_->[0] } }, $_->[1] for @statements;
	for my $role (sort keys %by_role)
	{
		my @part  = @{ $by_role{$role} };
		my $begin = $role =~ /^\d+$/ ? "SELECT rapport.act_as($role);\n" : "SET ROLE $role;\n";
		$begin = '' if $role eq 'postgres';
		my $script = "SET statement_timeout = '$timeout';\n$begin";
		my %at;
		my $line = $script =~ tr/\n//;
		for my $statement (@part)
		{
			# A procedure may commit: it runs by itself.
			my $text = $statement =~ /^CALL/ ? "$statement;\n" : "BEGIN \\; $statement;\n";
			$line += $text =~ tr/\n//;
			$at{$line} = $statement;
			$script .= $text;
			if ($statement !~ /^CALL/) { $script .= "ROLLBACK;\n"; $line++ }
		}
		open my $out, '>:raw', "$dir/script.sql" or die "script: $!";
		print $out $script, "\\echo end\n";
		close $out;
		# Errors are many: they need not all stand in the server's log.
		local $ENV{PGOPTIONS} = '-c client_min_messages=error -c log_min_messages=fatal -c log_min_error_statement=panic';
		my $ended = qx{psql -Xq -o /dev/null -v VERBOSITY=sqlstate -v SHOW_CONTEXT=never -d $database -f $dir/script.sql 2>$dir/errors};
		my %failed;
		open my $in, '<:raw', "$dir/errors" or die "errors: $!";
		while (my $error = <$in>)
		{
			my ($number, $state) = $error =~ /script\.sql:(\d+): (?:ERROR|FATAL|PANIC): +(\w{5})$/ or do { push @wrong, "psql: $error"; next };
			my $statement = $at{$number};
			if (!defined $statement) { push @wrong, "line $number: $state"; next }
			$failed{$number} = 1;
			$states{$state}++;
			next if is_right($state, $statement);
			if ($state eq '57014')
			{
				next if grep { !timed_out($begin, $timeout, $statement) } 1, 2;
			}
			push @wrong, "$state as $role: " . substr($statement, 0, 1500);
		}
		close $in;
		push @wrong, "the session of $role ended" if ($ended // '') !~ /^end$/m;
		$taken += grep { !$failed{$_} } keys %at;
	}
	return ($taken, \%states, @wrong);
}

sub timed_out
{
	my ($begin, $timeout, $statement) = @_;
	open my $out, '>:raw', "$dir/again.sql" or die "again: $!";
	print $out "SET statement_timeout = '$timeout';\n${begin}BEGIN \\; $statement;\n";
	close $out;
	return qx{psql -Xq -o /dev/null -v VERBOSITY=sqlstate -d $database -f $dir/again.sql 2>&1} =~ /57014/;
}

#
# People to act as, and what they have.
#
psql("CREATE DATABASE $database", 'postgres');
psql(<<'SQL');
SET client_min_messages = error;
CREATE EXTENSION rapport CASCADE;
SET synchronous_commit = off;
SELECT rapport.set_setting('password_memory', '1'), rapport.set_setting('password_ops', '1');
SELECT rapport.define_attribute('gender', 'choice', ARRAY['woman', 'man', 'nonbinary']),
	rapport.define_attribute('smoking', 'choice', ARRAY['never', 'daily'], strength => 'one_way'),
	rapport.define_attribute('height', 'number', minimum => 100, maximum => 250);
DO $$
DECLARE
	id bigint;
	ids bigint[];
BEGIN
	FOR i IN 1 .. 12 LOOP
		id := rapport.new_person('p' || i);
		ids := ids || id;
		PERFORM rapport.set_credential_for(id, format('p%s@example.org', i), 'a long enough password');
	END LOOP;
	FOREACH id IN ARRAY ids LOOP
		PERFORM rapport.act_as(id, true);
		PERFORM rapport.update_profile('{"display_name": "Ada", "birth_date": "1990-05-17", "tags": ["chess", "jazz"],
			"attributes": {"gender": "woman", "height": 170}, "embedding": [0.5, -0.5]}');
		PERFORM rapport.set_place(52.5, 13.4);
		PERFORM rapport.set_preference('date', '{"enabled": true, "age": [18, 99], "max_distance_km": 100}');
		IF id <> ids[1] THEN
			PERFORM rapport."like"(ids[1]);
		END IF;
	END LOOP;
	PERFORM rapport.act_as(ids[1], true);
	PERFORM rapport."like"(ids[2]);
	PERFORM rapport.block(ids[12]);
	PERFORM rapport.send_message((SELECT c.conversation_id FROM rapport.conversations() AS c), 'c1', 'hello');
	PERFORM rapport.act_as(NULL, true);
END $$;
CREATE TABLE source (id text PRIMARY KEY, name text, born text, lat text, lon text, wants jsonb);
INSERT INTO source SELECT i, 'Eve', '1991-01-01', '52', '13', '{"date": {"enabled": true}}' FROM generate_series(1, 5) AS i;
GRANT SELECT ON source TO rapport_service;
CREATE TABLE keys (key rapport.match_key, query rapport.match_query);
SQL
my ($ada, $eve, $conversation) = split /\t/, psql(<<'SQL');
SELECT a.person_id, e.person_id, (SELECT min(conversation_id) FROM rapport.pair WHERE conversation_id IS NOT NULL)
FROM rapport.external_identity AS a, rapport.external_identity AS e
WHERE a.external_id = 'p1'
AND e.external_id = 'p3'
SQL
my ($access, $refresh) = split /\t/, psql("SELECT access_token, refresh_token FROM rapport.sign_in('p1\@example.org', 'a long enough password')");
my $session = psql('SELECT max(session_id) FROM rapport.session');
my ($cursor) = split /\n/, psql("SELECT rapport.act_as($ada); SELECT cursor FROM rapport.discover(page_size => 1)") =~ s/^\s+//r;
my ($key, $query) = split /\t/, psql(<<'SQL');
SELECT k.key, rapport.match_query(k.key, '2026-07-01', seen => '{1,2,-3}', weights => '{"tags": 2}', after_cost => 0.25, after_id => 7)
FROM (SELECT rapport.match_key(7, 52.5, 13.4, '1990-05-17', traits => '{1,2}', wants => '{6,127}', ages => '[18,40]', max_distance_km => 50,
		numbers => '{1,2}', tags => '{a,b}', embedding => '{0.1,-1}')) AS k (key)
SQL
is(scalar(grep { !defined || $_ eq '' } $ada, $eve, $conversation, $session, $access, $refresh, $cursor, $key, $query), 0, 'there is something to begin with');

#
# Right values: by function and argument, by argument, by type.
#
my $profile = '{"display_name": "Ada", "birth_date": "1990-05-17", "about": "I", "tags": ["chess", "jazz"], '
	. '"attributes": {"gender": "woman", "smoking": null, "height": 170}, "embedding": [0.5, -0.5], "paused": false}';
my $preference = '{"enabled": true, "accepts": {"gender": ["man", null], "smoking": null}, "ranges": {"height": [150, 190]}, '
	. '"strengths": {"gender": "two_way", "height": "soft"}, "age": [20, 40], "max_distance_km": 50}';
my $mapping = '{"external_id": "id", "display_name": "name", "birth_date": "born", "latitude": "lat", "longitude": "lon", "preferences": "wants", "attributes": {"height": "lat"}}';
my %right = (
	'update_profile.body' => [ $profile ], 'set_preference.body' => [ $preference ], 'send_message.body' => ['hello'],
	'replay.key' => ['k1'], 'remember.key' => ['k1'], 'remember.body' => ['{}'], 'refresh_people_after.after' => ['0'],
	'match_key.traits' => ['{1,2}'], 'match_key.wants' => ['{6,127}'], 'match_query.key' => [$key], 'match_key_raw.mode' => ['1'], 'match_key.mode' => ['1'],
	'import_batch.source' => ['source'], 'import_batch.after' => [ '', '2' ], 'import_batch.upto' => ['3'], 'import_begin.source' => ['source'], 'import_end.source' => ['source'],
	'import_people.source' => ['source'], 'import_expression.source' => ['source'], 'import_people.mapping' => [$mapping],
	'import_batch.documents' => [ '{"{\"external_id\": \"x1\", \"display_name\": \"Eve\", \"birth_date\": \"1990-01-01\", \"latitude\": 1, \"longitude\": 2}"}' ],
	'define_attribute.kind' => [ 'choice', 'number' ], 'define_attribute.code' => ['eyes'], 'define_option.attribute' => ['gender'],
	'read_place.latitude' => ['52.5'], 'read_place.longitude' => ['13.4'], 'set_role_for.role' => ['moderator'],
	'match_query.weights' => [ '{"distance": 1, "tags": 2, "decay": "exp", "scale_km": 25, "half_life_days": 3}', '{"family": "reciprocal", "boost": 0.2}' ],
	'match_query.sort' => [ 'newest', 'nearest' ],
	person_id => [ $eve, $ada ], conversation_id => [$conversation], session_id => [$session], external_id => [ 'p1', 'p99' ],
	token => [$access], refresh_token => [$refresh], after => [$cursor], mode => [ 'date', 'friends' ], email => [ 'p1@example.org', 'new@example.org' ],
	password => ['a long enough password'], current_password => ['a long enough password'], new_password => ['another long password'],
	name => [ 'grid_metres', 'distance_buckets', 'minimum_age' ], value => [ '20', '1990-05-17' ], mapping => [$mapping], source => ['source'], role => ['moderator'], state => ['suspended'],
	attribute => ['gender'], option => [ 'woman', 'other' ], locale => [ 'en', 'de-CH' ], label => ['Frau'], code => ['hiking'], step => ['about'], index => ['rapport.candidate_key'],
	strength => [ 'soft', 'two_way' ], latitude => ['52.5'], longitude => ['13.4'], timeout_ms => ['5000'], page_size => ['3'], metres => ['1000'], options => ['{a,b}'],
	traits => ['{1,1}'], wants => [ '\x' . 'ff' x 32 ], accept_wants => [ '\x' . '7f' x 32 ], soft_wants => [ '\x' . '0f' x 32 ], lane_of => ['{0,1}'], lanes_of => ['{1,2}'], birth_date => ['1990-05-17'],
	documents => ['{}'], batch => ['10'],
	'text' => ['a'], 'jsonb' => ['{}'], 'bigint' => ['1'], 'integer' => ['1'], 'smallint' => ['1'], 'oid' => ['1'], 'boolean' => ['true'], 'double precision' => ['0.5'],
	'real' => ['0.5'], 'numeric' => ['1'], 'date' => ['2026-07-01'], 'bytea' => ['\x00'], 'int4range' => ['[18,40)'], 'regclass' => ['source'],
	'text[]' => ['{a,b}'], 'bigint[]' => ['{1,2}'], 'integer[]' => ['{1,2}'], 'smallint[]' => ['{1,2}'], 'boolean[]' => ['{t,f}'], 'real[]' => ['{0.5,1}'], 'double precision[]' => ['{2,5.5}'], 'jsonb[]' => ['{"{}"}'],
	'rapport.match_key' => [$key], 'rapport.match_query' => [$query], 'timestamp with time zone' => ['2026-07-01'],
);

sub one_of { return $_[ rand @_ ] }

sub right_value
{
	my ($function, $name, $type) = @_;
	return one_of(@{ $right{"$function.$name"} // $right{$name} // $right{$type} // die "no value of type $type for $function.$name" });
}

#
# Mutations.
#
my @numbers = qw(0 -1 1 2 7 8 31 32 33 63 64 100 127 128 255 256 32767 32768 -32768 -32769 65535 65536 2147483647 2147483648 -2147483648 4294967296
	9007199254740992 9223372036854775807 -9223372036854775808 9223372036854775808 0.5 -0.0 1e-320 1e30 1e38 1e39 1e308 1e400 -1e308 89.9999999 90.0000001 180 -180 360 0x1f 1_000 NaN Infinity -Infinity);
my @dates = ('infinity', '-infinity', '4713-01-01 BC', '4714-11-24 BC', '5874897-12-31', '1900-01-01', '1899-12-31', '2000-02-29', '1900-02-29', '2079-06-06', '2079-06-07',
	'2026-13-01', '0001-01-01', 'today', 'epoch', '2500-01-01', '10000-01-01', '12/31/1999', '1990-5-17', '1990-05-17T00:00:00Z');
my @texts = ('', ' ', "\t", "a\nb", "a\r", "\x01", "\x7f", "'", '"', '\\', '%', '%s%n', '_', '$$', '$1', ';', '--', '/*', '{', '}', '[', ']', 'null', 'NULL', 'true', 'a' x 63, 'a' x 64, 'a' x 5000, '1' x 400,
	"\xc3\xa9", "e\xcc\x81", "\xf0\x9f\xa7\x97\xe2\x80\x8d\xe2\x99\x82\xef\xb8\x8f", "\xe2\x80\xae", "\xe2\x80\x8b", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf", "\xd7\xa9", "\xef\xbb\xbf", "\xcd\x8f" x 50,
	"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc3", '../../etc/passwd', 'p1@example.org ', 'P1@EXAMPLE.ORG', '@', 'a@b', 'pg_class', 'rapport.person', 'public.source', 'pg_catalog.pg_authid',
	'postgres.public.source', 'information_schema.tables', '"', '"a', 'a.b.c.d', '0', '-', '16384', 'rapport.candidate', 'date', 'gender', @numbers[ 0 .. 5 ]);
my @scalars = ('null', 'true', 'false', '[]', '{}', '""', '" "', '"\u0000"', '"\ud800"', '"\uffff"', '"\u0001"', '[null]', '[[]]', '{"a": {}}', '"woman"', '"date"', '[1, 2]', '[2, 1]', '[null, null]', '["a", 1]',
	'"1990-02-30"', '"infinity"', '"2010-01-01"', '"' . 'x' x 3000 . '"', '[' x 200 . ']' x 200, '[' . join(',', 1 .. 100) . ']', (grep { /^-?[\d.]+(?:e-?\d+)?$/ && !/^-?0\d/ } @numbers), '1' x 400, '1e100000', '1e-100000');

# Some bytes changed, as a fuzzer does.
sub changed_bytes
{
	my ($text) = @_;
	for (1 .. 1 + int rand 3)
	{
		my $at   = int rand(1 + length $text);
		my $kind = int rand 6;
		if    ($kind == 0) { substr($text, $at, 1) = chr(1 + int rand 255) if $at < length $text }
		elsif ($kind == 1) { substr($text, $at, 0) = one_of(split //, '0123456789-.,;=ef{}[]"\\:()') }
		elsif ($kind == 2) { substr($text, $at, 1 + int rand 4) = '' if $at < length $text }
		elsif ($kind == 3) { substr($text, $at, 0) = substr($text, int rand(1 + length $text), int rand 40) }
		elsif ($kind == 4) { $text = substr($text, 0, $at) }
		else               { substr($text, $at, 0) = one_of(@texts) }
	}
	return $text;
}

# One of what the pattern finds becomes something else.
sub changed_part
{
	my ($text, $pattern, @others) = @_;
	my @places;
	push @places, [ $-[0], $+[0] - $-[0] ] while $text =~ /$pattern/g;
	return one_of(@others) if !@places;
	my $place = one_of(@places);
	substr($text, $place->[0], $place->[1]) = one_of(@others);
	return $text;
}

my $json_value = qr/"(?:[^"\\]|\\.)*"(?!\s*:)|-?\d[\d.e+-]*|true|false|null|\[[^\[\]]*\]|\{[^{}]*\}/;

sub mutated
{
	my ($value, $type) = @_;
	return changed_bytes($value) if rand() < 0.25;
	if ($type eq 'jsonb')
	{
		return one_of(@scalars) if rand() < 0.15;
		return changed_part($value, qr/"\w+"(?=:)/, '"id"', '"person_id"', '""', '"enabled"', '"age"', '"\u0000"', '"about"') if rand() < 0.2;
		$value = changed_part($value, $json_value, @scalars) for 1 .. 1 + int rand 3;
		return $value;
	}
	if ($type =~ /^(.*)\[\]$/)
	{
		my $of = $1;
		return one_of('{}', '{NULL}', '{{1},{2}}', '{{1,2},{3,4}}', '[0:1]={1,2}', '[-5:-4]={1,2}', '{{}}', '{', '{1,2', '{"a', '{1,,2}', '{NULL,NULL}', '{' . join(',', (1) x 2000) . '}') if rand() < 0.3;
		my @elements = map { rand() < 0.15 ? 'NULL' : '"' . (mutated(one_of(@{ $right{$of} }), $of) =~ s/(["\\])/\\$1/gr) . '"' } 0 .. rand(rand() < 0.1 ? 60 : 5);
		return '{' . join(',', @elements) . '}';
	}
	return one_of(@numbers) if $type =~ /int$|^integer|^oid$|^double|^real|^numeric/;
	return one_of(@dates) if $type =~ /^date|^timestamp/;
	return one_of('empty', '(,)', '[5,1]', '[-1,300]', '[18,18)', '[,40]', '[2147483647,2147483647]', '[-2147483648,)') if $type eq 'int4range';
	return one_of('t', 'f', 'maybe', '') if $type eq 'boolean';
	return one_of('\x', '\x00', '\x' . '00' x 32, '\x' . 'ff' x 31, '\x' . 'ff' x 33, '\x' . 'a5' x 32, '\xf') if $type eq 'bytea';
	if ($type =~ /match_(?:key|query)/)
	{
		$value = changed_part($value, qr/-?\d+(?:\.\d+)?(?:e-?\d+)?/, @numbers) for 1 .. 1 + int rand 2;
		return rand() < 0.2 ? changed_part($value, qr/[a-z_]+=/, 'id=', 'key=', 'seen=', '') : $value;
	}
	return rand() < 0.2 && $value =~ /\d/ ? changed_part($value, qr/\d+/, @numbers) : one_of(@texts, @dates, @numbers);
}

sub literal
{
	my ($value, $type) = @_;
	return 'NULL' if !defined $value;
	# psql and the server read no NUL.
	return "'" . ($value =~ s/'/''/gr =~ s/\0//gr) . "'::$type";
}

#
# What can be called: [name, role, kind, required, [[name, type], ...]].
#
my @functions = map {
	my ($name, $role, $kind, $required, $names, $types) = split /\t/, $_, -1;
	my @names = split /,/, $names, -1;
	my @types = split /\|/, $types;
	{ name => $name, role => $role, kind => $kind, required => $required, arguments => [ map { [ $names[$_] // '', $types[$_] ] } 0 .. $#types ] }
} split /\n/, psql(<<'SQL');
SELECT p.proname,
	CASE g.role WHEN 'rapport_anon' THEN 'rapport_anon' WHEN 'rapport_api' THEN 'rapport_api' WHEN 'rapport_service' THEN 'rapport_service' ELSE 'person' END,
	p.prokind,
	p.pronargs - p.pronargdefaults,
	(SELECT string_agg(coalesce(p.proargnames[i.at], ''), ',' ORDER BY i.at)
	 FROM unnest(coalesce(p.proargmodes, array_fill('i'::"char", ARRAY[p.pronargs::integer]))) WITH ORDINALITY AS i (mode, at)
	 WHERE i.mode IN ('i', 'b')),
	(SELECT string_agg(format_type(t.type, NULL), '|' ORDER BY t.at) FROM unnest(p.proargtypes) WITH ORDINALITY AS t (type, at))
FROM pg_proc AS p,
	LATERAL (SELECT max(a.grantee::regrole::text) AS role
			 FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
			 WHERE a.grantee <> p.proowner) AS g
WHERE p.pronamespace = 'rapport'::regnamespace
AND g.role IS NOT NULL
AND p.pronargs > 0
AND p.prorettype NOT IN ('internal'::regtype, 'trigger'::regtype)
AND NOT 'internal'::regtype = ANY (p.proargtypes::oid[])
AND NOT 'cstring'::regtype = ANY (p.proargtypes::oid[])
ORDER BY 1, 6
SQL
cmp_ok(scalar(@functions), '>', 50, scalar(@functions) . ' functions with arguments');

# As a field of a binary COPY: version and text, changed.
sub binary_input
{
	my ($n) = @_;
	my ($column, $value) = @{ one_of([ key => $key ], [ query => $query ]) };
	my $bytes = chr(rand() < 0.9 ? 1 : int rand 256) . (rand() < 0.5 ? mutated($value, "rapport.match_$column") : changed_bytes($value));
	substr($bytes, int rand length $bytes, 1) = "\0" if rand() < 0.1;
	$bytes = substr($bytes, 0, int rand 3) if rand() < 0.05;
	open my $out, '>:raw', "$dir/binary.$n" or die "binary: $!";
	print $out "PGCOPY\n\xff\r\n\0", pack('NNnN', 0, 0, 1, length $bytes), $bytes, pack('n', 65535);
	close $out;
	return [ 'postgres', "COPY keys ($column) FROM '$dir/binary.$n' (FORMAT binary)" ];
}

sub input
{
	my ($n) = @_;
	return binary_input($n) if rand() < 0.03;
	return [ $ada, sprintf 'SELECT %s', literal(mutated($key, 'rapport.match_key'), 'rapport.match_key') ] if rand() < 0.03;
	return [ $ada, sprintf 'SELECT %s', literal(mutated($query, 'rapport.match_query'), 'rapport.match_query') ] if rand() < 0.03;
	my $function  = $functions[ $n % @functions ];
	my @arguments = @{ $function->{arguments} };
	my $count     = $function->{required} + int rand(1 + @arguments - $function->{required});
	$count = 1 if $count == 0;
	my %mutate = map { int rand($count) => 1 } 0 .. rand 3;
	my @values;
	for my $at (0 .. $count - 1)
	{
		my ($name, $type) = @{ $arguments[$at] };
		my $value = right_value($function->{name}, $name, $type);
		$value = rand() < 0.05 ? undef : mutated($value, $type) if $mutate{$at};
		push @values, defined $value ? literal($value, $type) : "NULL::$type";
	}
	my $call = sprintf 'rapport."%s"(%s)', $function->{name}, join(', ', @values);
	return [ $function->{role} eq 'person' ? $ada : $function->{role}, $function->{kind} eq 'p' ? "CALL $call" : "SELECT * FROM $call" ];
}

chmod 0755, $dir;
my @statements = map { input($_) } 1 .. $inputs;
my ($taken, $states, @wrong) = outcomes('2s', @statements);
is(scalar(@wrong), 0, "$inputs mutated inputs are taken or refused") or diag(join "\n", "seed $seed", @wrong[ 0 .. ($#wrong < 40 ? $#wrong : 40) ]);
note("$taken taken, the others: " . join(', ', map { "$_ $states->{$_}" } sort keys %$states));
cmp_ok($taken, '>', $inputs / 20, 'some are taken');
cmp_ok(scalar(keys %$states), '>', 8, 'for many reasons');
is(psql('SELECT count(*) > 0 FROM rapport.person'), 't', 'and the server lives');

# What must not go unseen: an internal error, a constraint that stands in for a
# check, a statement without end, and the end of the session.
psql(<<'SQL');
CREATE SCHEMA plant;
CREATE FUNCTION plant.internal(x text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN IF length(x) > 3 THEN RAISE EXCEPTION SQLSTATE 'XX000'; END IF; END $$;
CREATE FUNCTION plant.constrained(x text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN IF x = '' THEN INSERT INTO public.source VALUES ('1'); END IF; END $$;
CREATE FUNCTION plant.hang(x text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN WHILE x = 'a' LOOP END LOOP; END $$;
CREATE FUNCTION plant.crash(x text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN IF x = '%' THEN PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(1); END IF; END $$;
SQL
for my $planted ([ internal => 'XX000' ], [ constrained => '23505' ], [ hang => '57014' ], [ crash => '57P01' ])
{
	my ($name, $state) = @$planted;
	my @caught = (outcomes('100ms', map { [ 'postgres', sprintf 'SELECT plant.%s(%s)', $name, literal($_, 'text') ] } 'b', 'cd', 'a', 'abcd', '', '%'))[ 2 .. 10 ];
	like(join("\n", grep { defined } @caught), qr/$state as postgres/, "caught when planted: $state");
}
done_testing();
