# The parsers that need no server, under the address and undefined behaviour
# sanitizers: the corpus, and each beginning of each of its inputs, through
# every target, by gcc. With RAPPORT_LONG clang's libFuzzer goes on from there,
# for at least ten million executions. Each target is shown to find a bug.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;
use Time::HiRes qw(time);

my $dir = tempdir(CLEANUP => 1);
my $key = join ' ', map { "extension/match/$_.c" } qw(bounds packed score text);
my %target = (
	block   => { with => 'extension/chat/block.c', libraries => '-lzstd', runs => 1_500_000, longest => 1200 },
	key     => { with => $key, libraries => '-lm', runs => 3_500_000, longest => 1200 },
	query   => { with => $key, libraries => '-lm', runs => 1_500_000, longest => 2200 },
	value   => { with => $key, libraries => '-lm', runs => 2_000_000, longest => 1200 },
	text    => { with => 'api/text.c', libraries => '-ljansson', runs => 1_500_000, longest => 200 },
	request => { with => join(' ', map { "api/$_.c" } qw(answer builtin catalog log loop params text)),
		libraries => '-lpq -lmicrohttpd -ljansson', runs => 1_500_000, longest => 600 },
);
my $enough = 10_000_000;
my $cflags = '-std=gnu11 -g -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers -ffp-contract=off -fno-omit-frame-pointer -fno-sanitize-recover=all '
	. "-Iextension -Iapi -Itest/unit -DRAPPORT_VERSION='\"test\"' " . (`pkg-config --cflags libpq libmicrohttpd jansson` =~ s/\n//r);
my $sanitizers = 'address,undefined,float-cast-overflow';

sub run
{
	my ($command) = @_;
	# The shell, too, says there what ended the program.
	my $output = `exec 2>&1; $command`;
	return ($?, $output);
}

# The program of a target.
sub build
{
	my ($compiler, $name) = @_;
	my $program = "$dir/${compiler}_$name";
	my $how = $compiler eq 'clang' ? "clang -O1 -fsanitize=fuzzer,$sanitizers" : "gcc -O1 -fsanitize=$sanitizers test/unit/fuzz_replay.c";
	my ($status, $output) = run("$how $cflags -o $program test/unit/fuzz_$name.c $target{$name}{with} $target{$name}{libraries}");
	die "$name does not build with $compiler:\n$output" if $status != 0;
	return $program;
}

# What a planted bug of each kind makes the program say.
my @found = (undef, qr/ERROR: AddressSanitizer: \w+-buffer-overflow/, qr/runtime error: signed integer overflow/, qr/: not so: /);

for my $name (sort keys %target)
{
	my $program = build('gcc', $name);
	my ($status, $output) = run("$program test/unit/corpus/$name/*");
	my ($executions) = $output =~ /^(\d+)$/m;
	ok($status == 0 && ($executions // 0) > 100, "$name: the corpus, " . ($executions // 'no') . ' inputs') or diag(substr $output, -4000);
	for my $plant ($name eq 'text' ? (1, 2, 3) : 3)
	{
		($status, $output) = run("PLANT=$plant $program test/unit/corpus/$name/*");
		ok($status != 0 && $output =~ $found[$plant], "$name: the planted bug $plant is found in the corpus") or diag(substr $output, -4000);
	}
}
cmp_ok((split ' ', `du -sbc test/unit/corpus/* | tail -n 1`)[0], '<', 100_000 + 4096 * keys %target, 'the corpus is small');

if ($ENV{RAPPORT_LONG})
{
	my %program = map { $_ => build('clang', $_) } keys %target;

	mkdir "$dir/plant" or die "plant: $!";

	# From nothing at all, but for the third: what is damaged must first be made.
	for my $plant ([ text => 1, '' ], [ text => 2, '' ], (map { [ $_ => 3, "test/unit/corpus/$_" ] } sort keys %target))
	{
		my ($name, $number, $corpus) = @$plant;
		my ($status, $output) = run("PLANT=$number $program{$name} -seed=1 -runs=2000000 -max_total_time=120 -artifact_prefix=$dir/ "
			. ($corpus && "$dir/plant $corpus"));
		ok($status != 0 && $output =~ $found[$number], "$name: libFuzzer finds the planted bug $number") or diag(substr $output, -4000);
	}

	# Two at a time; new inputs are thrown away, those that fail are shown.
	my (%child, %executions);
	my @waiting = sort keys %target;
	while (@waiting || %child)
	{
		while (@waiting && keys %child < 2)
		{
			my $name = shift @waiting;
			mkdir "$dir/$name.new" or die "$name: $!";
			my $pid = fork // die "fork: $!";
			if (!$pid)
			{
				exec "exec $program{$name} -seed=" . int(time) . " -runs=$target{$name}{runs} -max_len=$target{$name}{longest} -timeout=10 -rss_limit_mb=1024 "
					. "-print_final_stats=1 -artifact_prefix=$dir/$name. $dir/$name.new test/unit/corpus/$name >$dir/$name.log 2>&1" or die "sh: $!";
			}
			$child{$pid} = $name;
		}
		my $pid  = wait;
		my $name = delete $child{$pid} // next;
		my $status = $?;
		open my $in, '<', "$dir/$name.log" or die "$name: $!";
		my $output = do { local $/; <$in> };
		close $in;
		($executions{$name}) = $output =~ /number_of_executed_units: (\d+)/;
		ok($status == 0, "$name: " . ($executions{$name} // 'some') . ' executions')
			or diag(substr($output, -2000), map { "\n$_: " . `od -An -c $_ | head -n 60` } glob "$dir/$name.{crash,leak,oom,timeout}-*");
	}
	my $all = 0;
	$all += $_ // 0 for values %executions;
	cmp_ok($all, '>=', $enough, "$all executions in all");
}
done_testing();
