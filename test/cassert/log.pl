# The logs of the server and its standby tell of no bug but the planted ones, which end at byte LOG_FROM.
use strict;
use warnings;
use Test::More;

my $bug = qr/problem in (?:alloc set|Generation|slab) |write past |TRAP: |PANIC: |inconsistent page found|terminated by signal|AddressSanitizer: |runtime error: /i;

sub bugs
{
	my ($file, $from, $to) = @_;
	open my $log, '<', "$ENV{PGHOST}/$file" or die "$file: $!";
	seek $log, $from, 0;
	my $bugs = '';
	while (my $line = <$log>)
	{
		$bugs .= $line if $line =~ $bug;
		last if defined $to && tell $log >= $to;
	}
	return $bugs;
}

isnt(bugs('log', 0, $ENV{LOG_FROM}), '', 'the planted bugs are seen in the log');
is(bugs('log', $ENV{LOG_FROM}), '', 'no other is');
like(bugs('standby.log', 0), qr/\A[^\n]*inconsistent page found[^\n]*\n\z/, 'in that of the standby the planted difference, once') if $ENV{VARIANT} eq 'plain';
done_testing;
