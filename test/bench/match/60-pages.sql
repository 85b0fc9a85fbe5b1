-- Variables: library, viewers (how many that have a hundred pages), seed.
\ir ../race.sql
CREATE TEMPORARY TABLE paged (viewer bigint, page1 double precision, page100 double precision);
CREATE TEMPORARY TABLE wanted AS SELECT :viewers AS viewers;
CREATE TEMPORARY TABLE drawn AS
SELECT person_id FROM rapport.candidate WHERE mode = 1 ORDER BY hashint8extended(person_id, :seed) LIMIT 50 * :viewers;
DO $$
DECLARE
	v record;
	place text;
	n integer;
	began double precision;
	ms double precision[];
BEGIN
	FOR v IN SELECT * FROM pg_temp.drawn
	LOOP
		EXIT WHEN (SELECT count(*) FROM pg_temp.paged) = (SELECT viewers FROM pg_temp.wanted);
		PERFORM rapport.act_as(v.person_id);
		-- The person stays, the role is ours again.
		PERFORM set_config('role', 'none', false);
		-- Where page 99 ends, by pages of 99.
		place := NULL;
		FOR page IN 1 .. 20
		LOOP
			SELECT count(*), (array_agg(d.cursor))[99] INTO n, place FROM rapport.discover(page_size => 99, after => place) AS d;
			EXIT WHEN n < 99;
		END LOOP;
		CONTINUE WHEN n < 99 OR (SELECT count(*) FROM rapport.discover(page_size => 20, after => place)) < 20;
		ms := '{Infinity,Infinity}';
		FOR turn IN 1 .. 5
		LOOP
			began := bench.cpu_ms();
			PERFORM FROM rapport.discover(page_size => 20);
			ms[1] := least(ms[1], bench.cpu_ms() - began);
			began := bench.cpu_ms();
			PERFORM FROM rapport.discover(page_size => 20, after => place);
			ms[2] := least(ms[2], bench.cpu_ms() - began);
		END LOOP;
		INSERT INTO pg_temp.paged VALUES (v.person_id, ms[1], ms[2]);
	END LOOP;
END;
$$;
SELECT unnest(ARRAY['viewers=' || count(*), 'page1_mean=' || round(avg(page1)::numeric, 3), 'page100_mean=' || round(avg(page100)::numeric, 3)])
FROM paged;
