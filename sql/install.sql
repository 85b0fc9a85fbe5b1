-- The extension installs with what it needs; the suites after this one use it.
SET client_min_messages = warning;
CREATE EXTENSION rapport CASCADE;
SELECT extname, n.nspname, extrelocatable
FROM pg_extension AS e
JOIN pg_namespace AS n ON n.oid = e.extnamespace
WHERE extname = 'rapport';
