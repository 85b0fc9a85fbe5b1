# Questions that an index likes least: rare answers, nobody, everybody, everywhere.
make_people dense
database=$(name_of dense)
measure -v viewers="${ADVERSARIAL:-1000}" -f test/bench/match/30-adversarial.sql
exact rapport grid
figure adversarial_p99_vs_grid "$(awk -v ours="$(value rapport_p99)" -v grid="$(value grid_p99)" 'BEGIN { printf "%.2f", (ours > 5 ? (ours - 5) / grid : 0) }')" x '<=10'
figure adversarial_worst_vs_seqscan "$(value worst_vs_seqscan)" x '<=1.0'
