# The whole of discover(), without reading the profiles, against the bare ordered scan in it.
make_people dense
database=$(name_of dense)
measure -f test/bench/match/70-discover.sql
exact scan
figure discover_vs_scan "$(value discover_vs_scan)" x '<=1.5'
