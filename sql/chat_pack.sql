-- Packing inboxes: rows lie together afterwards, and are what they were.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS rapport CASCADE;
CREATE SCHEMA pack;
-- Conversations begin one after another, each with other people: 70 of the first ten people,
-- 19 of the eleventh, who has too few to be moved.
CREATE TABLE pack.person AS SELECT n, rapport.new_person() AS person_id FROM generate_series(1, 811) AS n;
CREATE TABLE pack.talk AS
SELECT row_number() OVER (ORDER BY i, a.n) AS n, rapport.new_id() AS conversation_id, a.person_id AS one, b.person_id AS other
FROM generate_series(1, 70) AS i
JOIN pack.person AS a ON a.n <= 10 OR a.n = 11 AND i <= 19
JOIN pack.person AS b ON b.n = 12 + (i * 11 + a.n) % 800;
DO $$
DECLARE
	it pack.talk;
BEGIN
	FOR it IN SELECT * FROM pack.talk ORDER BY n LOOP
		INSERT INTO rapport.member (person_id, conversation_id, other_id, read_seq, last_seq, last_at, joined_seq, archived_seq, muted_until, closed)
		SELECT x.me, it.conversation_id, x.other, it.n % 5, it.n, '2026-03-01 12:00Z', it.n % 2, nullif(it.n % 7, 0), CASE WHEN it.n % 9 = 0 THEN timestamptz 'infinity' END, it.n % 11 = 0
		FROM (VALUES (it.one, it.other), (it.other, it.one)) AS x (me, other);
		-- Room that others take.
		INSERT INTO rapport.member (person_id, conversation_id, last_at)
		SELECT rapport.new_id(), it.conversation_id, '2026-03-01 12:00Z' FROM generate_series(1, 30);
	END LOOP;
END;
$$;
CREATE TABLE pack.was AS SELECT * FROM rapport.member;
-- Pages, as many as need be, of each of the eleven.
CREATE VIEW pack.lie AS
SELECT p.n, count(*) AS rows, count(DISTINCT (m.ctid::text::point)[0]) AS pages
FROM pack.person AS p
JOIN rapport.member AS m USING (person_id)
WHERE p.n <= 11
GROUP BY p.n;
CREATE VIEW pack.difference AS
(TABLE pack.was EXCEPT ALL TABLE rapport.member) UNION ALL (TABLE rapport.member EXCEPT ALL TABLE pack.was);
SELECT min(pages) FROM pack.lie WHERE n <= 10;

-- Batch by batch, each of whole people, until it has gone round.
SELECT rapport.pack_inboxes(1);
SELECT count(*) FILTER (WHERE pages <= 5) FROM pack.lie;
SELECT count(*) FROM pack.difference;
DO $$
DECLARE
	moved bigint := 0;
	n bigint;
BEGIN
	LOOP
		n := rapport.pack_inboxes();
		EXIT WHEN n = 0;
		moved := moved + n;
	END LOOP;
	RAISE WARNING 'moved %', moved;
END;
$$;
SELECT rapport.pack_inboxes();
SELECT n, rows, pages <= 5 AS together FROM pack.lie ORDER BY n;
SELECT count(*) FROM pack.difference;
SELECT job, done_to FROM rapport.chat_pass WHERE job = 'pack_inboxes';

-- Pages that are empty are used before the table grows.
DELETE FROM rapport.member AS m
WHERE m.conversation_id IN (SELECT t.conversation_id FROM pack.talk AS t) AND m.person_id NOT IN (SELECT p.person_id FROM pack.person AS p WHERE p.n <= 11);
VACUUM rapport.member;
SELECT pg_relation_size('rapport.member') AS size \gset
SELECT rapport.empty_page('rapport.member');
INSERT INTO rapport.member SELECT w.* FROM pack.was AS w JOIN pack.person AS p USING (person_id) WHERE p.n > 11 LIMIT 30;
SELECT count(DISTINCT (m.ctid::text::point)[0]) AS pages, pg_relation_size('rapport.member') = :size AS reused
FROM rapport.member AS m
JOIN pack.person AS p USING (person_id)
WHERE p.n > 11;

-- Who may, and what is no batch.
SELECT rapport.pack_inboxes(0);
SELECT rapport.pack_inboxes(NULL);
SET ROLE rapport_user;
SELECT rapport.pack_inboxes();
SELECT rapport.empty_page('rapport.member');
SET ROLE rapport_service;
SELECT rapport.pack_inboxes() >= 0 AS allowed;
RESET ROLE;
DELETE FROM rapport.member WHERE conversation_id IN (SELECT conversation_id FROM pack.talk);
DROP SCHEMA pack CASCADE;
