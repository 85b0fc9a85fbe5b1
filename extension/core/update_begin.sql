-- The start of every update script; finish.sql and update_end.sql are its end.

SELECT pg_catalog.set_config('search_path', 'pg_catalog, rapport, pg_temp', true);

-- Everything that readers would wait for is locked now and at once: an update
-- that waits while it holds a lock could make one of them the victim of a
-- deadlock. It waits, for all together, for less than they wait until they look
-- for one, lets all go when that does not suffice, and tries again.
DO $$
DECLARE
	-- Put in from the deltas when this script is assembled.
	wanted text[] := pg_catalog.string_to_array('@TABLES@', ' ');
	wait_ms integer := (SELECT s.setting::integer / 2 FROM pg_catalog.pg_settings AS s WHERE s.name = 'deadlock_timeout');
	began timestamp with time zone;
	until timestamp with time zone := pg_catalog.clock_timestamp() + interval '1 minute';
	tab regclass;
BEGIN
	LOOP
		BEGIN
			began := pg_catalog.clock_timestamp();
			-- An index is dropped under a lock of its table.
			FOR tab IN
				SELECT DISTINCT coalesce(i.indrelid, pg_catalog.to_regclass(w.name))
				FROM unnest(wanted) AS w (name)
				LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid = pg_catalog.to_regclass(w.name)
				WHERE pg_catalog.to_regclass(w.name) IS NOT NULL
				-- As old as they are: what others begin with comes first, so that they wait there with little in hand.
				ORDER BY 1
			LOOP
				PERFORM pg_catalog.set_config('lock_timeout',
					greatest(wait_ms - (1000 * extract(epoch FROM pg_catalog.clock_timestamp() - began))::integer, 1)::text, true);
				EXECUTE pg_catalog.format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', tab);
			END LOOP;
			EXIT;
		EXCEPTION WHEN lock_not_available THEN
			IF pg_catalog.clock_timestamp() > until THEN
				RAISE EXCEPTION USING
					ERRCODE = 'lock_not_available',
					MESSAGE = pg_catalog.format('the tables that the update changes did not come free within a minute: %s', pg_catalog.array_to_string(wanted, ', ')),
					HINT = 'Nothing has changed. Try again when no long transaction, such as a dump, reads them.';
			END IF;
		END;
		PERFORM pg_catalog.pg_sleep(0.2);
	END LOOP;
END;
$$;

-- Rights on functions. functions.sql grants them all anew, so those it no longer
-- grants must go; what this database granted or revoked itself comes back at the
-- end, and stays apart from ours, or a dump would leave it out.
CREATE TEMPORARY TABLE own_grant ON COMMIT DROP AS
WITH granted AS (
	SELECT p.oid, p.proname, a.grantee, a.is_grantable, a.privilege_type, own
	FROM pg_catalog.pg_proc AS p
	JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e'
	JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'rapport'
	LEFT JOIN pg_catalog.pg_init_privs AS i ON i.classoid = d.classid AND i.objoid = p.oid
	CROSS JOIN LATERAL (
		SELECT true AS own, x.* FROM pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) AS x
		UNION ALL
		SELECT false, x.* FROM pg_catalog.aclexplode(coalesce(i.initprivs, pg_catalog.acldefault('f', p.proowner))) AS x) AS a
	WHERE a.grantee <> p.proowner
)
SELECT g.oid, g.proname, g.grantee, g.is_grantable, g.privilege_type, pg_catalog.bool_and(g.own) AS given
FROM granted AS g
GROUP BY g.oid, g.proname, g.grantee, g.is_grantable, g.privilege_type
HAVING pg_catalog.count(DISTINCT g.own) = 1;

DO $$
DECLARE
	r record;
BEGIN
	FOR r IN SELECT g.oid, g.privilege_type, g.grantee FROM pg_temp.own_grant AS g WHERE g.given LOOP
		PERFORM rapport.outside_extension(pg_catalog.format('REVOKE %s ON ROUTINE %s FROM %s CASCADE', r.privilege_type,
			r.oid::pg_catalog.regprocedure, CASE r.grantee WHEN 0 THEN 'PUBLIC' ELSE r.grantee::pg_catalog.regrole::text END));
	END LOOP;
	FOR r IN
		SELECT p.oid, a.grantee
		FROM pg_catalog.pg_init_privs AS i
		JOIN pg_catalog.pg_proc AS p ON p.oid = i.objoid
		JOIN pg_catalog.pg_depend AS d ON d.classid = i.classoid AND d.objid = p.oid AND d.deptype = 'e'
		JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'rapport'
		CROSS JOIN LATERAL pg_catalog.aclexplode(i.initprivs) AS a
		WHERE i.classoid = 'pg_catalog.pg_proc'::pg_catalog.regclass
		AND a.grantee NOT IN (0, p.proowner)
	LOOP
		EXECUTE pg_catalog.format('REVOKE ALL ON ROUTINE %s FROM %s', r.oid::pg_catalog.regprocedure, r.grantee::pg_catalog.regrole);
	END LOOP;
END;
$$;
