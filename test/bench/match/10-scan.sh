# The ordered scan against all peers, in both populations. These and the peers'
# tables are made side by side: nothing of that is measured.
make_with_peers() {
	local database
	make_people "$1"
	database=$(name_of "$1")
	run -f test/bench/match/10-peers.sql >/dev/null
}
make_with_peers sparse &
sparse=$!
make_with_peers dense
wait $sparse

database=$(name_of dense)
measure -v knn=1 -v plan=1 -f test/bench/match/10-scan.sql
exact rapport grid brute postgis btree
echo "match: the nearest 500 by place, then filtered: wrong for $(value knn_wrong) of $((viewers / 4)) viewers, $(value knn_mean) ms"
figure_ratio dense_mean_vs_grid rapport_mean grid_mean '<=4.5'
figure_ratio dense_vs_postgis postgis_mean rapport_mean '>=25'
figure_ratio dense_vs_btree btree_mean rapport_mean '>=12'
figure_ratio demo_vs_postgis postgis_mean rapport_mean '>=15'

database=$(name_of sparse)
measure -f test/bench/match/10-scan.sql
exact rapport grid brute postgis btree
figure_ratio sparse_vs_postgis postgis_mean rapport_mean '>=6'
