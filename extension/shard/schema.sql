-- shard: candidates in several partitions, and on several clusters.

CREATE TABLE rapport.shard (
	shard integer PRIMARY KEY,
	low bigint NOT NULL UNIQUE CHECK (low >= 0)
);
COMMENT ON TABLE rapport.shard IS
'The map of shards: each holds the candidates whose curve_position() is its low or more, and less than that of the next. Empty where candidates are on one cluster. Written by set_shards().';
COMMENT ON COLUMN rapport.shard.shard IS 'From 1, in the order of low; the first begins at 0.';
SELECT pg_catalog.pg_extension_config_dump('rapport.shard', '');
