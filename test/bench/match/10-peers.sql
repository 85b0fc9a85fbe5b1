-- The tables of the peers, if they are missing. Variable: library.
\ir ../race.sql
SELECT to_regclass('peer.person_gender_place') IS NULL AS fresh \gset
\ir ../peers/postgis.sql
\ir ../peers/btree.sql
