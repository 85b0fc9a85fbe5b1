#!/bin/bash
# Sending a message against a raw INSERT of the same row, and against statements
# written by hand that change the same rows, 32 clients, with a flush of the log
# that takes a millisecond: in turns, in one private cluster. By time, and by what
# the server's processes for the clients take of the CPU.
#
#   chat.sh            prints the rounds and a line "bench: ..." for each ratio
#
# SECONDS_A_ROUND (3) and ROUNDS (9) set how long it runs; peers/chat_insert.sql
# and peers/chat_same.sql are the peers, peers/chat_send.sql our side. It ends with
# an error where a message that was acknowledged is missing or a number is skipped.
set -euo pipefail

here=$(cd "$(dirname "$0")/../.." && pwd)
cluster=$here/test/cluster
clients=32 conversations=100
dir=$(mktemp -d "${TMPDIR:-/tmp}/rapport-bench.XXXXXX")
: >"$dir/rapport-cluster"
trap '"$cluster" down "$dir"' EXIT

sql() { "$cluster" psql "$dir" -XAtq -v ON_ERROR_STOP=1 -v clients="$clients" -v conversations="$conversations" "$@"; }

# Seconds of CPU of the server's processes that have ended: those for the clients,
# what they take to start included, and autovacuum's if it came by.
spent() {
	awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($14 + $15) / hz }' "/proc/$(head -n 1 "$dir/data/postmaster.pid")/stat"
}

# alone: waits until everybody else's process has ended, and its time is counted.
alone() { until [ "$(sql -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")" -eq 1 ]; do sleep 0.1; done; }

# run SCRIPT: one round of it; prints "transactions tps", and us of CPU each.
run() {
	local before done tps
	before=$(spent)
	read -r done tps < <("$cluster" exec "$dir" pgbench -n -M prepared -c "$clients" -j 2 \
		-T "${SECONDS_A_ROUND:-3}" -D started=0 -D conversations="$conversations" -f "test/bench/peers/$1" postgres 2>&1 |
		sed -n -e 's/.*actually processed: \([0-9]*\).*/\1/p' -e 's/^tps = \([0-9.]*\).*/\1/p' -e '/error/w /dev/stderr' | xargs)
	alone
	echo "$done $tps" "$(awk -v a="$(spent)" -v b="$before" -v n="$done" 'BEGIN { printf "%.1f", (a - b) * 1e6 / n }')"
}

# latencies SCRIPT FILE: appends the us that each of 300 sends of one client takes.
latencies() {
	rm -f "$dir"/latency.*
	"$cluster" exec "$dir" pgbench -n -M prepared -c 1 -t 300 --log --log-prefix="$dir/latency" -D started=0 -D conversations="$conversations" \
		-f "test/bench/peers/$1" postgres >/dev/null
	tail -q -n +2 "$dir"/latency.* | cut -d' ' -f3 >>"$2"
}

# divide A B: their ratio.
divide() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }

# median RATIO ...
median() { printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# bench NAME VALUE >=BAR|<=BAR: the line; what was not measured ends it.
bench() {
	[[ $2 =~ ^[0-9]+(\.[0-9]+)?$ ]] || { echo "chat.sh: $1 was not measured" >&2; exit 1; }
	echo "bench: chat.$1 value=$2 unit=x bar=$3 $(awk -v v="$2" -v b="$3" 'BEGIN { bar = substr(b, 3) + 0; print ((b ~ /^>/ ? v >= bar : v <= bar) ? "ok" : "short") }')"
}

"$cluster" up "$dir"
"$cluster" install "$dir"
sql -f - <"$here/test/bench/peers/chat_setup.sql"
alone

ratios=() costs=() same_ratios=() same_costs=() sent=0
declare -A done tps cpu
for round in $(seq "${ROUNDS:-9}"); do
	# What slows the machine down for a while is not always at the same side's turn.
	sides=(insert send same)
	[ $((round % 2)) -eq 1 ] || sides=(same send insert)
	for side in "${sides[@]}"; do
		read -r done[$side] tps[$side] cpu[$side] <<<"$(run "chat_$side.sql")"
	done
	sent=$((sent + done[send] + done[same]))
	same_ratios+=("$(divide "${tps[send]}" "${tps[same]}")")
	same_costs+=("$(divide "${cpu[send]}" "${cpu[same]}")")
	ratios+=("$(divide "${tps[send]}" "${tps[insert]}")")
	costs+=("$(divide "${cpu[send]}" "${cpu[insert]}")")
	echo "round $round: insert ${tps[insert]}/s, same rows ${tps[same]}/s, send ${tps[send]}/s, ratios ${ratios[-1]} ${same_ratios[-1]}; CPU ${cpu[insert]} us, ${cpu[same]} us, ${cpu[send]} us, ratios ${costs[-1]} ${same_costs[-1]}"
done

stored=$(sql -c 'SELECT count(*) FROM rapport.message WHERE conversation_id <> (SELECT conversation_id FROM crowd)')
gaps=$(sql -c 'SELECT count(*) FROM rapport.conversation AS c
	WHERE last_seq <> (SELECT count(*) FROM rapport.message AS m WHERE m.conversation_id = c.conversation_id)')
hot=$(sql -c "SELECT string_agg(relname || ' ' || round(100.0 * n_tup_hot_upd / greatest(n_tup_upd, 1)) || ' %', ', ' ORDER BY relname)
	FROM pg_stat_user_tables WHERE relid IN ('rapport.conversation'::regclass, 'rapport.member'::regclass)")
echo "messages $stored, acknowledged $sent, conversations with gaps $gaps; updates that stayed HOT: $hot"
if [ "$stored" -ne "$sent" ] || [ "$gaps" -ne 0 ]; then
	echo 'chat.sh: what is stored is not what was acknowledged' >&2
	exit 1
fi

bench send_vs_insert_1ms "$(median "${ratios[@]}")" '>=0.45'
bench send_cpu_vs_insert "$(median "${costs[@]}")" '<=6.5'
bench send_vs_same_effects "$(median "${same_ratios[@]}")" '>=0.90'
bench send_cpu_vs_same_effects "$(median "${same_costs[@]}")" '<=1.20'

# One client, in turns: a group of 10,000 and a conversation of two.
for _ in $(seq 3); do
	latencies chat_group.sql "$dir/group"
	latencies chat_send.sql "$dir/direct"
done
group=$(median $(cat "$dir/group"))
direct=$(median $(cat "$dir/direct"))
echo "p50 of a send to a group of 10,000: $group us; to one person: $direct us"
bench group10k_send_vs_direct "$(divide "$group" "$direct")" '<=2.0'
