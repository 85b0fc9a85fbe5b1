# The rules of the source files; each is shown to catch a planted violation.
use strict;
use warnings;
use File::Basename qw(basename dirname);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use Test::More;

my @topics = split ' ', (`sed -n 's/^TOPICS *?= *//p' Makefile`);
my %place  = map { $topics[$_] => $_ } 0 .. $#topics;

sub slurp { my ($file) = @_; local $/; open my $in, '<', $file or die "$file: $!"; my $text = <$in>; close $in; return $text }

# Sources: what is frozen repeats them.
sub found { my ($root, @patterns) = @_; return grep { !m{/extension/release/} } map { glob "$root/$_" } @patterns }

# Which topic owns each table.
sub owners
{
	my ($root) = @_;
	my %owner;
	for my $file (found($root, 'extension/*/schema.sql'))
	{
		my $topic = basename(dirname($file));
		$owner{$_} = $topic for slurp($file) =~ /^CREATE (?:TABLE|SEQUENCE|VIEW) rapport\.(\w+)/mg;
	}
	return \%owner;
}

# Each rule returns what breaks it in the tree below $root.
my %rule = (
	'a topic includes only topics to its left' => sub {
		my ($root) = @_;
		my @bad;
		for my $file (found($root, 'extension/*/*.[ch]'))
		{
			my $topic = basename(dirname($file));
			for my $used (slurp($file) =~ /^#include "(\w+)\//mg)
			{
				push @bad, "$file includes $used" if exists $place{$used} && $place{$used} > $place{$topic};
			}
		}
		return @bad;
	},
	'C code names only tables of its topic and those to its left' => sub {
		my ($root) = @_;
		my $owner = owners($root);
		my @bad;
		for my $file (found($root, 'extension/*/*.c'))
		{
			my $topic = basename(dirname($file));
			for my $table (slurp($file) =~ /"[^"\n]*\brapport\.(\w+)/g)
			{
				push @bad, "$file reads $table" if exists $owner->{$table} && $place{ $owner->{$table} } > $place{$topic};
			}
		}
		return @bad;
	},
	'a private header stays in its folder' => sub {
		my ($root) = @_;
		my @bad;
		for my $file (found($root, 'extension/*/*.[ch]'))
		{
			my $topic = basename(dirname($file));
			my $text = slurp($file);
			while ($text =~ /^#include "(\w+)\/(\w+)\.h"/mg)
			{
				push @bad, "$file includes $1/$2.h" if exists $place{$1} && $1 ne $topic && $2 ne $1 && "$1/$2" ne 'core/compat';
			}
		}
		return @bad;
	},
	'PostgreSQL versions are told apart in core/compat.h only' => sub {
		my ($root) = @_;
		return grep { !m{core/compat\.h$} && slurp($_) =~ /PG_VERSION_NUM/ } found($root, 'extension/*.c', 'extension/*/*.[ch]');
	},
	'libmicrohttpd versions are told apart in api/mhd.h only' => sub {
		my ($root) = @_;
		return grep { !m{api/mhd\.h$} && slurp($_) =~ /MHD_VERSION/ } found($root, 'api/*.[ch]');
	},
	'postgres.h comes first, in .c files only' => sub {
		my ($root) = @_;
		return ((grep { slurp($_) =~ /#include "postgres\.h"/ } found($root, 'extension/*/*.h')),
			(grep { my ($first) = slurp($_) =~ /^#include (\S+)/m; slurp($_) =~ /"fmgr\.h"|"postgres\.h"/ && $first ne '"postgres.h"' }
				found($root, 'extension/*.c', 'extension/*/*.c')));
	},
	'rapportd includes nothing of the extension' => sub {
		my ($root) = @_;
		return grep { slurp($_) =~ /#include\s+"(?:\.\.|postgres\.h|\w+\/\w+\.h)/ } found($root, 'api/*.[ch]');
	},
	'functions are replaced, what stands in schema.sql is not' => sub {
		my ($root) = @_;
		return ((grep { slurp($_) =~ /^CREATE (?:FUNCTION|PROCEDURE|VIEW|AGGREGATE)/m } found($root, 'extension/*/functions*.sql')),
			(grep { slurp($_) =~ /^CREATE OR REPLACE/m } found($root, 'extension/*/schema.sql')));
	},
	'a function body stands once' => sub {
		my ($root) = @_;
		my (%seen, @bad);
		my $schema = join('', map { slurp($_) } found($root, 'extension/*/schema.sql'));
		for my $file (found($root, 'extension/*/*.sql'))
		{
			my $text = slurp($file);
			while ($text =~ /^CREATE (?:OR REPLACE )?(?:FUNCTION|PROCEDURE) (rapport\.\w+)\s*\((.*?)\)\s*(?:RETURNS|LANGUAGE|$)/msg)
			{
				my $key = "$1(" . ($2 =~ s/\s+/ /gr) . ')';
				# A delta declares what operators stand on as schema.sql does; its body is in C.
				my ($statement) = substr($text, $-[0]) =~ /\A(.*?;)\n/s;
				next if $file =~ m{/extension/update/} && $statement =~ /LANGUAGE c / && index($schema, $statement) >= 0;
				push @bad, "$key in $file" if $seen{$key}++;
			}
		}
		return @bad;
	},
	'every error that is raised is registered' => sub {
		my ($root) = @_;
		my (%registered, @bad);
		for my $file (found($root, 'extension/*/functions*.sql'))
		{
			my $text = slurp($file);
			while ($text =~ /INSERT INTO rapport\.error_code \(code, status, title, hint\) VALUES(.*?);\n/sg)
			{
				my $rows = $1;
				$registered{$1} = 1 while $rows =~ /\(\s*'(\w+)'\s*,\s*\d{3}/g;
			}
		}
		for my $file (found($root, 'extension/*/*.sql', 'extension/*/*.c'))
		{
			for my $code (slurp($file) =~ /\b(?:core_|rapport\.)fail\(\s*['"](\w+)['"]/g)
			{
				push @bad, "$code in $file" if !$registered{$code};
			}
		}
		return @bad;
	},
	'every setting that is read is declared' => sub {
		my ($root) = @_;
		my $all = join '', map { slurp($_) } found($root, 'extension/*/functions*.sql');
		my %declared;
		while ($all =~ /INSERT INTO rapport\.setting_default [^;]*? VALUES(.*?);\n/sg)
		{
			my $rows = $1;
			$declared{$1} = 1 while $rows =~ /\(\s*'(\w+)'\s*,\s*'(?:integers?|float|boolean|text)'/g;
		}
		return grep { !$declared{$_} } $all =~ /\brapport\.setting_(?:int|float|text|bool)\('(\w+)'\)/g;
	},
	'the version stands in the control file, META.json agrees' => sub {
		my ($root) = @_;
		return () if !-e "$root/META.json";
		my ($version) = slurp("$root/extension/rapport.control") =~ /^default_version = '(.*)'/m;
		my @bad = grep { $_ ne $version } slurp("$root/META.json") =~ /"version":\s*"(\d[^"]*)"/g;
		return map { "META.json says $_" } grep { $_ ne '1.0.0' } @bad;
	},
);

my %plant = (
	'a topic includes only topics to its left' => [ 'extension/core/planted.c', "#include \"postgres.h\"\n#include \"chat/chat.h\"\n" ],
	'C code names only tables of its topic and those to its left' =>
	  [ 'extension/core/planted.c', "#include \"postgres.h\"\nchar *q = \"SELECT FROM rapport.session\";\n" ],
	'a private header stays in its folder' => [ 'extension/chat/planted.c', "#include \"postgres.h\"\n#include \"match/score.h\"\n" ],
	'PostgreSQL versions are told apart in core/compat.h only' => [ 'extension/core/planted.c', "#include \"postgres.h\"\n#if PG_VERSION_NUM >= 160000\n#endif\n" ],
	'libmicrohttpd versions are told apart in api/mhd.h only' => [ 'api/planted.c', "#if MHD_VERSION >= 0x00097701\n#endif\n" ],
	'postgres.h comes first, in .c files only' => [ 'extension/core/planted.h', "#include \"postgres.h\"\n" ],
	'rapportd includes nothing of the extension' => [ 'api/planted.c', "#include \"../extension/core/core.h\"\n" ],
	'functions are replaced, what stands in schema.sql is not' => [ 'extension/planted/functions.sql', "CREATE FUNCTION rapport.planted() RETURNS void\n" ],
	'a function body stands once' =>
	  [ 'extension/planted/functions.sql', "CREATE OR REPLACE FUNCTION rapport.today() RETURNS date\n" ],
	'every error that is raised is registered' => [ 'extension/planted/functions.sql', "PERFORM rapport.fail('no_such_error');\n" ],
	'every setting that is read is declared' => [ 'extension/planted/functions.sql', "SELECT rapport.setting_int('no_such_setting');\n" ],
	'the version stands in the control file, META.json agrees' => [ 'META.json', "{\"version\": \"99.0.0\"}\n" ],
);

$place{planted} = 0;
for my $name (sort keys %rule)
{
	is(join("\n", $rule{$name}->('.')), '', $name);

	# A copy with the violation in it.
	my $copy = tempdir(CLEANUP => 1);
	system("cp -r Makefile extension $copy/ && mkdir -p $copy/api") == 0 or die 'cp';
	my ($file, $text) = @{ $plant{$name} };
	make_path(dirname("$copy/$file"));
	open my $out, '>', "$copy/$file" or die "$file: $!";
	print $out $text;
	close $out;
	cmp_ok(scalar(my @caught = $rule{$name}->($copy)), '>', 0, "caught when planted: $name");
}
done_testing();
