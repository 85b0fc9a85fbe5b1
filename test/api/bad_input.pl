# Bad input: every line of bad_input.tsv is sent as it stands; the answer has
# the status and the code, and no row of any table has changed.
use strict;
use warnings;
use utf8;
use Digest::SHA 'hmac_sha256';
use Encode 'encode';
use JSON::PP ();
use MIME::Base64 'encode_base64url', 'decode_base64url';
use POSIX 'strftime';
use Test::More;
use RapportApi;

my $me = with_profile('Me', 48.8566, 2.3522);
my $other = with_profile('Other', 48.86, 2.35);
my $third = with_profile('Third', 48.85, 2.36);
my ($blocked, $blocker, $hidden) = map { with_profile($_, 48.86, 2.34) } 'Blocked', 'Blocker', 'Hidden';
my ($barred, $ended, $flooded) = map { with_profile($_, 48.86, 2.33) } 'Barred', 'Ended', 'Flooded';
my $newcomer = person();

# Does what must work; the answer's JSON.
sub must {
	my ($who, $method, $path, $body) = @_;
	my $answer = call($method, $path, token => $who->{token}, $body ? (body => $body) : ());
	die "$method $path: $answer->{status} $answer->{body}" if $answer->{status} >= 300;
	return $answer->{json};
}

sub matched {
	my ($one, $two) = @_;
	must($one, 'POST', "/v1/people/$two->{id}/like");
	return must($two, 'POST', "/v1/people/$one->{id}/like")->{conversation_id};
}

# An attribute of each kind, unless the population has brought them.
sql(q{SELECT rapport.define_attribute('pet', 'choice', ARRAY['cat', 'dog', 'none'])
	WHERE NOT EXISTS (SELECT FROM rapport.attribute WHERE code = 'pet')});
sql(q{SELECT rapport.define_attribute('height', 'number', minimum => 120, maximum => 230)
	WHERE NOT EXISTS (SELECT FROM rapport.attribute WHERE code = 'height')});
must($me, 'PUT', "/v1/blocks/$blocked->{id}");
must($blocker, 'PUT', "/v1/blocks/$me->{id}");
must($hidden, 'PATCH', '/v1/me', { paused => JSON::PP::true });
my %id = (
	me => $me->{id}, other => $other->{id}, blocked => $blocked->{id}, blocker => $blocker->{id}, hidden => $hidden->{id},
	email => $me->{email}, gone => sql('SELECT rapport.new_id()'),
	third => $third->{id}, conversation => matched($me, $third), theirs => matched($other, $third));
must($me, 'POST', "/v1/conversations/$id{conversation}/messages", { client_id => 'used', body => 'first' });
must($third, 'POST', "/v1/conversations/$id{conversation}/messages", { client_id => 'used', body => 'second' });

# Conversations that are no more, with something said, and one in which much was said just now.
@id{qw(barred ended flooded)} = map { matched($me, $_) } $barred, $ended, $flooded;
must($me, 'POST', "/v1/conversations/$id{$_}/messages", { client_id => 'used', body => 'first' }) for qw(barred ended flooded);
must($barred, 'PUT', "/v1/blocks/$me->{id}");
must($ended, 'DELETE', "/v1/matches/$me->{id}");
$id{left} = must($me, 'POST', '/v1/groups', { title => 'Left' })->{conversation_id};
must($me, 'POST', "/v1/conversations/$id{left}/messages", { client_id => 'used', body => 'first' });
must($me, 'POST', "/v1/conversations/$id{left}/leave");
sql("UPDATE rapport.member SET burst_at = rapport.now() + interval '1 hour', burst = 1000 WHERE conversation_id = $id{flooded}");

# Tokens

my ($header, $payload, $signature) = split /\./, $me->{token};
my ($kid) = decode_base64url($header) =~ /"kid":"([^"]*)"/;
my $secret = pack 'H*', sql("SELECT encode(secret, 'hex') FROM rapport.signing_key WHERE kid = '$kid'");

# A token of these parts, signed with the key of the database.
sub signed {
	my ($head, $claims) = map { encode_base64url($_) } @_;
	return "$head.$claims." . encode_base64url(hmac_sha256("$head.$claims", $secret));
}

# The claims of our own token, with some changed.
sub claims {
	my ($change) = @_;
	local $_ = decode_base64url($payload);
	$change->();
	return $_;
}

my $head = decode_base64url($header);
(my $none = $head) =~ s/"alg":"[^"]*"/"alg":"none"/;
(my $unknown = $head) =~ s/"kid":"[^"]*"/"kid":"0000000000000000"/;
is(call('GET', '/v1/account', token => signed($head, decode_base64url($payload)))->{status}, 200, 'a token signed here is as good as one from sign-in');
my $revoked = person();
must($revoked, 'DELETE', '/v1/sessions/current');
my %token = (
	user => $me->{token}, newcomer => $newcomer->{token}, none => undef, empty => '', garbage => 'abc',
	'forged payload' => join('.', $header, encode_base64url(claims(sub { s/"role":"user"/"role":"admin"/ })), $signature),
	'forged signature' => "$header.$payload." . encode_base64url('x' x 32),
	'alg none' => encode_base64url($none) . ".$payload.",
	'alg none signed' => signed($none, decode_base64url($payload)),
	'unknown key' => signed($unknown, decode_base64url($payload)),
	unsigned => "$header.$payload.",
	expired => signed($head, claims(sub { s/"iat":(\d+)/'"iat":' . ($1 - 100000)/e; s/"exp":(\d+)/'"exp":' . ($1 - 100000)/e })),
	revoked => $revoked->{token},
	"other's session" => signed($head, claims(sub { s/"sub":"?\d+"?/"sub":"$other->{id}"/ })),
	huge => 'a' x 5000,
);

# The table

sub filled {
	my ($text) = @_;
	$text = encode('UTF-8', $text);
	$text =~ s/\@at\@/\x00/g;
	$text =~ s/\{([a-z]+)\}/$id{$1} \/\/ "{$1}"/ge;
	$text =~ s/\@hex:([0-9a-f]+)\@/pack 'H*', $1/ge;
	$text =~ s/\@years:(\d+)(?:\+(\d+))?\@/years_ago($1, $2 \/\/ 0)/ge;
	$text =~ s/\@([^@*]+)\*(\d+)\@/my ($x, $n) = ($1, $2); join '', map { my $y = $x; $y =~ s{#}{$_}; $y } 1 .. $n/ge;
	$text =~ s/\x00/@/g;
	return $text;
}

sub years_ago {
	my ($years, $days) = @_;
	my @day = gmtime(time + $days * 86400);
	return strftime('%Y-%m-%d', 0, 0, 0, $day[3], $day[4], $day[5] - $years);
}

my $before = state_of_tables();
my ($lines, $section) = (0, '');
open my $table, '<:encoding(UTF-8)', 'test/api/bad_input.tsv' or die "bad_input.tsv: $!";
while (my $line = <$table>) {
	chomp $line;
	next if $line =~ /^#/;
	my ($title, $method, $path, $token, $body, $status, $code) = split /\t/, $line, -1;
	die "line $.: token $token" if !exists $token{$token} && $token ne 'basic';
	my %with = $token eq 'basic' ? (headers => { Authorization => 'Basic YTpi' }) : (token => $token{$token});
	$with{body} = filled($body) if $body ne '';
	my $got = answer_code(call($method, filled($path), %with));
	is($got, $code eq '-' ? $status : "$status $code", $title);
	my $after = state_of_tables();
	if ($after ne $before) {
		fail("$title: rows changed");
		diag join "\n", map { "now: $_" } grep { index($before, $_) < 0 } split /\n/, $after;
		$before = $after;
	}
	$lines++;
}
cmp_ok($lines, '>', 100, 'the table was read');
is(state_of_tables(), $before, 'no row has changed');
done_testing;
