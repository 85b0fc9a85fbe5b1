-- The end of every install and update script: all members belong to a role that
-- cannot log in, so no function with definer's rights runs as a superuser, and
-- nothing can be called by PUBLIC but the pure functions of the types.
-- The schema stays with whoever installs: it is no member, so a dump names its
-- owner before the extension has made the roles.
DO $$
DECLARE
	member record;
BEGIN
	FOR member IN
		SELECT d.classid, d.objid, i.type, i.identity
		FROM pg_catalog.pg_depend AS d
		JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'rapport'
		CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, 0) AS i
		WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
		AND d.deptype = 'e'
		AND i.type IN ('table', 'view', 'sequence', 'function', 'procedure', 'aggregate', 'type', 'operator',
					   'operator class', 'operator family')
	LOOP
		-- A table brings its row type, its indexes and its own sequences along.
		IF member.type = 'type' AND EXISTS (SELECT FROM pg_catalog.pg_type AS t
											WHERE t.oid = member.objid AND (t.typrelid <> 0 OR t.typelem <> 0 AND t.typcategory = 'A')) THEN
			CONTINUE;
		END IF;
		IF member.type = 'sequence' AND EXISTS (SELECT FROM pg_catalog.pg_depend AS d
												WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
												AND d.objid = member.objid
												AND d.deptype IN ('a', 'i')
												AND d.refobjsubid > 0) THEN
			CONTINUE;
		END IF;
		-- Not again in an update: it would lock out the readers of every table.
		IF NOT EXISTS (SELECT FROM pg_catalog.pg_shdepend AS s
					   WHERE s.dbid = (SELECT b.oid FROM pg_catalog.pg_database AS b WHERE b.datname = pg_catalog.current_database())
					   AND s.classid = member.classid
					   AND s.objid = member.objid
					   AND s.deptype = 'o'
					   AND s.refobjid = 'rapport_owner'::pg_catalog.regrole) THEN
			EXECUTE pg_catalog.format('ALTER %s %s OWNER TO rapport_owner', member.type, member.identity);
		END IF;
		IF member.type IN ('function', 'procedure', 'aggregate')
			AND NOT EXISTS (SELECT FROM pg_catalog.pg_proc AS p
							JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
							WHERE p.oid = member.objid AND p.provolatile = 'i' AND l.lanname = 'c') THEN
			EXECUTE pg_catalog.format('REVOKE ALL ON %s %s FROM PUBLIC', CASE member.type WHEN 'aggregate' THEN 'function' ELSE member.type END,
									  member.identity);
		END IF;
	END LOOP;
END;
$$;
-- Settings and hooks that are built in may be others now.
SELECT rapport.forget_kept();
