# Of an erased person nothing is left in a dump, nor, after VACUUM and scrub(),
# in any file of the database; the others keep every byte. Nor is anything left of
# messages that are deleted for all, edited or expired.
use strict;
use warnings;
use Test::More;

my $database = 'tap_erase';
my $bin = '/usr/lib/postgresql/' . ($ENV{PG_VERSION} || 15) . '/bin';
my $marker = 'zqmarkerzq';
my $other = 'zqotherzq';

sub psql
{
	my ($sql, $in) = @_;
	open(my $out, '-|', "$bin/psql", '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $in // $database, '-c', $sql)
		or die "cannot run psql: $!";
	my $rows = do { local $/; <$out> } // '';
	close($out) or die "failed: $sql";
	chomp $rows;
	return $rows;
}

sub dumped
{
	my ($text) = @_;
	open(my $dump, '-|', "$bin/pg_dump", '-d', $database) or die "pg_dump: $!";
	my $n = grep { /\Q$text\E/ } <$dump>;
	close($dump) or die 'pg_dump failed';
	return $n;
}

# The relations of the database whose files have the text, after a checkpoint.
sub filed
{
	my ($text) = @_;
	psql('CHECKPOINT');
	my $folder = psql(q{SELECT current_setting('data_directory') || '/base/' || oid FROM pg_database WHERE datname = current_database()});
	my @found = split ' ', qx{grep -lar -- '$text' $folder};
	return join ' ', sort map { my ($node) = m{/(\d+)[^/]*$}; psql("SELECT coalesce(pg_filenode_relation(0, $node)::text, '$_')") } @found;
}

# The partitions of candidates and match indexes whose files have the ids of people.
sub keyed
{
	my (@ids) = @_;
	psql('CHECKPOINT');
	my @found;
	for (split /\n/, psql(q{SELECT r || ' ' || current_setting('data_directory') || '/' || pg_relation_filepath(r) FROM rapport.candidate_indexes() AS i, unnest(ARRAY[i.leaf, i.index]) AS r}))
	{
		my ($relation, $file) = split ' ';
		open my $in, '<:raw', $file or die "$file: $!";
		my $bytes = do { local $/; <$in> } // '';
		push @found, $relation if grep { index($bytes, pack 'q', $_) >= 0 } @ids;
	}
	return join ' ', sort @found;
}

# How many of these bytes the file of a relation has.
sub having
{
	my ($relation, @bytes) = @_;
	psql('CHECKPOINT');
	my $path = psql("SELECT current_setting('data_directory') || '/' || pg_relation_filepath('$relation')");
	open my $in, '<:raw', $path or die "$path: $!";
	my $file = do { local $/; <$in> } // '';
	return scalar grep { index($file, $_) >= 0 } @bytes;
}

psql("CREATE DATABASE $database", 'postgres');
psql('SET client_min_messages = error; CREATE EXTENSION rapport CASCADE');
psql(q{SELECT rapport.set_setting('password_memory', '1'), rapport.set_setting('password_ops', '1')});
psql(qq{
CREATE PROCEDURE fill(word text, n integer, OUT ids bigint[]) LANGUAGE plpgsql AS \$\$
DECLARE
	id bigint;
	peer bigint;
	talk bigint;
BEGIN
	ids := '{}';
	FOR i IN 1 .. n LOOP
		id := rapport.new_person(format('%s-external-%s', word, i));
		ids := ids || id;
		PERFORM rapport.set_credential_for(id, format('%s-%s\@example.org', word, i), 'correct horse');
		PERFORM rapport.sign_in(format('%s-%s\@example.org', word, i), 'correct horse', word || '-agent');
		PERFORM rapport.act_as(id, true), rapport.set_place(52.5 * (-1) ^ i, 13.4), rapport.set_preference('date', '{"enabled": true}'),
			rapport.update_profile(jsonb_build_object('display_name', word || '-name', 'birth_date', '1990-01-01',
				'about', word || '-about', 'tags', ARRAY[word || '-tag']));
		PERFORM rapport.remember(word || '-key', 'PUT /v1/x', json_build_object('x', word || '-answer')::text);
		PERFORM rapport.act_as(NULL, true);
		FOR peer IN SELECT x.person_id FROM rapport.external_identity AS x WHERE x.external_id ~ '-external-[12]\$' AND x.person_id <> id LOOP
			PERFORM rapport.act_as(peer, true), rapport."like"(id);
			PERFORM rapport.act_as(id, true);
			talk := (SELECT l.conversation_id FROM rapport."like"(peer) AS l);
			PERFORM rapport.send_message(talk, word || '-client-' || k, word || '-body-' || repeat('x', k)) FROM generate_series(1, 20) AS k;
		END LOOP;
		PERFORM rapport.act_as(NULL, true);
	END LOOP;
	UPDATE rapport.message SET attrs = jsonb_build_object('x', word || '-attrs') WHERE sender_id = ANY (ids);
END
\$\$});
psql("CALL fill('$other', 30, NULL)");
my ($ids) = psql("CALL fill('$marker', 30, NULL)") =~ /\{(.*)\}/;
psql("CREATE TABLE source AS SELECT '$marker-external-1' AS id, '$marker' AS born");
psql(q{CALL rapport.import_people('source', '{"external_id": "id", "birth_date": "born"}')});
psql('DROP TABLE source');
psql('SELECT rapport.partition_candidates(2)');
# Statistics, and rows that moved, are copies too.
psql(q{UPDATE rapport.profile SET about = about || '!'});
# Of each conversation half is sealed: what was said up to now, and before more is.
psql(q{SET rapport.now = '2200-01-01'; SELECT rapport.seal_messages() FROM generate_series(1, 3)});
psql(q{SELECT rapport.act_as(m.sender_id, true), rapport.send_message(c.conversation_id, 'again-' || m.seq, left(m.body, 20) || 'again')
	FROM rapport.conversation AS c CROSS JOIN LATERAL rapport.message_range(c.conversation_id, 1, 40) AS m WHERE m.seq IN (1, c.last_seq)});
psql('VACUUM ANALYZE');

cmp_ok(dumped($marker), '>', 100, 'the dump has them');
like(filed($marker), qr/rapport\.profile .*rapport\.session/, 'and so have the files');
my $first = (split ',', $ids)[0];
my $export = psql("BEGIN; SELECT rapport.act_as($first, true); SELECT rapport.export_my_data(); COMMIT");
is(scalar(grep { $export !~ /$marker-$_/ } qw(name about tag external agent answer client body attrs 1@example.org)), 0,
	'the export has every text');

my $all = 'rapport.conversation AS c CROSS JOIN LATERAL rapport.message_range(c.conversation_id, 1, 1000) AS m';
my $theirs = "SELECT md5(string_agg(m::text, ',' ORDER BY c.conversation_id, seq)) FROM $all WHERE sender_id <> ALL ('{$ids}')";
my $sealed = 'rapport.message_block AS b CROSS JOIN LATERAL rapport.block_messages(b.conversation_id, b.first_seq, b.data) AS m';
is(psql("SELECT count(*) FROM (SELECT b.conversation_id FROM $sealed WHERE m.body ~ '$marker' INTERSECT SELECT m.conversation_id FROM rapport.message AS m WHERE m.body ~ '$marker') AS x") > 50,
	1, 'what they said is sealed in part');
# What was compressed together with their words, wherever it lies: its text is not to be seen there.
my @blocks = map { pack 'H*', $_ } split /\n/, psql("SELECT DISTINCT encode(substr(b.data, octet_length(b.data) - 23), 'hex') FROM $sealed WHERE m.body ~ '$marker'");
is(having('rapport.message_block', @blocks), scalar @blocks, @blocks . ' blocks with their words are in the file');
is(scalar(grep { $export !~ /$marker-body-x{$_}"/ } 1 .. 20), 0, 'the export has what is sealed');
my ($said, $others) = (psql($theirs), dumped($other));
psql("SELECT rapport.erase_person_for(p) FROM unnest('{$ids}'::bigint[]) AS p");
is(dumped($marker), 0, 'once erased, no line of a dump has them');
is(psql($theirs), $said, 'the others keep what they said');
is(psql(q{SELECT count(*) FROM rapport.conversation AS c WHERE last_seq <> (SELECT count(*) FROM rapport.message_range(c.conversation_id, 1, 1000))}),
	0, 'without gaps');
cmp_ok(psql('SELECT count(*) FROM rapport.message_block'), '>', 40, 'the blocks of others stay as they are');
is(psql("SELECT count(*) FROM $sealed WHERE m.sender_id = ANY ('{$ids}')"), 0, 'no block has a message of theirs');
is(having('rapport.message_block', @blocks), scalar @blocks, 'the blocks they were in are still in the file');

my $keys = 'rapport.candidate_1 rapport.candidate_2 rapport.candidate_2_key rapport.candidate_key';
is(keyed(split ',', $ids), $keys, 'their keys are in the files');
psql('VACUUM ANALYZE');
my $left = filed($marker);
note("after VACUUM: $left");
cmp_ok(psql('SELECT rapport.scrub()'), '>', 0, 'scrub() finds something to clear after VACUUM');
is(filed($marker), '', 'after VACUUM and scrub() no file of the database has them');
is(keyed(split ',', $ids), '', 'nor their keys');
is(having('rapport.message_block', @blocks), 0, 'nor the blocks of messages');
# Sealed once more, without them.
psql(q{SET rapport.now = '2200-01-01'; SELECT rapport.seal_messages() FROM generate_series(1, 3)});
is(psql($theirs), $said, 'sealed again the others keep what they said');
is(psql('SELECT count(*) FROM rapport.message'), 0, 'all of it');
psql('VACUUM ANALYZE');
psql('SELECT rapport.scrub()');
is(filed($marker), '', 'and no file has them');
is(psql('SELECT rapport.scrub()'), 0, 'a second time there is nothing to do');
like(filed($other), qr/rapport\.profile/, 'the others are in the files');
# Single messages, of people who stay.
my ($talk, $one, $two, $kept, $keeper) = split /[|\n]/, psql("SELECT p.conversation_id, p.lo, p.hi FROM rapport.pair AS p JOIN rapport.profile AS f ON f.person_id = p.lo ORDER BY 1 LIMIT 2");
my $say = sub {
	my ($word, $then) = @_;
	# So long, and of so much that differs, that it is stored out of line, on a page with one that stays; but a block of one part.
	my $pieces = $word eq 'sealed' ? 1 : 120;
	psql("SELECT rapport.act_as($keeper, true), rapport.send_message($kept, '$word', string_agg(md5('$word' || -i), '')) FROM generate_series(1, $pieces) AS i");
	psql("SELECT rapport.act_as($one, true), rapport.send_message($talk, '$word', 'zq${word}farzq ' || string_agg(md5('$word' || i), ''), '{\"app\": {\"x\": \"zq${word}zq\"}}')
		FROM generate_series(1, $pieces) AS i");
	my $seq = psql("SELECT last_seq FROM rapport.conversation WHERE conversation_id = $talk");
	psql("SELECT rapport.act_as($two, true), rapport.react($talk, $seq, 'zq${word}')");
	return $seq;
};
my %seq = map { ($_ => $say->($_)) } qw(sealed);
psql(q{SET rapport.now = '2200-01-01'; SELECT rapport.seal_messages() FROM generate_series(1, 3)});
is(psql("SELECT count(*) FROM $sealed WHERE b.conversation_id = $talk AND m.seq = $seq{sealed}"), 1, 'one is sealed');
my ($block) = map { pack 'H*', $_ } psql("SELECT encode(substr(b.data, octet_length(b.data) - 23), 'hex') FROM $sealed WHERE b.conversation_id = $talk AND m.seq = $seq{sealed}");
is(having('rapport.message_block', $block), 1, 'and its block is in the file');
%seq = (%seq, map { ($_ => $say->($_)) } qw(deleted edited));
psql("SELECT rapport.act_as($one, true), rapport.set_message_timer($talk, 1)");
$seq{expired} = $say->('expired');
psql('VACUUM ANALYZE');
is(scalar(grep { filed("zq${_}zq") =~ /rapport\.message\b/ } qw(deleted edited expired)), 3, 'the files have the others');
is(scalar(grep { filed("zq${_}farzq") =~ /pg_toast/ } qw(deleted edited expired)), 3, 'also what is stored out of line');
psql("SELECT rapport.act_as($one, true), rapport.delete_message($talk, seq, true) FROM unnest(ARRAY[$seq{sealed}, $seq{deleted}]) AS seq");
psql("SELECT rapport.act_as($one, true), rapport.edit_message($talk, $seq{edited}, 'new')");
psql(q{SET rapport.now = '2200-01-01'; SELECT rapport.sweep_expired()});
psql("SELECT rapport.act_as($two, true), rapport.unreact($talk, $seq{edited})");
# Of an edited message the attributes stay.
is(psql("SELECT string_agg(m.seq - $seq{sealed} || coalesce(m.body, '-') || coalesce(m.attrs #>> '{app,x}', '-'), ' ' ORDER BY m.seq) FROM rapport.message_range($talk, $seq{sealed}, $seq{expired}) AS m WHERE m.flags & 1 = 0"),
	'0-- 1-- 2newzqeditedzq 4--', 'they are deleted, edited and expired');
psql("UPDATE rapport.message SET attrs = NULL WHERE conversation_id = $talk AND seq = $seq{edited}");
psql('VACUUM ANALYZE');
psql('SELECT rapport.scrub()');
is(join(' ', map { filed("zq${_}") } qw(sealed deleted edited expired)), '   ', 'after VACUUM and scrub() no file of the database has them');
is(having('rapport.message_block', $block), 0, 'nor the block');
psql('CREATE EXTENSION amcheck');
is(psql(q{SELECT count(*) FROM pg_class AS c, verify_heapam(c.oid) WHERE c.relnamespace = 'rapport'::regnamespace AND c.relkind = 'r'}), 0,
	'no table is damaged');
psql(q{SELECT bt_index_check(c.oid, true) FROM pg_class AS c JOIN pg_am AS a ON a.oid = c.relam AND a.amname = 'btree' WHERE c.relnamespace = 'rapport'::regnamespace});
pass('nor is any index');
is(psql(q{SELECT sum(c.problems) FROM rapport.candidate_indexes() AS i, rapport.match_index_check(i.index) AS c}), 0, 'nor the index of match keys');

psql("DROP DATABASE $database", 'postgres');
done_testing();
