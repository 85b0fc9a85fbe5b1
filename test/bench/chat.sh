#!/bin/bash
# Sending a message against a raw INSERT of the same row, 32 clients, with a
# flush of the log that takes a millisecond: in turns, in one private cluster.
#
#   chat.sh            prints the rounds and one line "bench: ..."
#
# SECONDS_A_ROUND (5) and ROUNDS (5) set how long it runs; peers/chat_insert.sql
# is the peer, peers/chat_send.sql our side. It ends with an error where a
# message that was acknowledged is missing or a number is skipped.
set -euo pipefail

here=$(cd "$(dirname "$0")/../.." && pwd)
cluster=$here/test/cluster
clients=32 conversations=100 bar=0.40
dir=$(mktemp -d "${TMPDIR:-/tmp}/rapport-bench.XXXXXX")
: >"$dir/rapport-cluster"
trap '"$cluster" down "$dir"' EXIT

sql() { "$cluster" psql "$dir" -XAtq -v ON_ERROR_STOP=1 -v clients="$clients" -v conversations="$conversations" "$@"; }

# run SCRIPT: one round of it; prints "transactions tps".
run() {
	"$cluster" exec "$dir" pgbench -n -M prepared -c "$clients" -j 2 \
		-T "${SECONDS_A_ROUND:-5}" -D started=0 -D conversations="$conversations" -f "test/bench/peers/$1" postgres 2>&1 |
		sed -n -e 's/.*actually processed: \([0-9]*\).*/\1/p' -e 's/^tps = \([0-9.]*\).*/\1/p' -e '/error/w /dev/stderr' | xargs
}

"$cluster" up "$dir"
"$cluster" install "$dir"
sql -f - <"$here/test/bench/peers/chat_setup.sql"

ratios='' sent=0 inserted=0
for round in $(seq "${ROUNDS:-5}"); do
	read -r done insert <<<"$(run chat_insert.sql)"
	inserted=$((inserted + done))
	read -r done send <<<"$(run chat_send.sql)"
	sent=$((sent + done))
	ratio=$(awk -v a="$send" -v b="$insert" 'BEGIN { printf "%.2f", a / b }')
	ratios="$ratios$ratio "
	echo "round $round: insert $insert/s, send $send/s, ratio $ratio"
done

stored=$(sql -c 'SELECT count(*) FROM rapport.message')
gaps=$(sql -c 'SELECT count(*) FROM rapport.conversation AS c
	WHERE last_seq <> (SELECT count(*) FROM rapport.message AS m WHERE m.conversation_id = c.conversation_id)')
hot=$(sql -c "SELECT string_agg(relname || ' ' || round(100.0 * n_tup_hot_upd / greatest(n_tup_upd, 1)) || ' %', ', ' ORDER BY relname)
	FROM pg_stat_user_tables WHERE relid IN ('rapport.conversation'::regclass, 'rapport.member'::regclass)")
echo "messages $stored, acknowledged $sent, conversations with gaps $gaps; updates that stayed HOT: $hot"
if [ "$stored" -ne "$sent" ] || [ "$gaps" -ne 0 ]; then
	echo 'chat.sh: what is stored is not what was acknowledged' >&2
	exit 1
fi

value=$(tr ' ' '\n' <<<"$ratios" | sed '/^$/d' | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }')
verdict=$(awk -v v="$value" -v b="$bar" 'BEGIN { print (v >= b ? "ok" : "short") }')
echo "bench: chat.send_vs_insert_1ms value=$value unit=x bar=>=$bar $verdict"
