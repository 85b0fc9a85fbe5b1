-- chat: the rows of an inbox together. A row is put where there is room when the
-- conversation begins, so an inbox of 200 lies on 200 pages until it is packed.

CREATE OR REPLACE FUNCTION rapport.empty_page(tab regclass) RETURNS void
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'chat_empty_page';
COMMENT ON FUNCTION rapport.empty_page(regclass) IS
'The rows that this session inserts next go to an empty page of the table, for as long as they fit.';

CREATE OR REPLACE FUNCTION rapport.pack_inboxes(batch integer DEFAULT 1000) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp SET lock_timeout = '200ms'
AS $$
DECLARE
	page_rows constant integer := 32;	-- with the room that fillfactor leaves for updates
	done bigint;
	looked_to bigint;
	scattered bigint[];
	someone bigint;
	talks rapport.member[];
	at integer;
	n integer;
	room integer := 0;
	moved bigint := 0;
BEGIN
	IF pack_inboxes.batch IS NULL OR pack_inboxes.batch < 1 THEN
		PERFORM rapport.fail('out_of_range', 'batch is 1 or more.');
	END IF;
	done := rapport.begin_pass('pack_inboxes');
	-- Whoever has many conversations, on more than twice the pages they need.
	LOOP
		SELECT max(i.person_id), array_agg(i.person_id ORDER BY i.person_id) FILTER (WHERE i.size >= 20 AND i.pages > 3 + 2 * i.size / page_rows)
		INTO looked_to, scattered
		FROM (SELECT m.person_id, count(*) AS size, count(DISTINCT (m.ctid::text::point)[0]) AS pages
			  FROM rapport.member AS m
			  WHERE m.person_id > done
			  GROUP BY m.person_id
			  ORDER BY m.person_id
			  LIMIT 2000) AS i;
		EXIT WHEN looked_to IS NULL OR scattered <> '{}';
		done := looked_to;
	END LOOP;
	IF looked_to IS NULL THEN
		UPDATE rapport.chat_pass SET done_to = 0 WHERE job = 'pack_inboxes';
		RETURN 0;
	END IF;
	-- An update that waited for a row which is deleted and inserted would find none. Readers go on.
	LOCK TABLE rapport.member IN EXCLUSIVE MODE;
	FOREACH someone IN ARRAY scattered LOOP
		WITH gone AS (
			DELETE FROM rapport.member AS m
			WHERE m.person_id = someone
			RETURNING m AS talk, m.conversation_id)
		SELECT array_agg(g.talk ORDER BY g.conversation_id) INTO talks FROM gone AS g;
		at := 0;
		WHILE at < cardinality(talks) LOOP
			IF room = 0 THEN
				PERFORM rapport.empty_page('rapport.member');
				room := page_rows;
			END IF;
			n := least(room, cardinality(talks) - at);
			INSERT INTO rapport.member
			SELECT t.* FROM unnest(talks[at + 1:at + n]) AS t;
			room := room - n;
			at := at + n;
		END LOOP;
		done := someone;
		moved := moved + at;
		EXIT WHEN moved >= pack_inboxes.batch;
	END LOOP;
	UPDATE rapport.chat_pass SET done_to = done WHERE job = 'pack_inboxes';
	RETURN moved;
END;
$$;
COMMENT ON FUNCTION rapport.pack_inboxes(integer) IS
'Puts the rows of people with many conversations together, so that their inbox and sync() read a few pages, not one a conversation: people are moved until that makes batch rows, or fewer; how many, 0 when it has gone round. For a maintenance job: call it, each time in a transaction of its own, until it returns 0. While a batch moves, who writes to any conversation waits, some 50 us a row; who reads does not. To their next sync() the conversations of whoever was moved are news. Errors: out_of_range, lock_not_available (55P03) where a transaction that has written did not end within 200 ms: nothing is moved, call it again.';
GRANT EXECUTE ON FUNCTION rapport.pack_inboxes(integer) TO rapport_service;
