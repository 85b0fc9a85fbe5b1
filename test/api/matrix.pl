# Who may do what, and who learns what: every route is asked by everyone of
# matrix.tsv about somebody's things. The answer is the one in the table, holds
# exactly the marked facts that the table names, and changes no other rows. Then
# every column of the database is offered to every route as a field.
#
# A route without a line in the table fails, and so does a line without a route.
#
# A cell is a status, the code of a problem, and who:FACTS for what the answer
# tells about whom: I id, N name, A about, T tags, M messages, E e-mail, B birth
# date, P place, U user agent, S session, C conversation. changes holds the tables
# whose rows a granted request may change, and whose rows those are.
use strict;
use warnings;
use JSON::PP ();
use List::Util qw(uniq);
use Test::More;
use RapportApi;

my $json = JSON::PP->new->canonical->allow_nonref;

# The cast. All fit the owner, and nobody else, but those who accept other ages.

my %accepts = (owner => [18, 99], (map { $_ => [27, 33] } qw(match fits blocked blocker unmatched suspended admirer paused)),
	(map { $_ => [60, 70] } qw(misfit moderator admin)));
my @cast = sort keys %accepts;
my $mark = sprintf '%05d', rand 1e5;
my (%who, %marker, %conversation);

# Does what must work; the answer's JSON.
sub must {
	my ($name, $method, $path, $body) = @_;
	my $answer = call($method, $path, token => $who{$name}{token}, $body ? (body => $body) : ());
	die "$name $method $path: $answer->{status} $answer->{body}" if $answer->{status} >= 300;
	return $answer->{json};
}

sub sign_in {
	my ($name, $user_agent) = @_;
	return call('POST', '/v1/sign-in', body => { email => $who{$name}{email}, password => $who{$name}{password}, user_agent => $user_agent })->{json};
}

# They all go to one place, and at once.
sql(q{SELECT rapport.set_setting('move_max_kmh', '0')});

my $year = 1900 + (gmtime)[5];
for my $i (0 .. $#cast) {
	my $name = $cast[$i];
	my $person = $who{$name} = person();
	my $born = sprintf '%d-01-%02d', $year - ($name eq 'owner' ? 30 : 40), $i + 1;
	my @place = map { sprintf '%.7f', $_ + 0.03 * $i + 0.0012347 } -33, 18;
	must($name, 'PATCH', '/v1/me', { display_name => "nm$name$mark", about => "I am ab$name$mark.", birth_date => $born, tags => ["tg$name$mark", 'matrix'] });
	must($name, 'PUT', '/v1/me/place', { latitude => $place[0] + 0, longitude => $place[1] + 0 });
	must($name, 'PUT', '/v1/me/preferences/date', { enabled => JSON::PP::true, age => $accepts{$name}, max_distance_km => 500 });
	my $me = must($name, 'GET', '/v1/me');
	sql("SELECT rapport.set_role_for($person->{id}, '$name')") if $name =~ /^(?:moderator|admin)$/;
	my ($session) = @{ must($name, 'GET', '/v1/sessions')->{items} };
	my @secrets = ($person->{password}, $person->{token}, $person->{refresh_token},
		split /\n/, sql("SELECT password_hash FROM rapport.credential WHERE person_id = $person->{id}
			UNION ALL SELECT encode(refresh_key, 'hex') FROM rapport.session WHERE person_id = $person->{id}"));
	my $in = sign_in($name, "ua$name$mark");
	$person->{token} = $in->{access_token};
	$person->{session} = $session->{session_id};
	$marker{$name} = {
		I => ["\\b$person->{id}\\b"], S => ["\\b$person->{session}\\b"],
		N => ["nm$name$mark"], A => ["ab$name$mark"], T => ["tg$name$mark"], M => ["ms$name$mark"], U => ["ua$name$mark"],
		E => [quotemeta $person->{email}], B => [$born],
		P => [map { quotemeta substr $_, 0, 8 } $me->{latitude}, $me->{longitude}],
		# What no answer may hold: secrets, and where somebody really is.
		K => [map { quotemeta } @secrets, $in->{access_token}, $in->{refresh_token}], X => [map { quotemeta } @place],
	};
}

for my $name (qw(match blocked blocker unmatched)) {
	must($name, 'POST', "/v1/people/$who{owner}{id}/like");
	my $id = must('owner', 'POST', "/v1/people/$who{$name}{id}/like")->{conversation_id};
	must($name, 'POST', "/v1/conversations/$id/messages", { client_id => 'm1', body => "Hello, ms$name$mark." });
	must('owner', 'POST', "/v1/conversations/$id/messages", { client_id => 'm1', body => "Hello, msowner$mark." });
	$conversation{$name} = $id;
	$marker{$name}{C} = ["\\b$id\\b"];
}
must('admirer', 'POST', "/v1/people/$who{owner}{id}/like");
must('owner', 'PUT', "/v1/blocks/$who{blocked}{id}");
must('blocker', 'PUT', "/v1/blocks/$who{owner}{id}");
must('owner', 'DELETE', "/v1/matches/$who{unmatched}{id}");
must('paused', 'PATCH', '/v1/me', { paused => JSON::PP::true });
must('owner', 'GET', '/v1/discover?page_size=1');
sql("SELECT rapport.set_state_for($who{suspended}{id}, 'suspended')");
my $gone = sql('SELECT rapport.new_id()');
must('admin', 'PUT', '/v1/admin/scoring-profiles/matrix', { weights => { age => 2 }, offered => JSON::PP::true });
$who{erased} = person();
must('erased', 'POST', '/v1/account/erase', { password => $who{erased}{password} });

# Who asks, as which person and with which token. Whose token is over had been let in to everything.
my %actor = (map { $_ => { is => $_, token => $who{$_}{token} } } grep { !/^(?:admirer|paused)$/ } @cast);
$actor{anonymous} = { is => '' };
$actor{erased} = { is => 'erased', token => $who{erased}{token} };
$actor{expired} = { is => 'match', token => sql(<<"SQL") };
SELECT rapport.access_token(k.header, k.secret, s.person_id, s.session_id, 'user', rapport.now() - interval '1 day', 60)
FROM rapport.signing_key AS k, rapport.session AS s
WHERE s.person_id = $who{match}{id} AND k.retired_at IS NULL
ORDER BY k.created_at DESC
LIMIT 1
SQL
$actor{revoked} = { is => 'match', token => sign_in('match', 'gone')->{access_token} };
is(call('DELETE', '/v1/sessions/current', token => $actor{revoked}{token})->{status}, 204, 'a session is revoked');
is(call('GET', '/v1/me', token => $who{match}{token})->{status}, 200, 'the others of the same person go on');

# What happened to the tables since this moment, and the way back to it.

ask(<<'SQL');
SET client_min_messages = warning;
CREATE FUNCTION pg_temp.differing() RETURNS SETOF name LANGUAGE plpgsql AS $$
DECLARE
	tab name;
	differs boolean;
BEGIN
	FOR tab IN SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'rapport'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1 LOOP
		EXECUTE format('SELECT (SELECT count(*) FROM rapport.%1$I) <> (SELECT count(*) FROM pg_temp.%1$I)
			OR EXISTS (SELECT FROM rapport.%1$I AS x WHERE x.xmin::text::bigint > current_setting(''matrix.since'')::bigint)', tab) INTO differs;
		IF differs THEN
			RETURN NEXT tab;
		END IF;
	END LOOP;
END $$;
CREATE FUNCTION pg_temp.changes() RETURNS SETOF jsonb LANGUAGE plpgsql AS $$
DECLARE
	tab name;
BEGIN
	FOR tab IN SELECT * FROM pg_temp.differing() LOOP
		RETURN QUERY EXECUTE format('SELECT jsonb_build_object(''tab'', %1$L, ''row'', to_jsonb(x)) FROM rapport.%1$I AS x
			WHERE NOT EXISTS (SELECT FROM pg_temp.%1$I AS k WHERE k::text = x::text)
			UNION ALL SELECT jsonb_build_object(''tab'', %1$L, ''row'', to_jsonb(k)) FROM pg_temp.%1$I AS k
			WHERE NOT EXISTS (SELECT FROM rapport.%1$I AS x WHERE k::text = x::text)', tab);
	END LOOP;
END $$;
-- Rows that are written later are looked at: by transaction, as there are many.
CREATE FUNCTION pg_temp.note() RETURNS void LANGUAGE sql AS $$ SELECT set_config('matrix.since', pg_current_xact_id()::text, false) $$;
CREATE FUNCTION pg_temp.go_back() RETURNS void LANGUAGE plpgsql SET session_replication_role = replica AS $$
DECLARE
	tab name;
BEGIN
	FOR tab IN SELECT * FROM pg_temp.differing() LOOP
		EXECUTE format('DELETE FROM rapport.%1$I AS x WHERE NOT EXISTS (SELECT FROM pg_temp.%1$I AS k WHERE k::text = x::text)', tab);
		EXECUTE format('INSERT INTO rapport.%1$I SELECT * FROM pg_temp.%1$I AS k
			WHERE NOT EXISTS (SELECT FROM rapport.%1$I AS x WHERE k::text = x::text)', tab);
	END LOOP;
	PERFORM pg_temp.note();
END $$;
DO $$
DECLARE
	tab name;
BEGIN
	FOR tab IN SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'rapport'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition LOOP
		EXECUTE format('CREATE TEMP TABLE %1$I AS SELECT * FROM rapport.%1$I', tab);
	END LOOP;
	PERFORM pg_temp.note();
END $$
SQL

# The rows that differ now, as table or table:who; then they are as they were.
sub changes {
	my ($me) = @_;
	my %name = map { $who{$_}{id} => $_ eq $me ? 'me' : $_ } keys %who;
	my @rows = map { JSON::PP::decode_json($_) } split /\n/, ask('SELECT * FROM pg_temp.changes()');
	ask(@rows ? 'SELECT pg_temp.go_back()' : 'SELECT pg_temp.note()');
	return sort(uniq(map { $_->{tab} . (defined $_->{row}{person_id} ? ':' . ($name{ $_->{row}{person_id} } // 'new') : '') } @rows));
}

# The facts in an answer, as who:FACTS.
sub told {
	my ($answer, $me) = @_;
	my $text = join "\n", $answer->{body} // '', $json->encode($answer->{json}), map { "$_: $answer->{headers}{$_}" } sort keys %{ $answer->{headers} };
	my @told;
	for my $name (sort { ($b eq $me) <=> ($a eq $me) || $a cmp $b } keys %marker) {
		my $facts = join '', grep { my $kind = $_; grep { $text =~ /$_/i } @{ $marker{$name}{$kind} } } split //, 'INATMEBPUSCKX';
		push @told, ($name eq $me ? 'me' : $name) . ":$facts" if $facts;
	}
	return @told;
}

sub none {
	my ($title, @problems) = @_;
	ok(!@problems, $title) or diag join "\n", @problems;
}

# The table

my (@actors, @lines);
open my $table, '<', 'test/api/matrix.tsv' or die "matrix.tsv: $!";
while (my $line = <$table>) {
	chomp $line;
	next if $line =~ /^#|^$/;
	my @cells = split /\t/, $line, -1;
	if (!@actors) {
		@actors = @cells[6 .. $#cells];
		next;
	}
	push @lines, line(@cells);
}

sub line {
	my ($method, $path, $about, $with, $takes, $changes, @cells) = @_;
	die "$method $path $about: " . @cells . ' cells' if @cells != @actors;
	return { method => $method, path => $path, about => $about, with => $with, takes => [split / /, $takes],
		changes => [split / /, $changes], cells => { map { $actors[$_] => $cells[$_] } 0 .. $#cells } };
}

# Like call(), but in one write: thousands of requests with a body would each wait
# for the delayed acknowledgement of their head.
my $socket;
sub call_at_once {
	my ($method, $path, %with) = @_;
	my $request = join "\r\n", "$method $path HTTP/1.1", 'Host: localhost', defined $with{token} ? "Authorization: Bearer $with{token}" : (),
		defined $with{body} ? ('Content-Type: application/json', 'Content-Length: ' . length $with{body}) : (), '', $with{body} // '';
	for (1 .. 2) {
		$socket //= raw_socket();
		print $socket $request;
		my $answer = read_answer($socket, seconds => 20);
		undef $socket if $answer->{closed} || $answer->{head} =~ /^Connection: close/mi;
		return $answer if $answer->{status};
	}
	die "$method $path: no answer";
}

# Sends a line's request as one of the actors; with gone, about ids that nobody has.
sub request {
	my ($line, $name, %with) = @_;
	my ($me, $about) = ($actor{$name}{is}, $line->{about});
	my %value = (person_id => $who{$about}{id}, session_id => $who{$about}{session}, mode => 'date', name => 'matrix', seq => 2,
		# The owner's with the other, if they ever had one.
		conversation_id => $conversation{ $about eq 'owner' ? $me : $about } // $conversation{match});
	$value{"${_}_id"} = $gone for $with{gone} ? qw(person session conversation) : ();
	$value{$_} = $who{$about}{$_} for qw(email password refresh_token);
	my ($path, $body) = ($line->{path}, $with{body} // $line->{with});
	s/\{([a-z_]+)\}/$value{$1} \/\/ "{$1}"/ge for $path, $body;
	if ($body =~ /^\?/) { $path .= $body; $body = ''; }
	$path .= ($path =~ /\?/ ? '&' : '?') . $with{query} if defined $with{query};
	return ($with{headers} || !$with{at_once} ? \&call : \&call_at_once)->($line->{method}, $path, token => $actor{$name}{token}, $body ne '' ? (body => $body) : (),
		$with{headers} ? (headers => $with{headers}) : ());
}

# Of a problem, all but what differs between any two.
sub shown {
	my ($answer) = @_;
	my %json = %{ $answer->{json} // {} };
	delete $json{request_id};
	my %headers = %{ $answer->{headers} };
	delete @headers{qw(date x-request-id)};
	return $json->encode(["$answer->{status}", \%json, \%headers]);
}

# What is wrong with a line; nothing if all is as it says.
sub line_problems {
	my ($line) = @_;
	my (@problems, %changed);
	for my $name (@actors) {
		my $me = $actor{$name}{is};
		my $answer = request($line, $name);
		my @changed = changes($me);
		my $got = join ' ', answer_code($answer), told($answer, $me);
		push @problems, "$name: $got, not $line->{cells}{$name}" if $got ne $line->{cells}{$name};
		if ($answer->{status} >= 400) {
			push @problems, "$name: refused, and changed @changed" if @changed;
		} else {
			$changed{$_} = 1 for @changed;
		}
		if ($answer->{status} == 404) {
			my $unknown = request($line, $name, gone => 1);
			push @problems, "$name: not the answer for an id that nobody has: " . shown($answer) . ', ' . shown($unknown)
				if shown($answer) ne shown($unknown);
		}
		push @problems, "$name: 403 tells that it is there" if $answer->{status} == 403 && $line->{path} =~ /_id\}/ && $name ne 'suspended';
	}
	my $changed = join ' ', sort keys %changed;
	push @problems, "changes $changed, not @{ $line->{changes} }" if $changed ne join ' ', sort @{ $line->{changes} };
	return @problems;
}

# Routes without a line about the owner, lines without a route, and parameters that are not those of the table.
sub table_problems {
	my @lines = @_;
	my %line = map { ("$_->{method} $_->{path}" => $_) } grep { $_->{about} eq 'owner' } @lines;
	my (%route, @problems);
	for my $row (split /\n/, ask("SELECT jsonb_build_array(r.method || ' ' || r.path, r.params) FROM rapport.routes() AS r")) {
		my ($route, $params) = @{ JSON::PP::decode_json($row) };
		$route{$route} = 1;
		my $line = $line{$route};
		if (!$line) {
			push @problems, "$route: not in the table";
			next;
		}
		# The keys of a whole body are not in the catalogue: they are tried, see offer_problems().
		my @whole = grep { $_->{in} eq 'whole' } @$params;
		my $names = join ' ', map { $_->{name} } grep { $_->{in} ne 'path' } @$params;
		push @problems, "$route: takes $names" if !@whole && $names ne "@{ $line->{takes} }";
		$line->{whole} = @whole > 0;
	}
	push @problems, map { "$_->{method} $_->{path}: no such route" } grep { !$route{"$_->{method} $_->{path}"} } @lines;
	return @problems;
}

none('every route is in the table, and every line is a route', table_problems(@lines));
is("@{[sort @actors]}", "@{[sort keys %actor]}", 'everyone asks');
is(join(' ', changes('')), '', 'nothing has happened yet');
for my $line (@lines) {
	none("$line->{method} $line->{path}, about $line->{about}: as the table says", line_problems($line));
}

# Offers

# Every column, with a value of its type, and what else somebody might try.
my %offer = map { split /\t/ } split /\n/, ask(<<"SQL");
SELECT a.attname || E'\\t' || min(CASE
	WHEN a.attname = 'role' THEN '"admin"'
	WHEN a.attname = 'state' THEN '"active"'
	WHEN t.typcategory = 'N' AND a.attname LIKE '%id' THEN '$who{owner}{id}'
	WHEN t.typcategory = 'N' THEN '1'
	WHEN t.typcategory = 'B' THEN 'true'
	WHEN t.typcategory = 'A' THEN '[]'
	WHEN t.typname = 'jsonb' THEN '{}'
	WHEN t.typcategory = 'D' THEN '"2030-01-01"'
	ELSE '"x"' END)
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
JOIN pg_type AS t ON t.oid = a.atttypid
WHERE c.relnamespace = 'rapport'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
GROUP BY a.attname
SQL
cmp_ok(scalar keys %offer, '>', 90, 'the columns were read');
$offer{$_} //= $who{owner}{id} for qw(id sub user_id actor_id acting_person current_person me as person owner rapport.person person_id[] Person_id PERSON_ID);
$offer{$_} //= '"admin"' for qw(verified_role roles rapport.verified_role refusal);
$offer{$_} //= 'true' for qw(admin is_admin moderator matched super force verified);
$offer{$_} //= '1' for qw(desirability selectivity price quality score session sid current_session rapport.session request limit offset);
$offer{$_} //= '"x"' for qw(cursor next_cursor statement token access_token __proto__ constructor);
# Those that are tried inside other fields too.
my @deep = grep { exists $offer{$_} } qw(person_id sender_id role state seq created_at external_id session paused quality mode key __proto__);
my $asks = 'match';
my $offers = 0;

# What is wrong with how a route takes fields that are not its own.
sub offer_problems {
	my ($line) = @_;
	my %takes = map { $_ => 1 } @{ $line->{takes} };
	my @problems;
	my $in_query = $line->{method} =~ /^(?:GET|DELETE)$/;
	my $object = $line->{with} =~ /^\{/ ? $line->{with} : '{}';
	my $try = sub {
		my ($what, $expected, %with) = @_;
		my $code = answer_code(request($line, $asks, %with, at_once => 1));
		push @problems, "$what: $code" if $code !~ /^(?:$expected)$/;
		$offers++;
	};
	for my $field (sort keys %offer) {
		(my $value = $offer{$field}) =~ s/"//g;
		$try->("query $field", '422 unknown_field', query => "$field=$value") if !($in_query && $takes{$field});
		next if $line->{method} eq 'GET' || !$in_query && $takes{$field};
		(my $body = $object) =~ s/\}$/($object eq '{}' ? '' : ',') . "\"$field\":$offer{$field}}"/e;
		$try->("body $field", '422 unknown_field', body => $body);
	}
	$try->('any body', '400 bad_request', body => "{\"person_id\":$who{owner}{id}}") if $line->{method} eq 'GET';
	push @problems, map { "refused, and changed $_" } changes($actor{$asks}{is});
	if ($line->{whole}) {
		for my $key (@{ $line->{takes} }) {
			my $code = answer_code(request($line, $asks, body => "{\"$key\":null}"));
			push @problems, "$key is not one of its keys" if $code eq '422 unknown_field';
			push @problems, map { "$key: null changes $_" } grep { !/:me$/ } changes($actor{$asks}{is});
			$try->("$_ in $key", '422 .*', body => "{\"$key\":{\"$_\":$offer{$_}}}") for @deep;
		}
		push @problems, map { "refused, and changed $_" } changes($actor{$asks}{is});
	}
	# Headers are not fields.
	my @before = (answer_code(request($line, $asks)), changes($actor{$asks}{is}));
	my @after = (answer_code(request($line, $asks, headers => {
		(map { $_ => $who{owner}{id} } qw(X-Person-Id X-User-Id X-Rapport-Person X-Forwarded-User Rapport-Person)),
		'X-Role' => 'admin', 'X-HTTP-Method-Override' => 'DELETE', 'X-Original-URL' => '/v1/sessions/current',
		'X-Rewrite-URL' => '/v1/sessions/current', Cookie => "person_id=$who{owner}{id}; role=admin" })), changes($actor{$asks}{is}));
	push @problems, "with headers: @after, not @before" if "@after" ne "@before";
	return @problems;
}

for my $line (grep { $_->{about} eq 'owner' } @lines) {
	none("$line->{method} $line->{path}: takes its own fields and no others", offer_problems($line));
}
cmp_ok($offers, '>', 4000, 'offers were made');

# What belongs to one person is nothing in the hands of another.

subtest 'cursors and keys of others' => sub {
	# Somebody who has two of everything: the admirer becomes a match as well.
	for my $name (qw(admirer fits)) {
		must($name, 'POST', "/v1/people/$who{owner}{id}/like");
		must('owner', 'POST', "/v1/people/$who{$name}{id}/like") if $name eq 'admirer';
	}
	for my $path (qw(/v1/discover /v1/likes /v1/matches)) {
		my $cursor = must('owner', 'GET', "$path?page_size=1")->{next_cursor};
		SKIP: {
			skip "$path: one page", 1 if !defined $cursor;
			is(answer_code(call('GET', "$path?after=$cursor", token => $who{match}{token})), '422 invalid_cursor', "$path: a cursor of somebody else");
		}
	}
	for my $path (qw(/v1/conversations /v1/blocks)) {
		my $cursor = must('owner', 'GET', "$path?page_size=1")->{next_cursor};
		ok(defined $cursor, "$path: a cursor");
		my $answer = call('GET', "$path?after=$cursor", token => $who{fits}{token});
		is_deeply($answer->{json}{items}, [], "$path: a cursor of somebody else brings nothing of theirs");
	}
	changes('');
	my %key = (headers => { 'Idempotency-Key' => "matrix-$mark" });
	my $path = "/v1/people/$who{owner}{id}/like";
	my $first = call('POST', $path, token => $who{match}{token}, %key);
	ok($first->{json}{matched}, 'an answer is kept for a key');
	my $second = call('POST', $path, token => $who{fits}{token}, %key);
	ok($second->{status} == 200 && !$second->{json}{matched}, 'somebody else with the same key gets one of their own');
	is(answer_code(call('POST', $path, token => $who{blocked}{token}, %key)), '404 not_found', 'or none');
	is(answer_code(call('POST', $path, %key)), '401 authentication_required', 'and nobody gets none');
	changes('');
};

subtest 'a block does not tell who is there' => sub {
	for my $method (qw(PUT DELETE)) {
		my @answers = map { shown(call($method, "/v1/blocks/$_", token => $who{fits}{token})) } $who{owner}{id}, $who{erased}{id}, $gone, 1;
		is(join("\n", uniq @answers), $answers[0], "$method: the same for somebody, somebody erased and nobody");
	}
	is(join(' ', changes('fits')), 'stale_list:me', 'and nothing is left of it, but that one has blocked and unblocked somebody: other devices read the list');
};

subtest 'what is no route' => sub {
	for my $path (qw(/openapi.json /health/live /health/ready /v1 /v1/nothing)) {
		for my $name (@actors) {
			is(join(' ', told(call('GET', $path, token => $actor{$name}{token}), $actor{$name}{is})), '', "GET $path as $name tells nothing");
		}
	}
	is(join(' ', changes('')), '', 'nor changes anything');
};

# The checks, checked: what is planted here is found, and removed.

sub remove_planted {
	sql("SET client_min_messages = warning; DELETE FROM rapport.route WHERE path LIKE '/v1/planted/%'; DROP SCHEMA IF EXISTS planted CASCADE");
}
my $planter = $$;
END { local $?; remove_planted() if $planter && $$ == $planter }

sub reload {
	my ($path, $status) = @_;
	kill 'HUP', $ENV{RAPPORTD_PID};
	return wait_until(sub { call('PATCH', $path)->{status} == $status });
}

subtest 'what is planted is found' => sub {
	plan skip_all => 'the rapportd is not ours' if !$ENV{RAPPORTD_PID};
	sql(<<'SQL');
CREATE SCHEMA planted;
GRANT USAGE ON SCHEMA planted TO rapport_user, rapport_api;
CREATE FUNCTION planted.anyone(person_id bigint) RETURNS jsonb LANGUAGE plpgsql STABLE SECURITY DEFINER AS
$$ BEGIN RETURN (SELECT to_jsonb(p) FROM rapport.profile AS p WHERE p.person_id = anyone.person_id); END $$;
CREATE FUNCTION planted.whether(person_id bigint) RETURNS jsonb LANGUAGE plpgsql STABLE SECURITY DEFINER AS
$$ BEGIN PERFORM rapport.fail('not_found', CASE WHEN EXISTS (SELECT FROM rapport.person AS p WHERE p.person_id = whether.person_id) THEN 'Blocked.' END); END $$;
CREATE FUNCTION planted.become(body jsonb) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS
$$ BEGIN
	UPDATE rapport.person AS p SET role = body ->> 'role' WHERE body ? 'role' AND p.person_id = rapport.current_person();
	UPDATE rapport.profile AS p SET paused = true WHERE body ? 'paused' AND p.person_id = (body ->> 'person_id')::bigint;
	IF NOT body ? 'role' AND NOT body ? 'person_id' THEN PERFORM rapport.fail('unknown_field'); END IF;
END $$;
SELECT rapport.add_route('GET', '/v1/planted/{person_id}', 'planted.anyone');
SELECT rapport.add_route('GET', '/v1/planted/{person_id}/whether', 'planted.whether');
SELECT rapport.add_route('POST', '/v1/planted/become', 'planted.become');
SQL
	ask('INSERT INTO pg_temp.route SELECT r.* FROM rapport.route AS r WHERE NOT r.builtin EXCEPT SELECT k.* FROM pg_temp.route AS k');
	ok(reload('/v1/planted/become', 405), 'rapportd serves them');
	is_deeply([grep { /planted/ } table_problems(@lines)],
		[map { "$_: not in the table" } 'POST /v1/planted/become', 'GET /v1/planted/{person_id}', 'GET /v1/planted/{person_id}/whether'], 'routes without a line');
	my %over = (anonymous => '401 authentication_required', suspended => '403 suspended', expired => '401 expired_token',
		map { $_ => '401 invalid_token' } qw(revoked erased));
	my @planted = map { my ($method, $path, $with, $takes, $cell) = @$_; line($method, $path, 'owner', $with, $takes, '', map { $over{$_} // $cell } @actors) }
		['GET', '/v1/planted/{person_id}', '', '', '200'],
		['GET', '/v1/planted/{person_id}/whether', '', '', '404 not_found'],
		['POST', '/v1/planted/become', '{}', '', '422 unknown_field'];
	none('with lines they are complete', table_problems(@lines, @planted));
	my @leaks = line_problems($planted[0]);
	is(scalar @leaks, @actors - keys %over, 'a profile leaks, to everyone who is let in');
	like($_, qr/: 200 (?:me|owner):INATBP*, not 200$/, 'this is what') for @leaks;
	is((grep { /not the answer for an id that nobody has/ } line_problems($planted[1])), @actors - keys %over, 'a 404 that tells that somebody is there');
	none('what is not offered does no harm', line_problems($planted[2]));
	my @offers = offer_problems($planted[2]);
	ok((grep { $_ eq 'body role: 204' } @offers), 'a role is taken');
	ok((grep { $_ eq 'refused, and changed person:me' } @offers), 'and made');
	is(sql("SELECT role FROM rapport.person WHERE person_id = $who{match}{id}"), 'user', 'and unmade here');
	remove_planted();
	ask('DELETE FROM pg_temp.route WHERE NOT builtin AND path LIKE \'/v1/planted/%\'');
	ok(reload('/v1/planted/become', 404), 'rapportd serves them no more');
	none('they are gone', table_problems(@lines));
	is_deeply([table_problems(@lines, $planted[0])], ['GET /v1/planted/{person_id}: no such route'], 'a line without a route');
};

subtest 'the log tells nothing about anyone' => sub {
	plan skip_all => 'the log is not ours' if !$ENV{RAPPORT_LOG};
	open my $log, '<', $ENV{RAPPORT_LOG} or die "log: $!";
	my @facts = map { my $name = $_; map { @{ $marker{$name}{$_} } } grep { exists $marker{$name}{$_} } split //, 'NATMEPUKX' } sort keys %marker;
	my $facts = join '|', @facts;
	my @lines = grep { /$facts/ } <$log>;
	is(scalar @lines, 0, 'no name, text, address, place or secret') or diag $lines[0];
};

is(join(' ', changes('')), '', 'all is as it was');
done_testing;
