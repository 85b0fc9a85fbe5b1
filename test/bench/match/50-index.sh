# The size of the index, and what it takes to build, to change and to keep in shape.
make_people dense
database=$(name_of dense)
measure -v updates="$people" -f test/bench/match/50-index.sql
figure index_bytes_vs_key "$(value index_bytes_vs_key)" x '<=1.45'
figure_ratio build_vs_postgis rapport_build postgis_build '<=0.5'
figure_ratio update_time_vs_postgis rapport_update_us postgis_update_us '<=1.0'
figure_ratio update_wal_vs_postgis rapport_update_wal postgis_update_wal '<=1.5'
figure_ratio churn_leaf_tuples churned_leaf_tuples fresh_leaf_tuples '<=1.5'
