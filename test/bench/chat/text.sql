-- bench_text(lang, n, body): messages as people write them, :texts of each language.
-- Made up, but like text to a compressor: five languages in three scripts, 20,000
-- words each, the frequent ones short; which word comes is Zipf's law. Words do not
-- depend on those before, as they do in real text, so it compresses a little worse.
SELECT setseed(.5) \g /dev/null
CREATE TABLE bench_word AS
SELECT lang, rank,
	   (SELECT string_agg(syllables[1 + get_byte(sha256(format('%s %s %s', lang, rank, k)::bytea), 0) % cardinality(syllables)], '')
		FROM generate_series(1, 1 + (rank > 30)::integer + (rank > 600 AND rank % 3 > 0)::integer + (rank > 5000 AND rank % 2 > 0)::integer) AS k)
	   || CASE WHEN rank % 5 = 0 THEN substr(endings, 1 + rank % length(endings), 1) ELSE '' END AS word
FROM (VALUES
	(1, string_to_array('the to a i you it and me is in that of my on for are we not so be have do with was at just no what can all like if out up good love time know get one now go see how really want from about think will when there going day too here or back as who more but they were yes oh well some been had make could them come right over', ' '), 'sdygn'),
	(2, string_to_array('que de no la el es y en lo un por me qu te los se con para mi est si pero las bien yo eso aqu su del al como le esto ya todo esta vamos muy una hay ahora algo tengo nos nada cu ten dos mos ci bra men tar ran co ta ri na', ' '), 'osnar'),
	(3, string_to_array('ich das die nicht du der und es ist ja mit wir den ein zu auf mir was so wie hab dass im von nein wenn aber auch an bin noch nur dich da hier war ge ver be sch ten lich keit ung ter ber gen stel hen zeit ach wer', ' '), 'nters'),
	(4, string_to_array('я не что и ты в это на с а как у мы за да но ну все его то так вы мне бы по же он вот от для нет ка ра но ли ти по то ре ни во ко ла ста про при ход дел зна мо же', ' '), 'аеиой'),
	(5, string_to_array('في من على أن ما لا هل أنا هذا مع كل إلى هو كان يا قد عن كم لي بك الي الم الس وال كت سل حب قا را نا ها يو مر عا', ' '), 'ةنيهت')
) AS l (lang, syllables, endings)
CROSS JOIN generate_series(1, 20000) AS rank;
CREATE INDEX ON bench_word (lang, rank);

-- How many words: half of all texts have up to five, a few have forty.
CREATE TABLE bench_text AS
SELECT w.lang, w.n, string_agg(v.word, ' ') || (ARRAY['', '', '.', '!', '?', ' :)'])[1 + w.n % 6] AS body
FROM (SELECT l.lang, t.n, 1 + floor(exp(random() * ln(20000)))::integer AS rank
	  FROM (VALUES (1), (2), (3), (4), (5)) AS l (lang)
	  CROSS JOIN generate_series(1, :texts) AS t (n)
	  CROSS JOIN LATERAL generate_series(1, 1 + least(60, (4.2 * exp(.8 * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())))::integer) * (l.lang * 0 + t.n / t.n)) AS k) AS w
JOIN bench_word AS v ON v.lang = w.lang AND v.rank = least(w.rank, 20000)
GROUP BY w.lang, w.n;
