#!/bin/bash
# What messages take of the disk, and how many pages it takes to read them: plain
# and sealed, in one private cluster with some MESSAGES (10,000,000) of them.
#
#   chat_history.sh    prints what it does and a line "bench: ..." for each figure
#
# Pages are those a call touches, from EXPLAIN (BUFFERS) and with the catalogue
# warm: the mean over 200 conversations that have rested for two weeks. All tables
# and indexes of chat count for the bytes of a message, and the jobs of operations.md
# have run: pack_inboxes() before all is measured. The first seal_messages()
# and the first pack_inboxes() over years are followed by VACUUM FULL, as
# operations.md says. It ends with an error where a sealed message is not what it was.
#
# Nothing is timed: all that is read, to be compared, is read in two halves at once.
set -euo pipefail

here=$(cd "$(dirname "$0")/../.." && pwd)
cluster=$here/test/cluster
messages=${MESSAGES:-10000000}
dir=$(mktemp -d "${TMPDIR:-/tmp}/rapport-bench.XXXXXX")
: >"$dir/rapport-cluster"
trap '"$cluster" down "$dir"' EXIT

sql() { "$cluster" psql "$dir" -XAtq -v ON_ERROR_STOP=1 -v messages="$messages" -v texts=40000 "$@"; }

# script FILE: runs it, from a folder that the cluster's owner may read.
script() { sql -f - <"$here/test/bench/chat/$1"; }

# bench NAME VALUE UNIT BAR: what was not measured ends it.
bench() {
	[[ $2 =~ ^[0-9]+(\.[0-9]+)?$ ]] || { echo "chat_history.sh: $1 was not measured" >&2; exit 1; }
	echo "bench: chat.$1 value=$2 unit=$3 bar=$4 $(awk -v v="$2" -v b="$4" 'BEGIN {
		bar = substr(b, 3) + 0; print ((b ~ /^>/ ? v + 0 >= bar : v + 0 <= bar) ? "ok" : "short") }')"
}

# digest: of what is read, a line for each half, in whatever order.
digest() {
	local pids=() half pid
	for half in 0 1; do
		sql -c "SELECT bench_digest($half)" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do wait "$pid" || return; done
}

# took WHAT: says how long it was since the last call.
took() { echo "$1: $((SECONDS - since)) s"; since=$SECONDS; }

tables="'{rapport.conversation,rapport.participant,rapport.message,rapport.message_block,rapport.message_dedupe,rapport.member}'::regclass[]"

# bytes: what a message takes in all tables and indexes.
bytes() { sql <<<"SELECT round(sum(pg_total_relation_size(t)) / :messages, 1) FROM unnest($tables) AS t"; }

# pages: the mean of the pages that the last 50 messages take, over the sample.
pages() { sql <<<'SELECT round(avg(bench_pages(format($$SELECT * FROM rapport.message_range(%s, %s, %s)$$, conversation_id, size - 49, size))), 1) FROM bench_sample'; }

SHARED_BUFFERS=4GB FSYNC=off "$cluster" up "$dir"
"$cluster" install "$dir"
sql -c "ALTER SYSTEM SET work_mem = '512MB'" -c "ALTER SYSTEM SET maintenance_work_mem = '512MB'" -c "ALTER SYSTEM SET autovacuum = off" \
	-c 'SELECT pg_reload_conf()' -c 'SET client_min_messages = warning' -c 'CREATE EXTENSION rapport CASCADE' >/dev/null
since=$SECONDS
script text.sql
took 'texts'
script load.sql
sql -c 'VACUUM ANALYZE'
messages=$(sql -c 'SELECT sum(size) FROM bench_talk')
took "$messages messages"
sql -f - <<'SQL'
CREATE TABLE bench_sample AS
SELECT m.conversation_id, t.size
FROM bench_talk AS t
JOIN rapport.message AS m ON m.conversation_id = t.conversation_id AND m.seq = t.size
WHERE t.size >= 50
AND m.sent_at < rapport.now() - interval '14 days'
ORDER BY md5(t.n::text)
LIMIT 200;
-- Twice: what the first call reads of the catalogue does not count.
CREATE FUNCTION bench_pages(query text) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
	plan json;
BEGIN
	FOR i IN 1..2 LOOP
		EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) ' || query INTO plan;
	END LOOP;
	RETURN (plan -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::bigint + (plan -> 0 -> 'Plan' ->> 'Shared Read Blocks')::bigint;
END;
$$;
-- The same, as one of the two asks for it: who may read them is looked up as well.
CREATE FUNCTION bench_messages() RETURNS numeric
LANGUAGE plpgsql
AS $$
DECLARE
	talk record;
	pages bigint[] := '{}';
BEGIN
	FOR talk IN
		SELECT s.conversation_id, (SELECT min(p.person_id) FROM rapport.participant AS p WHERE p.conversation_id = s.conversation_id) AS person_id
		FROM bench_sample AS s
	LOOP
		PERFORM rapport.act_as(talk.person_id, true);
		pages := pages || bench_pages(format('SELECT * FROM rapport.messages(%s, 50)', talk.conversation_id));
	END LOOP;
	RETURN (SELECT round(avg(n), 1) FROM unnest(pages) AS n);
END;
$$;
-- What is read in the conversations of a half, whoever keeps it: numbers are spread over 52 bits.
CREATE FUNCTION bench_digest(half integer) RETURNS text
LANGUAGE sql
AS $$
	SELECT format('%s %s %s', half, count(*), sum(hashtextextended(m::text, 0)))
	FROM rapport.conversation AS c
	CROSS JOIN LATERAL rapport.message_range(c.conversation_id, 1, c.last_seq) AS m
	WHERE c.conversation_id >> 51 = half;
$$;
SQL
sql <<<"SELECT format('%s conversations; messages in one: median %s, mean %s, largest %s; a text has %s bytes', count(*), percentile_disc(.5) WITHIN GROUP (ORDER BY size),
	round(avg(size)), max(size), (SELECT round(avg(octet_length(body)), 1) FROM bench_text)) FROM bench_talk"

# Somebody with 200 conversations: the keys of the first 30 of the inbox, and sync() when
# nothing has happened.
me=$(sql -c 'SELECT person_id FROM rapport.member GROUP BY person_id HAVING count(*) >= 200 ORDER BY count(*), person_id LIMIT 1')
[ -n "$me" ] || { echo 'chat_history.sh: nobody has 200 conversations; take more MESSAGES' >&2; exit 1; }
as_me() { sql -c "SELECT rapport.act_as($me)" -c "SELECT bench_pages(\$\$$1\$\$)" | tail -n 1; }
inbox() { sql -c "SELECT bench_pages('SELECT * FROM rapport.inbox($me, 30, NULL, NULL, false)')"; }
idle() { as_me "SELECT * FROM rapport.sync('$(sql -c "SELECT rapport.act_as($me)" -c 'SELECT next FROM rapport.sync()' | tail -n 1)')"; }
echo "before pack_inboxes(): inbox $(inbox) pages, sync() $(idle)"
since=$SECONDS
moved=0
while n=$(sql -c 'SELECT rapport.pack_inboxes(1000)') && [ "$n" -gt 0 ]; do moved=$((moved + n)); done
sql -c 'VACUUM (FULL, ANALYZE) rapport.member'
took "packing $moved rows of inboxes"

plain_bytes=$(bytes)
plain_pages=$(pages)
plain_messages=$(sql -c 'SELECT bench_messages()')
before=$(digest | sort)
since=$SECONDS
while [ "$(sql -c 'SELECT rapport.seal_messages(50000)')" -gt 0 ]; do :; done
took 'sealing'
sql -c 'VACUUM FULL rapport.message' -c 'VACUUM ANALYZE'
sql <<<"SELECT format('%s of %s messages are sealed, in %s blocks of %s parts, %s %% of their pages is data; tables: %s', :messages - (SELECT count(*) FROM rapport.message), :messages,
	count(*) FILTER (WHERE part = 0), count(*), 100 * sum(octet_length(data)) / pg_relation_size('rapport.message_block'), (SELECT string_agg(format('%s %s', t, pg_size_pretty(pg_total_relation_size(t))), ', ') FROM unnest($tables) AS t))
	FROM rapport.message_block"
if [ "$(digest | sort)" != "$before" ]; then
	echo 'chat_history.sh: what is sealed is not what it was' >&2
	exit 1
fi
bench bytes_plain "$plain_bytes" B '<=225'
bench bytes_sealed "$(bytes)" B '<=50'
bench history_pages_plain "$plain_pages" pages '<=56'
bench history_pages_sealed "$(pages)" pages '<=8'

bench inbox_buffers "$(inbox)" pages '<=40'
bench sync_pages_idle "$(idle)" pages '<=40'
echo "messages(50), with the look at who may read them: plain $plain_messages pages, sealed $(sql -c 'SELECT bench_messages()')"
echo "conversations(30), with names and texts: $(as_me 'SELECT * FROM rapport.conversations(30)') pages"
