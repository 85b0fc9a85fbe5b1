# The verbs of chat: who may, and what each does to the unread count, the inbox,
# the search and the sync of somebody else and of another device of whoever does it,
# to the stream, to a member who is blocked, to one who has left; what is left of it
# when who did it is erased, what it does where whom it is about is, what a second
# call does, and how it is undone. Every line of chat_matrix.tsv is done in a
# conversation of its own; what happens is what the line says. After each sync() the
# device's copy is compared with what is there.
#
# What lies in a sealed block is as what does not.
#
# A route of chat without a line fails, and so does a line whose verb has no route.
use strict;
use warnings;
use JSON::PP ();
use Test::More;
use RapportApi;

my $json = JSON::PP->new->canonical->allow_nonref;

ask(<<'SQL');
\i test/lib/chat.sql
\pset null ''
-- What a statement answers, or what it is refused with.
CREATE FUNCTION pg_temp.attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	code text;
BEGIN
	EXECUTE 'SELECT rapport.' || statement;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = CONSTRAINT_NAME;
	RETURN coalesce(nullif(code, ''), SQLERRM);
END $$;
CREATE FUNCTION pg_temp.does(id bigint, statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM rapport.act_as(id);
	EXECUTE 'SELECT rapport.' || statement;
	PERFORM rapport.act_as(NULL);
END $$;
-- A group and a conversation of two, everybody anew: each has a message with the word needle, the third or first.
CREATE FUNCTION pg_temp.scene(strangers boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	who jsonb := (SELECT jsonb_object_agg(n, rapport.new_person(n || gen_random_uuid()))
				  FROM unnest(ARRAY['owner', 'admin', 'member', 'blocked', 'departed', 'outsider', 'peer', 'friend', 'invitee']) AS n);
	club bigint;
	talk bigint;
	name text;
	past bigint;
BEGIN
	PERFORM rapport.act_as((who ->> 'owner')::bigint);
	club := rapport.create_group('Walkers');
	PERFORM rapport.act_as(NULL);
	PERFORM rapport.add_to_group_for(club, ARRAY(SELECT (who ->> n)::bigint FROM unnest(ARRAY['admin', 'member', 'blocked', 'departed']) AS n));
	PERFORM pg_temp.does((who ->> 'owner')::bigint, format('set_group_role(%s, %s, %L)', club, who ->> 'admin', 'admin'));
	PERFORM pg_temp.does((who ->> 'member')::bigint, format('send_message(%s, %L, %L)', club, 'first', 'a needle in the hay'));
	PERFORM pg_temp.does((who ->> 'owner')::bigint, format('send_message(%s, %L, %L)', club, 'first', 'the last one'));
	PERFORM pg_temp.does((who ->> 'departed')::bigint, format('leave_group(%s)', club));
	talk := pg_temp.meet((who ->> 'member')::bigint, (who ->> 'peer')::bigint);
	PERFORM pg_temp.does((who ->> 'member')::bigint, format('send_message(%s, %L, %L)', talk, 'first', 'a needle in the hay'));
	PERFORM pg_temp.does((who ->> 'peer')::bigint, format('send_message(%s, %L, %L)', talk, 'first', 'the last one'));
	PERFORM pg_temp.meet((who ->> n)::bigint, (who ->> 'friend')::bigint) FROM unnest(ARRAY['owner', 'admin', 'member', 'blocked', 'departed']) AS n;
	PERFORM pg_temp.meet((who ->> 'owner')::bigint, (who ->> 'invitee')::bigint);
	PERFORM pg_temp.does((who ->> 'owner')::bigint, format('invite_to_group(%s, %s)', club, who ->> 'invitee'));
	who := who || jsonb_build_object('closed', pg_temp.meet((who ->> 'member')::bigint, (who ->> 'blocked')::bigint),
									 'ended', pg_temp.meet((who ->> 'member')::bigint, (who ->> 'outsider')::bigint));
	FOREACH name IN ARRAY ARRAY['blocked', 'outsider'] LOOP
		past := who -> CASE name WHEN 'blocked' THEN 'closed' ELSE 'ended' END;
		PERFORM pg_temp.does((who ->> 'member')::bigint, format('send_message(%s, %L, %L)', past, 'first', 'a needle in the past'));
		PERFORM pg_temp.does((who ->> name)::bigint, format('send_message(%s, %L, %L)', past, 'first', 'the last one'));
	END LOOP;
	PERFORM pg_temp.does((who ->> 'member')::bigint, format('block(%s)', who ->> 'blocked'));
	PERFORM pg_temp.does((who ->> 'member')::bigint, format('unmatch(%s)', who ->> 'outsider'));
	IF strangers THEN
		who := who || jsonb_build_object('stranger', pg_temp.newcomer('stranger'), 'other', pg_temp.newcomer('other'), 'writer', pg_temp.newcomer('writer'));
		PERFORM pg_temp.does((who ->> 'writer')::bigint, format('send_intro(%s, %L)', who ->> 'other', 'a needle before'));
	END IF;
	RETURN who || jsonb_build_object('group', club, 'direct', talk);
END $$;
-- A conversation with a past of 300 messages, of which a block is sealed; how many blocks.
CREATE FUNCTION pg_temp.seal(talk bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	last bigint := (SELECT c.last_seq FROM rapport.conversation AS c WHERE c.conversation_id = talk);
BEGIN
	UPDATE rapport.message AS m SET sent_at = m.sent_at - interval '100 days' WHERE m.conversation_id = talk;
	DELETE FROM rapport.message_dedupe AS d WHERE d.conversation_id = talk;
	INSERT INTO rapport.message (conversation_id, seq, sender_id, sent_at, client_id, body)
	SELECT talk, n, p.person_id, rapport.now() - interval '99 days', 'past' || n, 'hay'
	FROM (SELECT min(x.person_id) AS person_id FROM rapport.participant AS x WHERE x.conversation_id = talk AND x.left_seq IS NULL) AS p, generate_series(last + 1, 300) AS n;
	UPDATE rapport.conversation AS c SET last_seq = 300 WHERE c.conversation_id = talk;
	UPDATE rapport.member AS m SET last_seq = 300 WHERE m.conversation_id = talk AND NOT m.is_group;
	PERFORM rapport.seal_conversation(talk, rapport.now() - interval '90 days', 10000);
	RETURN (SELECT count(*) FROM rapport.message_block AS b WHERE b.conversation_id = talk AND b.first_seq = 1);
END $$;
-- A conversation as somebody sees it.
CREATE FUNCTION pg_temp.seen(talk bigint, VARIADIC pages bigint[] DEFAULT '{0}') RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT jsonb_agg(m) FROM unnest(pages) AS p, rapport.messages(talk, 100, after_seq => p) AS m);
EXCEPTION WHEN SQLSTATE 'RP404' THEN
	RETURN NULL;
END $$;
CREATE FUNCTION pg_temp.view(talk bigint) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('unread', (SELECT c.unread FROM rapport.conversations(100) AS c WHERE c.conversation_id = talk),
		'last', (SELECT coalesce(c.last_message, '') FROM rapport.conversations(100) AS c WHERE c.conversation_id = talk),
		'title', (SELECT c.title FROM rapport.conversations(100) AS c WHERE c.conversation_id = talk),
		'found', jsonb_array_length((rapport.search_messages('needle')).items),
		'seen', pg_temp.seen(talk))
$$;
-- What a device keeps of somebody's chat, and of this conversation the messages.
CREATE FUNCTION pg_temp.copy(talk bigint) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('messages', coalesce((SELECT jsonb_object_agg(m ->> 'seq', m) FROM jsonb_array_elements(pg_temp.seen(talk, 0, 100, 200, 300)) AS m), '{}'),
		'conversations', (SELECT coalesce(jsonb_object_agg(c.conversation_id, to_jsonb(c) - ARRAY['conversation_id', 'kind', 'display_name', 'last_message', 'cursor']
																			  || jsonb_build_object('archived', a)), '{}')
						  FROM (VALUES (false), (true)) AS x (a), rapport.conversations(100, archived => a) AS c),
		'group_invitations', (SELECT coalesce(jsonb_object_agg(i.conversation_id, i.title), '{}') FROM rapport.group_invitations(100) AS i),
		'intros_sent', (SELECT coalesce(jsonb_object_agg(i.person_id, 1), '{}') FROM rapport.intros_sent(100) AS i),
		'intros', (SELECT coalesce(jsonb_object_agg(i.person_id, i.body), '{}') FROM rapport.intros(100) AS i),
		'matches', (SELECT coalesce(jsonb_object_agg(m.conversation_id, m.person_id), '{}') FROM rapport.matches(page_size => 100) AS m),
		'read_receipts', rapport.chat_preferences())
$$;
CREATE PUBLICATION chat_matrix;
SELECT pg_create_logical_replication_slot('chat_matrix', 'pgoutput', true) \g /dev/null
SQL

my ($scene, %is);
sub scene {
	my ($strangers) = @_;
	ask("SELECT rapport.act_as(NULL) \\g /dev/null\n");
	$scene = JSON::PP::decode_json(ask('SELECT pg_temp.scene(' . ($strangers ? 'true' : 'false') . ')'));
	return;
}

sub filled {
	my ($text, $talk) = @_;
	$text =~ s/\{(\w+)\}/$1 eq 'talk' ? $talk : $scene->{$1} \/\/ die "$text: no $1"/ge;
	return $text;
}

# What one line of SQL says, as somebody.
sub as {
	my ($name, $query) = @_;
	my $text = ask("SELECT rapport.act_as($scene->{$name}) \\g /dev/null\n$query");
	$text =~ s/\s+\z//;
	return $text;
}

sub attempt {
	my ($name, $call, $talk) = @_;
	my $statement = filled($call, $talk);
	return as($name, "SELECT pg_temp.attempt(\$call\$$statement\$call\$)");
}

sub view { return JSON::PP::decode_json(as($_[0], "SELECT pg_temp.view($_[1])")) }

# A device of somebody, as it is now: what it keeps, and where its sync() goes on.
sub device {
	my ($name, $talk) = @_;
	return { copy => JSON::PP::decode_json(as($name, "SELECT pg_temp.copy($talk)")), next => as($name, 'SELECT next FROM rapport.sync()') };
}

# The kinds of what sync() tells a device, messages and changes with their states, lists with
# their names; and what is not right in its copy after it has done what the protocol says.
sub told {
	my ($name, $device, $talk) = @_;
	my $items = JSON::PP::decode_json(as($name, "SELECT s.items FROM rapport.sync('$device->{next}', 500) AS s"));
	my $now = device($name, $talk)->{copy};
	my $copy = JSON::PP::decode_json($json->encode($device->{copy}));
	my %kinds;
	for my $item (@$items) {
		my ($kind, $id) = @$item{qw(kind conversation_id)};
		$kinds{ join ':', $kind, $item->{state} // $item->{list} // () } = 1;
		if ($kind eq 'conversation') {
			# One that is new is read, also when it is told what it has.
			$copy->{messages} = $now->{messages} if $id == $talk && !$copy->{conversations}{$id};
			my $known = $now->{conversations}{$id} // {};
			$copy->{conversations}{$id} = { map { $_ => $item->{$_} } keys %$known };
			next if $id != $talk;
			delete @{ $copy->{messages} }{ grep { $_ <= $item->{joined_seq} } keys %{ $copy->{messages} } };
			%$_ = (%$_, state => 'hidden', reactions => [], map { $_ => undef } qw(body attrs edited_at expires_at)) for grep { $_ } @{ $copy->{messages} }{ @{ $item->{hidden} // [] } };
		} elsif ($kind eq 'message' || $kind eq 'change') {
			next if $id != $talk;
			$copy->{messages}{ $item->{seq} } = { map { $_ => $item->{$_} } grep { !/^(?:kind|conversation_id|change_seq)$/ } keys %$item };
		} elsif ($kind eq 'gone') {
			delete $copy->{$_}{$id} for qw(conversations matches);
			$copy->{messages} = {} if $id == $talk;
		} elsif ($kind eq 'match') {
			$copy->{matches}{$id} = $item->{person_id};
			delete $copy->{$_}{ $item->{person_id} } for qw(intros intros_sent);
		} elsif ($kind eq 'intro') {
			$copy->{intros}{ $item->{person_id} } = $item->{body};
		} elsif ($kind eq 'intro_sent') {
			$copy->{intros_sent}{ $item->{person_id} } = 1;
		} elsif ($kind eq 'intro_gone') {
			delete $copy->{intros}{ $item->{person_id} };
		} elsif ($kind eq 'group_invitation') {
			$copy->{group_invitations}{$id} = $item->{title};
		} elsif ($kind eq 'preferences') {
			$copy->{read_receipts} = $item->{read_receipts};
		} elsif ($kind eq 'stale') {
			$copy->{ $item->{list} } = $now->{ $item->{list} };
		} else {
			die "$name was told of $kind";
		}
	}
	my @wrong = grep { $json->encode($copy->{$_}) ne $json->encode($now->{$_}) } sort keys %$now;
	return (%kinds ? join ' ', sort keys %kinds : '-') . (@wrong ? ", wrong: @wrong" : '');
}

# What the stream tells, and whom.
sub events {
	my @events = split /\n/, ask(<<'SQL');
SELECT rapport.act_as(NULL) \g /dev/null
SELECT DISTINCT concat_ws(':', x.e ->> 'address', x.e ->> 'kind')
FROM (SELECT (regexp_match(encode(c.data, 'escape'), '\{"address".*\}'))[1]::jsonb AS e
	  FROM pg_logical_slot_get_binary_changes('chat_matrix', NULL, NULL, 'proto_version', '1', 'publication_names', 'chat_matrix', 'messages', 'true') AS c
	  WHERE get_byte(c.data, 0) = ascii('M')) AS x
SQL
	my %name = reverse %$scene;
	s/^[pc]:(\d+)/$name{$1} \/\/ 'new'/e for @events;
	return @events ? join ' ', sort @events : '-';
}

# Everything in the tables that a conversation has, and all that people have without one,
# for telling whether a call changed it.
sub rows {
	my ($talk) = @_;
	my $rows = join ', ', (map { "(SELECT jsonb_agg(x ORDER BY x::text) FROM rapport.$_ AS x WHERE x.conversation_id = $talk)" }
			qw(conversation message_dedupe participant member message_reaction message_change message_timer group_invitation)),
		"(SELECT jsonb_agg(x ORDER BY x.seq) FROM rapport.message_range($talk, 0, 1000) AS x)",
		map { "(SELECT concat_ws(' ', count(*), sum(hashtextextended(x::text, 0))) FROM rapport.$_ AS x)" }
			qw(conversation pair swipe like_received intro intro_sent chat_preference stale_list);
	return ask("SELECT rapport.act_as(NULL) \\g /dev/null\nSELECT jsonb_build_array($rows)");
}

# The effect of a call on what somebody has in front of them: unread, inbox, search.
sub effect {
	my ($was, $is) = @_;
	return {
		unread => defined $is->{unread} ? sprintf '%+d', $is->{unread} - ($was->{unread} // 0) : 'gone',
		inbox => !defined $is->{last} ? 'gone'
			: join(' ', defined $was->{last} && $is->{last} eq $was->{last} ? 'same' : "'$is->{last}'", ($is->{title} // '') eq ($was->{title} // '') ? () : $is->{title}),
		search => "$was->{found}>$is->{found}",
	};
}

# Who tries, as whom and where: also with one's own message where it is closed by one's block, or ended.
my %actors = (
	group => [map { [$_, $_, 'group'] } qw(owner admin member blocked departed outsider)],
	direct => [(map { [$_, $_, 'direct'] } qw(member peer outsider)), ['blocked', 'blocked', 'closed'], ['blocker', 'member', 'closed'], ['unmatched', 'member', 'ended']],
	self => [map { [$_, $_, 'group'] } qw(owner admin member blocked departed outsider invitee)],
	intro => [map { [$_, $_, 'group'] } qw(stranger other writer outsider)],
);

# What a line does, by column.
sub happens {
	my ($line) = @_;
	my ($call, $by, $other, $place) = @{$line}{qw(call by other place)};
	my %got;
	my $talk;
	my $begin = sub {
		my ($name, $where) = @_;
		scene($place eq 'intro');
		$talk = $scene->{ $where // ($place eq 'direct' ? 'direct' : 'group') };
		attempt($name // $by, $line->{first}, $talk) if $line->{first} ne '-';
	};
	my %who;
	for my $actor (@{ $actors{$place} }) {
		my ($label, $name, $where) = @$actor;
		$begin->($name, $where);
		push @{ $who{ attempt($name, $call, $talk) } }, $label;
	}
	$got{who} = join '; ', map { "$_: @{ $who{$_} }" } sort keys %who;

	# Seen by somebody else, and on another device of who does it.
	$begin->();
	my @names = ($by, $other, $place eq 'group' ? qw(blocked departed) : ());
	my %before = map { $_ => view($_, $talk) } @names;
	my %device = map { $_ => device($_, $talk) } @names;
	events();
	attempt($by, $call, $talk);
	$got{events} = events();
	my %after = map { $_ => view($_, $talk) } @names;
	%got = (%got, %{ effect($before{$other}, $after{$other}) });
	my $own = effect($before{$by}, $after{$by});
	$got{own} = join ', ', @$own{qw(unread inbox search)}, told($by, $device{$by}, $talk);
	$got{sync} = told($other, $device{$other}, $talk);
	$got{blocked} = $place eq 'group' ? "$before{blocked}{found}>$after{blocked}{found}, " . told('blocked', $device{blocked}, $talk) : 'n/a';
	$got{departed} = $place eq 'group' ? told('departed', $device{departed}, $talk) : 'n/a';

	# A second call, of which the stream tells nothing either.
	my $rows = rows($talk);
	events();
	my $again = attempt($by, $call, $talk);
	my $heard = events();
	$got{retry} = "$again, " . (rows($talk) eq $rows ? 'nothing changes' : 'once more') . ($heard eq '-' ? '' : ", $heard");

	# The same where the message lies in a sealed block.
	$got{sealed} = 'n/a';
	if ($place =~ /^(?:group|direct)$/) {
		my $short = sub { join '|', map { join ' ', @$_{qw(seq state)}, $_->{body} // '', scalar @{ $_->{reactions} } } grep { $_->{seq} <= ($place eq 'direct' ? 2 : 5) } @{ $_[0]{seen} // [] } };
		my $plain = $short->($after{$other});
		$begin->();
		die "$call: not sealed" if ask("SELECT rapport.act_as(NULL) \\g /dev/null\nSELECT pg_temp.seal($talk)") < 1;
		my $was = view($other, $talk);
		my $device = device($other, $talk);
		events();
		my $done = attempt($by, $call, $talk);
		my $events = events();
		my $is = view($other, $talk);
		my $sync = told($other, $device, $talk);
		my @differs = (($line->{call} =~ /^send/ || $short->($is) eq $plain ? () : 'other messages'),
			($sync eq $got{sync} ? () : $sync), ($events eq $got{events} ? () : $events));
		$got{sealed} = join ', ', $done, "$was->{found}>$is->{found}", @differs ? @differs : 'as unsealed';
	}

	# Back again, as who did it and somebody else see it, and a device that has seen it done;
	# sends and events leave their traces.
	$got{undo} = 'none';
	if ($line->{undo_call} ne '-') {
		$begin->();
		my @was = map { $json->encode(view($_, $talk)) } $by, $other;
		attempt($by, $call, $talk);
		my $device = device($other, $talk);
		my $back = attempt($line->{undo_by} || $by, $line->{undo_call}, $talk);
		my @is = map { $json->encode(view($_, $talk)) } $by, $other;
		$got{undo} = "$back, " . ("@is" eq "@was" ? 'as before' : 'with traces') . ', ' . told($other, $device, $talk);
	}

	# Whoever did it is erased, as two devices see it: one that has seen it done, and one that was away.
	$begin->();
	my $away = device($other, $talk);
	attempt($by, $call, $talk);
	my $there = device($other, $talk);
	my $erase = sub { ask("SELECT rapport.act_as(NULL) \\g /dev/null\nSELECT rapport.erase_person_for($scene->{$_[0]}) \\g /dev/null\n") };
	$erase->($by);
	my $left = view($other, $talk);
	my $mine = grep { $_->{sender_id} == $scene->{$by} && $_->{state} ne 'deleted' && $_->{state} ne 'system' } @{ $left->{seen} // [] };
	my $reactions = grep { @{ $_->{reactions} } } @{ $left->{seen} // [] };
	$got{erased} = "$left->{found} found, $mine of theirs, $reactions reactions";
	$got{erased_sync} = join ' / ', map { told($other, $_, $talk) } $there, $away;

	# Whom it is about is erased before: the one that the call names, or the other.
	$begin->();
	$erase->((grep { !/^(?:talk|group)$/ } $call =~ /\{(\w+)\}/g)[0] // $other);
	$got{to_erased} = attempt($by, $call, $talk);
	return \%got;
}

sql(q{SELECT rapport.set_setting('message_edit_minutes', '0')});
my (@columns, @lines);
open my $table, '<', 'test/api/chat_matrix.tsv' or die "chat_matrix.tsv: $!";
while (my $line = <$table>) {
	chomp $line;
	next if $line =~ /^#|^$/;
	my @cells = split /\t/, $line, -1;
	if (!@columns) {
		@columns = @cells;
		next;
	}
	die "line $.: " . @cells . ' cells' if @cells != @columns;
	push @lines, { map { $columns[$_] => $cells[$_] } 0 .. $#columns };
}

my %verb = map { ($_->{call} =~ /^(\w+)/)[0] => 1 } @lines;
my @routes = split /\n/, ask("SELECT split_part(r.call, '.', 2) FROM rapport.route AS r WHERE r.builtin AND r.tag = 'chat' AND r.method <> 'GET' ORDER BY 1");
is_deeply([grep { !$verb{$_} } @routes], [], 'every verb has a line');
is_deeply([grep { my $verb = $_; !grep { $_ eq $verb } @routes } sort keys %verb], [], 'every line is a verb');
for my $line (@lines) {
	my $got = happens($line);
	my @wrong = map { "$_: $got->{$_}, not $line->{$_}" } grep { $got->{$_} ne $line->{$_} } sort keys %$got;
	ok(!@wrong, "$line->{call} by $line->{by}") or diag join "\n", @wrong;
}

# The check, checked: a deletion that forgets to tell is found, and so is an erasure that does.
subtest 'what is planted is found' => sub {
	my $planted = sub {
		my ($function, $pattern, $line) = @_;
		my $body = ask("SELECT rapport.act_as(NULL) \\g /dev/null\nSELECT pg_get_functiondef('rapport.$function'::regprocedure)");
		(my $forgetful = $body) =~ s/$pattern// or die 'nothing to plant';
		ask("\n$forgetful");
		my $got = happens($line);
		ask("SELECT rapport.act_as(NULL) \\g /dev/null\n$body");
		return $got;
	};
	my ($line) = grep { $_->{call} =~ /^delete_message.*true/ } @lines;
	my $got = $planted->('delete_message(bigint, bigint, boolean)', qr/PERFORM rapport\.note_change\([^;]*;/, $line);
	like($got->{sync}, qr/wrong: messages/, 'sync tells nothing of it');
	isnt($got->{events}, $line->{events}, 'nor does the stream');
	my ($sent) = grep { $_->{call} =~ /^send_message/ && $_->{place} eq 'group' } @lines;
	$got = $planted->('chat_erase(bigint[])', qr/PERFORM rapport\.note_erased\([^;]*;/, $sent);
	like($got->{erased_sync}, qr/wrong: messages/, 'nor of what somebody wrote who is erased');
	is(happens($line)->{sync}, $line->{sync}, 'as before');
};
sql(q{SELECT rapport.set_setting('message_edit_minutes', NULL)});
ask("SELECT rapport.act_as(NULL) \\g /dev/null\nSELECT pg_drop_replication_slot('chat_matrix') \\g /dev/null\nDROP PUBLICATION chat_matrix");
done_testing;
