-- The end of every update script: what this database granted or revoked itself.
-- A function that was made anew, with other arguments, is found by its name.
DO $$
DECLARE
	r record;
BEGIN
	FOR r IN
		SELECT p.oid, g.privilege_type, g.grantee, g.is_grantable, g.given
		FROM pg_temp.own_grant AS g
		JOIN pg_catalog.pg_proc AS p
			ON p.oid = g.oid
			OR p.proname = g.proname
			AND p.pronamespace = 'rapport'::pg_catalog.regnamespace
			AND NOT EXISTS (SELECT FROM pg_catalog.pg_proc AS same WHERE same.oid = g.oid)
	LOOP
		PERFORM rapport.outside_extension(pg_catalog.format(
			CASE WHEN r.given THEN 'GRANT %s ON ROUTINE %s TO %s%s' ELSE 'REVOKE %s ON ROUTINE %s FROM %s' END,
			r.privilege_type, r.oid::pg_catalog.regprocedure,
			CASE r.grantee WHEN 0 THEN 'PUBLIC' ELSE r.grantee::pg_catalog.regrole::text END,
			CASE WHEN r.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END));
	END LOOP;
END;
$$;
DROP TABLE pg_temp.own_grant;
