-- Some :messages messages of two years in skewed conversations, with bench_text, in the
-- order in which they were sent: keys are entered at random places, rows of a
-- conversation lie apart, as they do in a database that has grown.
SELECT setseed(.25) \g /dev/null
-- Conversations of 200 messages: half of all have less than 65, one in a hundred more
-- than 2,000. Each person is in about 200; each lasts some weeks to some months.
CREATE TABLE bench_person AS
SELECT n, rapport.new_person() AS person_id FROM generate_series(1, greatest(:messages / 18500, 20)) AS n;
CREATE TABLE bench_talk AS
SELECT t.n, rapport.new_id() AS conversation_id, t.size::integer AS size, 1 + t.n % 5 AS lang,
	   a.person_id AS one, b.person_id AS other,
	   t.starts, interval '1 day' * (7 - 90 * ln(1 - random())) AS lasts
FROM (SELECT n, ceil(200 * x / avg(x) OVER ()) AS size,
			 1 + floor(random() * p.people)::integer AS i, 1 + floor(random() * (p.people - 1))::integer AS j, p.people,
			 rapport.now() - interval '730 days' * random() AS starts
	  FROM (SELECT n, exp(1.5 * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())) AS x
			FROM generate_series(1, :messages / 185) AS n) AS s
	  CROSS JOIN (SELECT count(*)::integer AS people FROM bench_person) AS p) AS t
JOIN bench_person AS a ON a.n = t.i
JOIN bench_person AS b ON b.n = 1 + (t.i - 1 + t.j) % t.people;

CREATE TABLE bench_message AS
SELECT t.conversation_id, row_number() OVER (PARTITION BY t.conversation_id ORDER BY m.at) AS seq,
	   CASE WHEN random() < .5 THEN t.one ELSE t.other END AS sender_id, m.at, t.lang, 1 + floor(random() * :texts)::integer AS n
FROM bench_talk AS t
CROSS JOIN LATERAL (SELECT t.starts + t.lasts * random() AS at
					FROM generate_series(1, t.size)) AS m
-- Of those that go on, what is yet to come is left out.
WHERE m.at < (SELECT rapport.now());
UPDATE bench_talk SET size = 0;
UPDATE bench_talk AS t
SET size = m.size
FROM (SELECT conversation_id, count(*) AS size FROM bench_message GROUP BY conversation_id) AS m
WHERE m.conversation_id = t.conversation_id;
DELETE FROM bench_talk WHERE size = 0;
ANALYZE bench_message, bench_text, bench_talk;

INSERT INTO rapport.message (conversation_id, seq, sender_id, sent_at, client_id, body)
SELECT m.conversation_id, m.seq, m.sender_id, m.at, (random() * 1e15)::bigint::text, t.body
FROM bench_message AS m
JOIN bench_text AS t ON t.lang = m.lang AND t.n = m.n
ORDER BY m.at;
INSERT INTO rapport.conversation (conversation_id, kind, created_at, last_seq)
SELECT t.conversation_id, 'direct', t.starts, t.size FROM bench_talk AS t;
INSERT INTO rapport.participant (conversation_id, person_id)
SELECT t.conversation_id, unnest(ARRAY[t.one, t.other]) FROM bench_talk AS t;
INSERT INTO rapport.member (person_id, conversation_id, other_id, read_seq, last_seq, last_at)
SELECT x.me, t.conversation_id, x.other, t.size, t.size, m.sent_at
FROM bench_talk AS t
JOIN rapport.message AS m ON m.conversation_id = t.conversation_id AND m.seq = t.size
CROSS JOIN LATERAL (VALUES (t.one, t.other), (t.other, t.one)) AS x (me, other);
-- Names are kept for as long as chat_sweep() leaves them.
INSERT INTO rapport.message_dedupe (conversation_id, sender_id, client_id, seq, body_hash, at)
SELECT m.conversation_id, m.sender_id, m.client_id, m.seq, hashtextextended(m.body, 0), m.sent_at
FROM rapport.message AS m
WHERE m.sent_at >= (SELECT rapport.now() - make_interval(days => rapport.setting_int('message_dedupe_days')));
DROP TABLE bench_message;
