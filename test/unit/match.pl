# The C core of matching without a server, under the address and undefined
# behaviour sanitizers.
use strict;
use warnings;
use File::Temp qw(tempdir);

my $dir = tempdir(CLEANUP => 1);
system('gcc', '-std=gnu99', '-O1', '-g', '-Wall', '-Wextra', '-Werror', '-ffp-contract=off', '-fsanitize=address,undefined',
	'-fno-sanitize-recover=all', '-Iextension', '-o', "$dir/match", 'test/unit/match.c', 'extension/match/bounds.c', 'extension/match/curve.c',
	'extension/match/packed.c', 'extension/match/score.c', 'extension/match/text.c', '-lm') == 0
	or die "the unit test of match does not build\n";
exec "$dir/match" or die "$dir/match: $!\n";
