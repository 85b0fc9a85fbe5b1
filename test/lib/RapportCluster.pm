# A private cluster of a test, for what cannot be done to the one it was given:
# stopping it, killing it, writing into its files. It has the same extension.
package RapportCluster;

use strict;
use warnings;
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use Time::HiRes qw(sleep time);

my $bin = "/usr/lib/postgresql/$ENV{PG_VERSION}/bin";

# new(conf => "lines of postgresql.conf"): made and started.
sub new
{
	my ($class, %with) = @_;
	my $dir = tempdir('rapport-tap.XXXXXX', TMPDIR => 1);
	my $self = bless { dir => $dir, owner => $$ }, $class;
	open my $mark, '>', "$dir/rapport-cluster" or die "$dir: $!";
	close $mark;
	symlink "$ENV{PGHOST}/stage", "$dir/stage" or die "stage: $!";
	{
		local $ENV{FSYNC} = 'on';
		system('test/cluster', 'up', $dir) == 0 or die 'no cluster';
	}
	if ($with{conf})
	{
		$self->stop;
		open my $conf, '>>', "$dir/data/postgresql.conf" or die "conf: $!";
		print $conf $with{conf};
		close $conf;
		$self->start;
	}
	return $self;
}

sub dir { return $_[0]{dir} }

sub start
{
	my ($self) = @_;
	system("$bin/pg_ctl", '-s', '-D', "$self->{dir}/data", '-l', "$self->{dir}/log", '-w', '-t', 120, 'start') == 0
		or die 'the cluster does not start: ' . qx{tail -n 20 $self->{dir}/log};
	return;
}

sub stop
{
	my ($self) = @_;
	system("$bin/pg_ctl", '-s', '-D', "$self->{dir}/data", '-m', 'fast', '-w', 'stop') == 0 or die 'the cluster does not stop';
	return;
}

# Every process of the cluster, the postmaster first.
sub processes
{
	my ($self) = @_;
	open my $file, '<', "$self->{dir}/data/postmaster.pid" or return;
	my ($postmaster) = <$file> =~ /^(\d+)/;
	close $file;
	my @pids = ($postmaster);
	for my $stat (glob '/proc/[0-9]*/stat')
	{
		open my $in, '<', $stat or next;
		my ($pid, $parent) = (<$in> // '') =~ /^(\d+) \(.*\) \S (\d+)/s or next;
		push @pids, $pid if $parent == $postmaster;
	}
	return @pids;
}

# kill -9 of all its processes; returns how many, when they are gone. Nothing but start() may follow.
sub kill_all
{
	my ($self) = @_;
	my ($postmaster) = $self->processes or die 'not running';
	# Stopped it starts no more, and nobody leaves on their own because it is gone.
	kill 'STOP', $postmaster;
	my @pids = $self->processes;
	my $killed = kill 'KILL', reverse @pids;
	my $end = time + 60;
	while (grep { -e "/proc/$_" && !is_zombie($_) } @pids)
	{
		die 'a killed process stays' if time > $end;
		sleep 0.05;
	}
	# Where nobody collects the dead, the next postmaster would take this one for alive.
	unlink "$self->{dir}/data/postmaster.pid", glob "$self->{dir}/.s.PGSQL.*.lock" if -e "/proc/$pids[0]";
	return $killed;
}

sub is_zombie
{
	my ($pid) = @_;
	open my $in, '<', "/proc/$pid/stat" or return 1;
	return (<$in> // '') =~ /\) Z /;
}

# What statements print in psql, unaligned; dies when one fails.
sub query
{
	my ($self, $sql, $database) = @_;
	local $ENV{PGHOST} = $self->{dir};
	open my $psql, '-|', "$bin/psql", '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $database // 'postgres', '-c', $sql
		or die "psql: $!";
	my $out = do { local $/; <$psql> } // '';
	close $psql or die "psql failed: $sql";
	chomp $out;
	return $out;
}

# Where the first segment of a relation lies.
sub file_of
{
	my ($self, $relation) = @_;
	return "$self->{dir}/data/" . $self->query("SELECT pg_relation_filepath('$relation')");
}

sub DESTROY
{
	my ($self) = @_;
	return if $$ != $self->{owner};
	local ($?, $@);
	system("$bin/pg_ctl", '-s', '-D', "$self->{dir}/data", '-m', 'immediate', '-w', 'stop') if -e "$self->{dir}/data/postmaster.pid";
	remove_tree($self->{dir});
	return;
}

1;
