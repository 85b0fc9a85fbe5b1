# Whom one has seen: what reading it costs a scan, and what a swipe writes.
if [ "$people" -lt 100000 ]; then
	echo "match: so few people have not 50,000 to see"
	return
fi
make_people dense
database=$(name_of dense)
measure -v viewers=$((viewers / 2)) -f test/bench/match/20-seen.sql
figure_ratio seen5k_vs_none seen_5000_mean seen_0_mean '<=1.3'
figure_ratio seen50k_vs_none seen_50000_mean seen_0_mean '<=2.0'
figure swipe_wal_50k "$(value swipe_wal)" B '<=1500'
