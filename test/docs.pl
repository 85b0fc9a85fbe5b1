# Runs every fenced command of the documentation: "sql" blocks in one psql
# session per file, then "sh" blocks in one shell against a rapportd. Blocks of
# another language (console, json ...) are for reading.
use strict;
use warnings;
use IO::Socket::INET;
use Test::More;

my @files = grep { -e } ('README.md', glob('extension/doc/*.md'), glob('api/doc/*.md'));

sub blocks
{
	my ($file, $language) = @_;
	local $/;
	open my $in, '<', $file or die "$file: $!";
	return <$in> =~ /^```$language\n(.*?)^```$/msg;
}

sub run_with_input
{
	my ($input, $command) = @_;
	my $script = "/tmp/docs.$$";
	open my $out, '>', $script or die $!;
	print $out $input;
	close $out;
	my $output = `$command <$script 2>&1`;
	my $status = $?;
	unlink $script;
	return ($status, $output);
}

for my $file (@files)
{
	my @sql = blocks($file, 'sql');
	my @sh = blocks($file, 'sh');
	next if !@sql && !@sh;

	system('dropdb --if-exists rapport_docs 2>/dev/null; createdb rapport_docs') == 0 or die 'createdb';
	if (@sql)
	{
		my ($status, $output) = run_with_input(join("\n", @sql),
			'PGOPTIONS="-c client_min_messages=warning" psql -X -v ON_ERROR_STOP=1 -d rapport_docs -f -');
		is($status, 0, "$file: " . @sql . ' sql blocks') or diag($output);
		# The promise of the six lines: Ada sees Bo alone.
		like($output, qr/ name \n------\n Bo\n\(1 row\)/, "$file: Ada sees Bo") if $file eq 'README.md';
	}
	next if !@sh;

	my $port = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')->sockport;
	my $pid = fork // die 'fork';
	if ($pid == 0)
	{
		open STDOUT, '>', '/dev/null';
		open STDERR, '>', '/dev/null';
		exec 'env', 'PGUSER=rapport_api', 'PGDATABASE=rapport_docs', "RAPPORT_LISTEN=127.0.0.1:$port", 'api/rapportd';
	}
	for (1 .. 100)
	{
		last if system("curl -fs -o /dev/null http://127.0.0.1:$port/health/ready") == 0;
		select undef, undef, undef, 0.1;
	}
	my $text = join("\n", @sh) =~ s/127\.0\.0\.1:8080/127.0.0.1:$port/gr;
	my ($status, $output) = run_with_input($text, 'bash -e -o pipefail -s');
	is($status, 0, "$file: " . @sh . ' sh blocks') or diag($output);
	kill TERM => $pid;
	waitpid $pid, 0;
}
done_testing();
