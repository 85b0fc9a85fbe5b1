# The hundredth page of 20 against the first, for viewers who have that many.
make_people dense
database=$(name_of dense)
measure -v viewers=20 -f test/bench/match/60-pages.sql
if [ "$(value viewers)" = 0 ]; then
	echo "match: of so few people nobody has a hundred pages"
else
	figure_ratio page100_vs_page1 page100_mean page1_mean '<=4'
fi
