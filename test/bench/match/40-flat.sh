# All attributes two-way and all set, half of the people in reach, an answer of
# 500: the shape that the largest open service on PostgreSQL gave up on.
database=flat_$seed
exists "$database" || { database=postgres run -c "CREATE DATABASE $database"; run -c 'CREATE EXTENSION rapport CASCADE'; }
measure -v viewers=20 -v plan=1 -f test/bench/match/40-flat.sql
exact rapport grid flat
figure_ratio duo_vs_flat flat_mean rapport_mean '>=15'
