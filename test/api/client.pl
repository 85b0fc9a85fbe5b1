# The client in TypeScript (api/client), as it is packed for npm, against
# rapportd: client.mjs is the test, which prints TAP; here it gets its people.
use strict;
use warnings;
use File::Copy;
use File::Temp;
use JSON::PP ();
use RapportApi;

my $dir = File::Temp->newdir;
my ($package) = do {
	system('make', '-s', 'client') == 0 or die 'the client was not made';
	glob 'api/client/*.tgz';
};
mkdir "$dir/node_modules" and mkdir "$dir/node_modules/rapport-client" or die $!;
system('tar', '-xzf', $package, '--strip-components=1', '-C', "$dir/node_modules/rapport-client") == 0 or die 'tar failed';
copy('test/api/client.mjs', $dir) or die $!;

# A match of two, with its conversation.
sub couple {
	my @people = map { with_profile($_, 51.5, -0.1) } @_;
	for my $i (0, 1) {
		my $answer = call('POST', "/v1/people/$people[1 - $i]{id}/like", token => $people[$i]{token});
		die 'like: ' . answer_code($answer) if $answer->{status} >= 300;
	}
	my $match = call('GET', '/v1/matches', token => $people[0]{token})->{json}{items}[0];
	return $match->{conversation_id}, @people;
}

sql(q{SELECT rapport.set_setting('messages_per_minute', '1000'), rapport.set_setting('move_max_kmh', NULL)});
my ($conversation, $ada, $grace) = couple('Ada', 'Grace');
my ($stranger) = couple('Eve', 'Mallory');
my $joan = with_profile('Joan', 51.5, -0.1);
my $expired = sql(qq{
	WITH past AS MATERIALIZED (SELECT left(set_config('rapport.now', (now() - interval '2 days')::text, false), 0) AS nothing)
	SELECT s.access_token FROM past, rapport.sign_in('$ada->{email}' || past.nothing, '$ada->{password}') AS s});
my %tokens = map { $_->{id} => { access_token => $_->{token}, refresh_token => $_->{refresh_token} } } $ada, $grace, $joan;
local $ENV{CLIENT_TEST} = JSON::PP::encode_json({
	url => $ENV{RAPPORT_URL}, conversation => $conversation, stranger => $stranger,
	ada => { id => $ada->{id}, tokens => $tokens{ $ada->{id} }, expired => $expired },
	grace => { id => $grace->{id}, tokens => $tokens{ $grace->{id} } },
	joan => { id => $joan->{id}, tokens => $tokens{ $joan->{id} } },
});
my $status = system('node', "$dir/client.mjs");
sql(q{SELECT rapport.set_setting('messages_per_minute', NULL)});
die "node ended with $status" if $status != 0;
