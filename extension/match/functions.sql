-- match: building and reading keys and queries, then people.

CREATE OR REPLACE FUNCTION rapport.match_key(
	id bigint, latitude double precision, longitude double precision, birth_date date DEFAULT NULL, mode integer DEFAULT 1,
	traits integer[] DEFAULT '{}', wants integer[] DEFAULT '{}', ages int4range DEFAULT NULL,
	max_distance_km double precision DEFAULT NULL, numbers integer[] DEFAULT '{}', number_min integer[] DEFAULT '{}',
	number_max integer[] DEFAULT '{}', number_unset boolean[] DEFAULT '{}', active_on date DEFAULT NULL, tags text[] DEFAULT '{}',
	embedding real[] DEFAULT '{}', quality double precision DEFAULT 0.5, desirability double precision DEFAULT 0.5,
	selectivity double precision DEFAULT 0.5, price double precision DEFAULT 0)
	RETURNS rapport.match_key
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_key_build';
COMMENT ON FUNCTION rapport.match_key(bigint, double precision, double precision, date, integer, integer[], integer[], int4range, double precision, integer[], integer[], integer[], boolean[], date, text[], real[], double precision, double precision, double precision, double precision) IS
'A person for matching, on a table of your own. Only the id must be given; NULL is unset.
latitude and longitude are degrees, both or neither; without a place only those match who both go everywhere (max_distance_km NULL).
traits[i] is the answer 0 to 7 to question i of at most 32 (0: no answer); wants[i] the answers accepted, a mask with bit 0 for "no answer" (255: all).
The first question is the one that the index clusters by: let it be the most selective. ages are the accepted ages in completed years.
numbers are up to 4 numbers of one''s own, number_min and number_max what is accepted (NULL: open), number_unset whether people without it are.
tags are hashed into 64 bits; embedding has up to 32 components between -1 and 1; quality, desirability, selectivity and price are between 0 and 1.
Raises 22xxx for values out of range.';

CREATE OR REPLACE FUNCTION rapport.match_key_raw(
	id bigint, mode integer, latitude double precision, longitude double precision, birth_date date, traits bytea, wants bytea,
	numbers smallint[], number_min smallint[], number_max smallint[], age_min integer, age_max integer,
	max_distance_km double precision, active_on date, tags text[], embedding real[], number_unset boolean[] DEFAULT NULL,
	quality double precision DEFAULT 0.5, desirability double precision DEFAULT 0.5, selectivity double precision DEFAULT 0.5,
	price double precision DEFAULT 0)
	RETURNS rapport.match_key
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_key_build_raw';
COMMENT ON FUNCTION rapport.match_key_raw(bigint, integer, double precision, double precision, date, bytea, bytea, smallint[], smallint[], smallint[], integer, integer, double precision, date, text[], real[], boolean[], double precision, double precision, double precision, double precision) IS
'match_key() for many keys at once: traits and wants are 32 bytes from trait_lanes() and want_lanes(), NULL for no answers and for accepting all. Raises 22xxx.';

CREATE OR REPLACE FUNCTION rapport.match_query(
	key rapport.match_key, today date, accept_wants bytea DEFAULT NULL, soft_wants bytea DEFAULT NULL, soft_weights real[] DEFAULT NULL,
	continuation integer DEFAULT 0, weights jsonb DEFAULT NULL, seen bigint[] DEFAULT '{}', after_cost double precision DEFAULT NULL,
	after_id bigint DEFAULT NULL, active_since date DEFAULT NULL, number_min smallint[] DEFAULT NULL, number_max smallint[] DEFAULT NULL,
	number_unset boolean[] DEFAULT NULL, soft_number_min smallint[] DEFAULT NULL, soft_number_max smallint[] DEFAULT NULL)
	RETURNS rapport.match_query
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_query_build';
COMMENT ON FUNCTION rapport.match_query(rapport.match_key, date, bytea, bytea, real[], integer, jsonb, bigint[], double precision, bigint, date, smallint[], smallint[], boolean[], smallint[], smallint[]) IS
'Whom to find for the person with that key on that day: WHERE key @@ query ORDER BY key <-> query LIMIT k.
accept_wants are the 32 bytes that the viewer demands if they differ from the wants of the key (those also decide who finds him); soft_wants only score, by soft_weights
(32 lanes, counted at the first of an attribute, then 4 numbers). continuation is lane_continuation(). weights may hold distance, age, tags, embedding, soft, recency and quality
(0 or more; shared out among the terms that the viewer has), decay (gauss, exp, linear), scale_km, offset_km and at_scale (the distance term at offset plus scale),
age_scale_years and half_life_days. seen are ids left out; with after_cost only what comes after it (and after_id among equals); active_since leaves out the inactive.
number_min, number_max and number_unset replace the hard ranges of the key for the viewer. Raises 22xxx.';

CREATE OR REPLACE FUNCTION rapport.match_explain(key rapport.match_key, query rapport.match_query)
	RETURNS jsonb
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_explain';
COMMENT ON FUNCTION rapport.match_explain(rapport.match_key, rapport.match_query) IS
'Every rule of both sides, whether it passes, and every part of the score: accepts, cost, score, distance_m, rules (mode, other, active, unseen, beyond; viewer and candidate with age, distance, numbers and the lanes that fail), parts (weight and value of each term).';

CREATE OR REPLACE FUNCTION rapport.match_distance_m(a rapport.match_key, b rapport.match_key)
	RETURNS double precision
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_distance_m';
COMMENT ON FUNCTION rapport.match_distance_m(rapport.match_key, rapport.match_key) IS
'Metres between two people along a great circle of the mean earth (6371.0088 km); NULL if one has no place.';

CREATE OR REPLACE FUNCTION rapport.match_key_parts(key rapport.match_key)
	RETURNS jsonb
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_key_parts';
COMMENT ON FUNCTION rapport.match_key_parts(rapport.match_key) IS
'What a key holds, to be read by people; born and active are days since 2000-01-01.';

CREATE OR REPLACE FUNCTION rapport.trait_lanes(traits smallint[], lane_of smallint[], lanes_of smallint[])
	RETURNS bytea
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_trait_lanes';
COMMENT ON FUNCTION rapport.trait_lanes(smallint[], smallint[], smallint[]) IS
'32 bytes of what somebody is: traits holds an option an attribute (NULL or 0: unset), lane_of its first lane 0 to 31 (NULL: not a choice), lanes_of how many it takes. Raises 22xxx.';

CREATE OR REPLACE FUNCTION rapport.want_lanes(accepts bigint[], use boolean[], lane_of smallint[], lanes_of smallint[])
	RETURNS bytea
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_want_lanes';
COMMENT ON FUNCTION rapport.want_lanes(bigint[], boolean[], smallint[], smallint[]) IS
'32 bytes of what somebody accepts: accepts holds a mask of options an attribute (bit 0: unset; NULL: all), use whether it counts (false or NULL: all; a NULL array: every one counts), lane_of and lanes_of as in trait_lanes(). Raises 22xxx.';

CREATE OR REPLACE FUNCTION rapport.lane_continuation(lane_of smallint[], lanes_of smallint[])
	RETURNS integer
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_lane_continuation';
COMMENT ON FUNCTION rapport.lane_continuation(smallint[], smallint[]) IS
'The mask of lanes that continue the lane before, as match_query() takes it. Raises 22xxx.';

-- People
