# Whether the planner chooses well, at any size and for any shape of query.
make_people dense
database=$(name_of dense)
measure -f test/bench/match/60-plans.sql
figure plan_vs_best "$(value plan_vs_best)" x '<=2'
