# The story of the demo: two people, over REST, from sign-up to a block; then
# the plan, the same question put to PostGIS, and what to try next.
#
# RAPPORT_URL: the server; DEMO, DATABASE, CLUSTER: the demo's directory and
# database and the script test/cluster. Every request goes out through curl.
use strict;
use warnings;
use utf8;
use JSON::PP;

binmode STDOUT, ':encoding(UTF-8)';
$| = 1;

my ($url, $demo, $database, $cluster) = @ENV{qw(RAPPORT_URL DEMO DATABASE CLUSTER)};
my $json = JSON::PP->new->canonical;
my $run = sprintf '%x', time;
my ($bold, $dim, $green, $yellow, $plain) = -t STDOUT ? map { "\e[${_}m" } 1, 2, 32, 33, 0 : ('') x 5;

sub step { print "\n$bold@_$plain\n" }

sub say_line {
	(my $line = "  @_") =~ s/ +$//;
	print "$line\n";
}

# Cells a text takes on a terminal: wide characters two, marks and joiners none.
sub width {
	my $cells = 0;
	# A joined or modified emoji is one picture.
	for my $cluster ($_[0] =~ /\X/g) {
		my ($first) = $cluster =~ /([^\p{Mn}\p{Cf}])/ or next;
		$cells += $first =~ /[\p{East_Asian_Width=Wide}\p{East_Asian_Width=Fullwidth}]/ || $cluster =~ /\x{FE0F}|\p{Regional_Indicator}/ ? 2 : 1;
	}
	return $cells;
}

# The text in that many cells: cut or filled, and kept from turning its
# neighbours around when it runs from right to left.
sub cell {
	my ($text, $cells, $right) = @_;
	$text =~ s/\s+/ /g;
	if (width($text) > $cells) {
		my $kept = '';
		for my $cluster ($text =~ /\X/g) {
			last if width($kept . $cluster) > $cells - 1;
			$kept .= $cluster;
		}
		$text = "$kept…";
	}
	my $fill = ' ' x ($cells - width($text));
	$text = "\x{2068}$text\x{2069}" if $text =~ /[\p{Bidi_Class=R}\p{Bidi_Class=AL}]/;
	return $right ? "$fill$text" : "$text$fill";
}

sub table {
	my ($columns, @rows) = @_;
	my @widths = map { $_->[1] } @$columns;
	my $line = sub {
		my @cells = map { $_ // '' } @_;
		say_line(join '  ', map { cell($cells[$_], $widths[$_], $columns->[$_][2]) } 0 .. $#cells);
	};
	print $dim;
	$line->(map { $_->[0] } @$columns);
	print $plain;
	$line->(@$_) for @rows;
}

# One request through curl: the status and the decoded body. It is shown unless
# it is quiet; a status other than the one expected ends the demo.
sub request {
	my ($method, $path, %with) = @_;
	my $expected = $with{status} // qr/^2/;
	my @command = ('curl', '-sS', '-X', $method, '-w', '\n%{http_code}', '-H', 'Accept: application/json');
	push @command, '-H', "Authorization: Bearer $with{as}{token}" if $with{as};
	push @command, '-H', 'Content-Type: application/json', '--data-binary', $json->encode($with{body}) if $with{body};
	if ($with{body}) { utf8::encode($command[-1]) }
	open my $curl, '-|', @command, "$url$path" or die "curl: $!\n";
	binmode $curl, ':encoding(UTF-8)';
	my $answer = do { local $/; <$curl> };
	close $curl or die "curl failed on $method $path\n";
	$answer =~ s/\n(\d{3})\z// or die "curl gave no status for $method $path\n";
	my ($status, $body) = ($1, length $answer ? $json->decode($answer) : undef);
	unless ($with{quiet}) {
		my $sent = $with{body} ? $json->encode({ map { $_ => /password/ ? '…' : $with{body}{$_} } keys %{ $with{body} } }) : '';
		say_line(cell(($with{as} ? "$with{as}{name}: " : '') . "$method $path $sent", 105), ($status =~ /^2/ ? $green : $yellow) . "$status$plain"
			. ($status =~ /^2/ ? '' : " $body->{code}"));
	}
	$status =~ $expected or die "$method $path answered $status: $answer\n";
	return $body;
}

sub psql {
	my (@arguments) = @_;
	local $ENV{PGDATABASE} = $database;
	open my $psql, '-|', $cluster, 'psql', $demo, '-X', '-q', '-v', 'ON_ERROR_STOP=1', @arguments or die "psql: $!\n";
	binmode $psql, ':encoding(UTF-8)';
	my @lines = <$psql>;
	close $psql or die "psql failed\n";
	chomp @lines;
	return @lines;
}

sub sign_in {
	my ($who, %with) = @_;
	my $session = request(POST => '/v1/sign-in', body => { email => $who->{email}, password => $who->{password} }, %with);
	@$who{qw(token person_id)} = @$session{qw(access_token person_id)};
}

# The two of an earlier run leave the stage.
if (open my $last, '<', "$demo/story.json") {
	for my $who (@{ $json->decode(join '', <$last>) }) {
		sign_in($who, quiet => 1);
		request(PATCH => '/v1/me', as => $who, body => { paused => JSON::PP::true }, quiet => 1);
	}
}

my $password = "correct horse $run";
my %amelie = (name => 'Amélie', email => "amelie.$run\@example.org", password => $password);
my %omar = (name => 'Omar', email => "omar.$run\@example.org", password => $password);
my ($year) = (gmtime)[5] + 1900;

step('4  Two people sign up');
for my $who (\%amelie, \%omar) {
	request(POST => '/v1/sign-up', body => { email => $who->{email}, password => $password });
	sign_in($who);
}
say_line('');
request(GET => '/v1/discover', as => \%amelie, status => qr/^422$/);
say_line('  (she has told nothing yet: nobody is matched without a profile)');
say_line('');
request(PATCH => '/v1/me', as => \%amelie, body => {
	display_name => 'Amélie 🌻', birth_date => ($year - 31) . '-03-14', about => 'Moved to London for the museums. Je parle trop.',
	tags => ['museums', 'baking', 'jazz', 'hiking', 'street food'],
	attributes => { gender => 'woman', smoking => 'never', relationship => 'long_term', wants_children => 'maybe', language => 'fr', height => 168 },
});
request(PUT => '/v1/me/place', as => \%amelie, body => { latitude => 51.5290, longitude => -0.1255 });
request(PUT => '/v1/me/preferences/date', as => \%amelie, body => {
	age => [27, 39], max_distance_km => 25,
	accepts => { gender => ['man', 'nonbinary'], smoking => ['never', undef], exercise => ['weekly', 'daily'] },
});
request(PATCH => '/v1/me', as => \%omar, body => {
	display_name => 'Omar عمر', birth_date => ($year - 33) . '-08-02', about => 'أحب الجاز والخبز الطازج. Trumpet, badly. 🎺',
	tags => ['jazz', 'baking', 'museums', 'football'],
	attributes => { gender => 'man', smoking => 'never', relationship => 'long_term', exercise => 'weekly', language => 'ar', height => 181 },
});
request(PUT => '/v1/me/place', as => \%omar, body => { latitude => 51.5402, longitude => -0.1430 });
request(PUT => '/v1/me/preferences/date', as => \%omar, body => {
	age => [26, 38], max_distance_km => 30, accepts => { gender => ['woman'] },
});

step('5  Amélie discovers: the best 20 of all who fit her and whom she fits');
my $found = request(GET => '/v1/discover?mode=date&page_size=20', as => \%amelie);
my @parts = ([distance => 'near'], [age => 'age'], [tags => 'tags'], [soft => 'wishes'], [recency => 'recent'], [quality => 'told']);
my $n = 0;
table(
	[['', 2, 1], ['who', 20], ['age', 3, 1], ['km', 5, 1], ['score', 5, 1], ['shared tags', 28], map { [$_->[1], 6, 1] } @parts],
	map {
		my $card = $_;
		[++$n, $card->{display_name}, $card->{age}, defined $card->{distance_km} ? "< $card->{distance_km}" : '',
			sprintf('%.2f', $card->{score}), join(', ', @{ $card->{shared_tags} }),
			map { defined $card->{why}{ $_->[0] } ? sprintf '%.0f %%', 100 * $card->{why}{ $_->[0] } : '' } @parts]
	} @{ $found->{items} });
say_line('(km: a step, never the distance itself; the last six columns say why: how near, of what age, how many tags,');
say_line(' how many of her soft wishes, how recently active, how much the profile tells)');

step('6  They like each other');
my $like = request(POST => "/v1/people/$omar{person_id}/like", as => \%amelie, body => {});
say_line('  ', $like->{matched} ? 'a match' : 'no match yet: he does not know');
my $his = request(GET => '/v1/discover?mode=date&page_size=20', as => \%omar);
my ($place) = grep { $his->{items}[$_]{person_id} == $amelie{person_id} } 0 .. $#{ $his->{items} };
say_line('  ', defined $place ? 'she is number ' . ($place + 1) . ' of his ' . @{ $his->{items} } : 'she is not among his best 20');
$like = request(POST => "/v1/people/$amelie{person_id}/like", as => \%omar, body => {});
$like->{matched} or die "two likes made no match\n";
my $matches = request(GET => '/v1/matches', as => \%amelie);
say_line('  ', "a match: conversation $like->{conversation_id}; her matches: " . @{ $matches->{items} });

step('7  They talk');
my $talk = "/v1/conversations/$like->{conversation_id}";
my $line = 0;
for my $said (
	[\%omar, 'Jazz and baking. Suspiciously good. Are you real? 🎺'],
	[\%amelie, 'Mostly. The croissants are.'],
	[\%omar, 'صباح الخير! Saturday, the V&A, then croissants?'],
	[\%amelie, 'Samedi, parfait 🥐'],
) {
	my ($who, $text) = @$said;
	request(POST => "$talk/messages", as => $who, body => { client_id => "$run-" . ++$line, body => $text });
}
request(POST => "$talk/messages", as => \%amelie, body => { client_id => "$run-$line", body => 'Samedi, parfait 🥐' });
say_line('  (the last one was sent twice by an anxious telephone: it is there once)');
my $inbox = request(GET => '/v1/conversations', as => \%omar);
say_line('  ', "unread for Omar: $inbox->{items}[0]{unread}");
my $history = request(GET => "$talk/messages", as => \%omar);
my %name = ($amelie{person_id} => 'Amélie', $omar{person_id} => 'Omar');
table([['seq', 4, 1], ['who', 7], ['text', 60]], map { [$_->{seq}, $name{ $_->{sender_id} }, $_->{body}] } @{ $history->{items} });

step('8  She blocks him: he is gone on the next request');
request(PUT => "/v1/blocks/$omar{person_id}", as => \%amelie);
$matches = request(GET => '/v1/matches', as => \%amelie);
my $conversations = request(GET => '/v1/conversations', as => \%omar);
say_line('  ', 'her matches: ' . @{ $matches->{items} } . ', his conversations: ' . @{ $conversations->{items} });
request(GET => "/v1/people/$amelie{person_id}", as => \%omar, status => qr/^404$/);
request(POST => "$talk/messages", as => \%omar, body => { client_id => "$run-late", body => 'Hello?' }, status => qr/^404$/);
my $again = request(GET => '/v1/discover?mode=date&page_size=100', as => \%omar);
say_line('  ', 'she is ' . ((grep { $_->{person_id} == $amelie{person_id} } @{ $again->{items} }) ? 'STILL' : 'not') . ' among the ' . @{ $again->{items} } . ' he is shown');
request(DELETE => "/v1/blocks/$omar{person_id}", as => \%amelie);
say_line('  (taken back, so that you can go on from here)');

step('9  How it was found');
print "  $_\n" for psql('-At', '-v', "viewer=$amelie{person_id}", '-f', "$demo/src/test/demo/plan.sql");
my %compared = map { split /=/, $_, 2 } psql('-At', '-v', "viewer=$amelie{person_id}", '-v', 'viewers=50', '-f', "$demo/src/test/bench/match_vs_postgis.sql");
printf "\n  same 20 people: %s   rapport %.1f ms   PostGIS %.1f ms   x%.0f\n", @compared{qw(same rapport_ms postgis_ms ratio)};
say_line("(mean of $compared{viewers} viewers, one of them Amélie; the query of PostGIS and its indexes are in test/bench/peers/postgis.sql)");

open my $story, '>:encoding(UTF-8)', "$demo/story.json" or die "$demo/story.json: $!\n";
print $story $json->encode([map { { email => $_->{email}, password => $_->{password} } } \%amelie, \%omar]);
close $story;

# psql in the demo starts as Amélie.
open my $rc, '>:encoding(UTF-8)', "$demo/psqlrc" or die "$demo/psqlrc: $!\n";
print $rc <<"RC";
\\set QUIET on
\\pset linestyle unicode
\\pset null '·'
SELECT rapport.act_as($amelie{person_id}) \\g /dev/null
\\set PROMPT1 'Amélie@%/=> '
\\echo 'You act as Amélie (person $amelie{person_id}). Try:'
\\echo '  SELECT display_name, age, distance_km, score, shared_tags FROM rapport.discover();'
\\echo '  SELECT * FROM rapport.matches();'
\\echo '  SELECT jsonb_pretty(rapport.explain_match($omar{person_id}));'
\\echo '  SELECT rapport.act_as($omar{person_id});   -- now you are Omar; act_as(NULL): nobody'
\\set QUIET off
RC
close $rc;
chmod 0644, "$demo/psqlrc";

step("Yours to try, as Amélie (the token lives for 15 minutes; the last line gets a new one)");
print <<"TRY";
  $url/openapi.json
  $url/health/ready

  TOKEN=$amelie{token}
  curl -s -H "Authorization: Bearer \$TOKEN" '$url/v1/discover?page_size=3' | json_pp
  curl -s -H "Authorization: Bearer \$TOKEN" $url/v1/people/$omar{person_id}/match | json_pp
  curl -s -H "Authorization: Bearer \$TOKEN" -X PATCH -H 'Content-Type: application/json' -d '{"about":"Hello"}' $url/v1/me
  curl -s '$url/v1/attributes?locale=ar' | json_pp
  curl -s -X POST -H 'Content-Type: application/json' -d '{"email":"$amelie{email}","password":"$password"}' $url/v1/sign-in
TRY
