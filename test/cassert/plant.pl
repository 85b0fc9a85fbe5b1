# The build finds bugs of the kinds that it is made for.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep);

my $module = "$ENV{PGHOST}/plant.so";

# What bug leaves what in the log.
my %complaint = (
	plain => { overrun => qr/write past chunk end/, assertion => qr/TRAP: .*plant\.c/ },
	sanitized => { overrun => qr/write past chunk end/, address => qr/AddressSanitizer: heap-buffer-overflow/, undefined => qr/plant\.c.* runtime error: shift exponent/ });

sub psql { return scalar qx{psql -XAtq postgres -c "$_[0]" 2>&1} }

# What the log says from a position on.
sub logged
{
	my ($from) = @_;
	open my $log, '<', "$ENV{PGHOST}/log" or die "log: $!";
	seek $log, $from, 0;
	return join '', <$log>;
}

system("gcc -w -Werror=implicit-function-declaration -fPIC -shared \$(pg_config --cflags) -I\$(pg_config --includedir-server) test/cassert/plant.c -o $module") == 0
	or die 'plant.c does not build';
psql("CREATE FUNCTION plant(bug text) RETURNS text LANGUAGE c STRICT AS '$module'");
is(psql("SELECT plant('no bug')"), "nothing\n", 'a function without a bug');

my $bugs = $complaint{ $ENV{VARIANT} };
for my $bug (sort keys %$bugs)
{
	my $from = -s "$ENV{PGHOST}/log";
	psql("SELECT plant('$bug')");
	# The server may have to start anew.
	for (1 .. 300)
	{
		last if psql('SELECT 1') eq "1\n";
		sleep 0.2;
	}
	like(logged($from), $bugs->{$bug}, "the planted $bug is found");
}

is(psql("SELECT plant('stale')"), "plant\n", 'a stale cache entry looks well as a rule');
is(psql("SET debug_discard_caches = 1; SELECT plant('stale') <> 'plant'"), "t\n", 'but not with caches discarded');
psql('DROP FUNCTION plant(text)');
done_testing;
