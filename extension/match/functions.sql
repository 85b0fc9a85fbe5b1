-- match: building and reading keys and queries, then people.

CREATE OR REPLACE FUNCTION rapport.match_key(
	id bigint, latitude double precision, longitude double precision, birth_date date DEFAULT NULL, mode integer DEFAULT 1,
	traits integer[] DEFAULT '{}', wants integer[] DEFAULT '{}', ages int4range DEFAULT NULL,
	max_distance_km double precision DEFAULT NULL, numbers integer[] DEFAULT '{}', number_min integer[] DEFAULT '{}',
	number_max integer[] DEFAULT '{}', number_unset boolean[] DEFAULT '{}', active_on date DEFAULT NULL, tags text[] DEFAULT '{}',
	embedding real[] DEFAULT '{}', quality double precision DEFAULT 0.5, desirability double precision DEFAULT 0.5,
	selectivity double precision DEFAULT 0.5, price double precision DEFAULT 0, joined_on date DEFAULT NULL)
	RETURNS rapport.match_key
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_key_build';
COMMENT ON FUNCTION rapport.match_key(bigint, double precision, double precision, date, integer, integer[], integer[], int4range, double precision, integer[], integer[], integer[], boolean[], date, text[], real[], double precision, double precision, double precision, double precision, date) IS
'A person for matching, on a table of your own. Only the id must be given; NULL is unset.
latitude and longitude are degrees, both or neither; without a place only those match who both go everywhere (max_distance_km NULL).
traits[i] is the answer 0 to 7 to question i of at most 32 (0: no answer); wants[i] the answers accepted, a mask with bit 0 for "no answer" (255: all).
The first question is the one that the index clusters by: let it be the most selective. ages are the accepted ages in completed years.
numbers are up to 4 numbers of one''s own, number_min and number_max what is accepted (NULL: open), number_unset whether people without it are.
tags are hashed into 112 bits; embedding has up to 32 components between -1 and 1; quality, desirability, selectivity and price are between 0 and 1.
Raises 22xxx for values out of range.';

CREATE OR REPLACE FUNCTION rapport.match_key_raw(
	id bigint, mode integer, latitude double precision, longitude double precision, birth_date date, traits bytea, wants bytea,
	numbers smallint[], number_min smallint[], number_max smallint[], age_min integer, age_max integer,
	max_distance_km double precision, active_on date, tags text[], embedding real[], number_unset boolean[] DEFAULT NULL,
	quality double precision DEFAULT 0.5, desirability double precision DEFAULT 0.5, selectivity double precision DEFAULT 0.5,
	price double precision DEFAULT 0, joined_on date DEFAULT NULL)
	RETURNS rapport.match_key
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_key_build_raw';
COMMENT ON FUNCTION rapport.match_key_raw(bigint, integer, double precision, double precision, date, bytea, bytea, smallint[], smallint[], smallint[], integer, integer, double precision, date, text[], real[], boolean[], double precision, double precision, double precision, double precision, date) IS
'match_key() for many keys at once: traits and wants are 32 bytes from trait_lanes() and want_lanes(), NULL for no answers and for accepting all. Raises 22xxx.';

CREATE OR REPLACE FUNCTION rapport.match_query(
	key rapport.match_key, today date, accept_wants bytea DEFAULT NULL, soft_wants bytea DEFAULT NULL, soft_weights real[] DEFAULT NULL,
	continuation integer DEFAULT 0, weights jsonb DEFAULT NULL, seen bigint[] DEFAULT '{}', after_cost double precision DEFAULT NULL,
	after_id bigint DEFAULT NULL, active_since date DEFAULT NULL, number_min smallint[] DEFAULT NULL, number_max smallint[] DEFAULT NULL,
	number_unset boolean[] DEFAULT NULL, soft_number_min smallint[] DEFAULT NULL, soft_number_max smallint[] DEFAULT NULL,
	tags text[] DEFAULT NULL, tag_weights real[] DEFAULT NULL, shared_tags integer DEFAULT NULL, joined_since date DEFAULT NULL,
	radius_km double precision DEFAULT NULL, sort text DEFAULT NULL, bucket_km double precision[] DEFAULT NULL, liked bigint[] DEFAULT NULL)
	RETURNS rapport.match_query
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_query_build';
COMMENT ON FUNCTION rapport.match_query(rapport.match_key, date, bytea, bytea, real[], integer, jsonb, bigint[], double precision, bigint, date, smallint[], smallint[], boolean[], smallint[], smallint[], text[], real[], integer, date, double precision, text, double precision[], bigint[]) IS
'Whom to find for the person with that key on that day: WHERE key @@ query ORDER BY key <-> query LIMIT k.
accept_wants are the 32 bytes that the viewer demands if they differ from the wants of the key (those also decide who finds him); soft_wants only score, by soft_weights
(32 lanes, counted at the first of an attribute, then 4 numbers). continuation is lane_continuation().
weights may hold the weights of the terms distance, age, tags, embedding, soft, recency, quality, desirability, selectivity and newcomer
(0 or more; shared out among the terms that the viewer has), diversity (0 to 0.25: the share of the sum that goes by viewer, day and candidate alone), decay (gauss, exp, linear), scale_km, offset_km and at_scale (the distance term at offset plus scale),
age_scale_years, half_life_days, newcomer_days, price (0 to 1: what a price of 1 takes off the score), boost (0 to 1: what the score gains by liked),
and family: weighted (the sum of the terms) or reciprocal (the chance that both like: logistic in bias plus slope times that sum,
plus desirability_slope and selectivity_slope times the scalars of the one liked and of the one who likes, from -1 to 1).
seen are ids left out, liked those who like the viewer; with after_cost only what comes after it (and after_id among equals); active_since and joined_since leave out earlier ones.
number_min, number_max and number_unset replace the hard ranges of the key for the viewer, radius_km how far the viewer looks (infinity: everywhere).
tags with tag_weights are those of the viewer (NULL: the bits of the key, equal weights); the 16 that weigh most count. With shared_tags at least so many are shared,
as far as bits tell: look at the tags themselves as well. sort is best, nearest (by the first of the rising bucket_km that reaches), newest (by day joined) or active (by day active);
equals are in the order of the score. Raises 22xxx.';

CREATE OR REPLACE FUNCTION rapport.match_query_filter(
	query rapport.match_query, accept_wants bytea DEFAULT NULL, active_since date DEFAULT NULL, joined_since date DEFAULT NULL,
	radius_km double precision DEFAULT NULL, tags text[] DEFAULT NULL, shared_tags integer DEFAULT NULL, own_tags integer DEFAULT NULL,
	sort text DEFAULT NULL, bucket_km double precision[] DEFAULT NULL)
	RETURNS rapport.match_query
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_query_filter';
COMMENT ON FUNCTION rapport.match_query_filter(rapport.match_query, bytea, date, date, double precision, text[], integer, integer, text, double precision[]) IS
'The query with filters for one call: only answers that accept_wants holds too, nobody before active_since or joined_since, radius_km as far as the viewer looks (infinity: everywhere), only people with all of these tags
and at least shared_tags of the viewer''s, who has own_tags of them - both as far as bits tell: look at the tags themselves as well -, and in the order sort, as match_query() takes it. NULL leaves as it is. Raises 22xxx.';

CREATE OR REPLACE FUNCTION rapport.match_query_relax(query rapport.match_query, rule text, place integer DEFAULT 0)
	RETURNS rapport.match_query
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_query_relax';
COMMENT ON FUNCTION rapport.match_query_relax(rapport.match_query, text, integer) IS
'The query without one rule of the viewer: age, distance, lane (of the attribute whose first lane is place, from 0) or number (place from 0). The rules of the others stand. Tells whom @@ takes then; scores are as before. Raises 22xxx.';

CREATE OR REPLACE FUNCTION rapport.match_explain(key rapport.match_key, query rapport.match_query)
	RETURNS jsonb
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_explain';
COMMENT ON FUNCTION rapport.match_explain(rapport.match_key, rapport.match_query) IS
'Every rule of both sides, whether it passes, and every part of the score: accepts, cost, score, distance_m, rules (mode, other, active, unseen, beyond; viewer and candidate with age, distance, numbers and the lanes that fail), parts (weight and value of each term).';

CREATE OR REPLACE FUNCTION rapport.match_score(key rapport.match_key, query rapport.match_query)
	RETURNS double precision
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_score';
COMMENT ON FUNCTION rapport.match_score(rapport.match_key, rapport.match_query) IS
'How well somebody suits the viewer of the query, whatever its order: 1 - the cost without the tie. From 0 to 1, but for what a price takes off and being liked adds.';

CREATE OR REPLACE FUNCTION rapport.match_percentage(one rapport.match_query, other rapport.match_query)
	RETURNS double precision
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_percentage';
COMMENT ON FUNCTION rapport.match_percentage(rapport.match_query, rapport.match_query) IS
'0 to 100, the same from both sides: 100 * sqrt(a * b), where a is the match_score() of the one viewer for the other, b the reverse, each held to 0 to 1. So nobody scores high whom only one of the two suits. Filters do not count.';

CREATE OR REPLACE FUNCTION rapport.decay_gauss(
	value double precision, origin double precision, scale double precision, "offset" double precision DEFAULT 0, decay double precision DEFAULT 0.5)
	RETURNS double precision
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_decay_gauss';
COMMENT ON FUNCTION rapport.decay_gauss(double precision, double precision, double precision, double precision, double precision) IS
'1 within offset of the origin, decay at offset + scale, falling along a bell: decay ^ ((d / scale) ^ 2), where d = greatest(0, |value - origin| - offset). As in function_score of Elasticsearch. Raises 22003 for a scale of 0 or less, an offset below 0, a decay beyond 0 to 1, and no number.';

CREATE OR REPLACE FUNCTION rapport.decay_exp(
	value double precision, origin double precision, scale double precision, "offset" double precision DEFAULT 0, decay double precision DEFAULT 0.5)
	RETURNS double precision
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_decay_exp';
COMMENT ON FUNCTION rapport.decay_exp(double precision, double precision, double precision, double precision, double precision) IS
'decay_gauss() falling fastest at first: decay ^ (d / scale). Raises 22003 as it does.';

CREATE OR REPLACE FUNCTION rapport.decay_linear(
	value double precision, origin double precision, scale double precision, "offset" double precision DEFAULT 0, decay double precision DEFAULT 0.5)
	RETURNS double precision
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_decay_linear';
COMMENT ON FUNCTION rapport.decay_linear(double precision, double precision, double precision, double precision, double precision) IS
'decay_gauss() falling along a line: greatest(0, 1 - (1 - decay) * d / scale). Raises 22003 as it does.';

CREATE OR REPLACE FUNCTION rapport.distance_bucket(metres double precision, bucket_km integer[])
	RETURNS integer
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_distance_bucket';
COMMENT ON FUNCTION rapport.distance_bucket(double precision, integer[]) IS
'The first of up to 12 rising kilometres that the distance does not exceed; NULL when it exceeds them all. The order nearest of match_query() goes by the same. Raises 22023.';

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

CREATE OR REPLACE FUNCTION rapport.match_index_check(index regclass)
	RETURNS TABLE (rows bigint, pages bigint, depth integer, problems bigint, first_problem text)
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE ROWS 1 COST 1000000 AS 'MODULE_PATHNAME', 'match_index_check';
COMMENT ON FUNCTION rapport.match_index_check(regclass) IS
'Whether an index of match_key_ops is right: every row of the table is in it once with its key, bounds cover all that is below them, and ordered scans for a few of its people give what brute force gives.
problems is 0 then; else first_problem names one. Takes the locks of a reader and reads the table twice and the index once. Raises 42809 for any other index, 55000 for an incomplete one.';
GRANT EXECUTE ON FUNCTION rapport.match_index_check(regclass) TO rapport_service;

-- People

INSERT INTO rapport.error_code (code, status, title, hint) VALUES
	('already_matched', 409, 'you have matched with this person', 'Unmatch instead.'),
	('mode_not_enabled', 422, 'you do not take part in this mode', 'Enable it with set_preference().'),
	('invalid_weights', 422, 'the weights are not valid', 'The comment on match_query() lists them with their ranges.'),
	('nothing_to_rewind', 409, 'there is no swipe to take back', NULL),
	('profile_incomplete', 422, 'the profile is not complete', 'my_profile() lists what is missing.'),
	('quota_exhausted', 429, 'no more of these today', 'quotas() tells when there are more.'),
	('unknown_scoring', 422, 'there is no such scoring profile', 'Leave it out for the one of the mode.');

INSERT INTO rapport.setting_default (name, type, value, minimum, maximum, description) VALUES
	('distance_buckets', 'integers', '{2,5,10,20,50,100,200,500,1000}', 1, 20000,
	 'The kilometres in which distances are told, and by which the order nearest goes.'),
	('active_within_days', 'integer', '0', 0, 36500,
	 'Only people active within so many days are shown by discover(); 0 for everyone.'),
	('likes_per_day', 'integer', '0', 0, 1000000,
	 'Likes a person may give in a mode on a UTC day; 0 for any number.'),
	('maybe_days', 'integer', '7', 1, 36500,
	 'Days after which someone who was put off with maybe() is shown again.'),
	('cluster_by', 'text', '', NULL, NULL,
	 'The attribute that cluster_by() has chosen; empty: the one in the first lane.'),
	('pass_days', 'integer', '0', 0, 36500,
	 'Days after which someone who was passed may be shown again; 0 for never.'),
	('super_likes_per_day', 'integer', '5', 0, 1000000,
	 'Super likes a person may give in a mode on a UTC day; 0 for any number.');

DELETE FROM rapport.scoring_profile WHERE builtin;
INSERT INTO rapport.scoring_profile (name, builtin, weights, offered) VALUES
	('default', true, '{"boost": 0.05}', true),
	('nearby', true, '{"distance": 1, "scale_km": 5, "boost": 0.05}', true),
	('fresh', true, '{"newcomer": 0.3, "recency": 0.3, "diversity": 0.1, "boost": 0.05}', true),
	('reciprocal', true, '{"family": "reciprocal", "newcomer": 0.1, "price": 0.1, "boost": 0.05}', false);

INSERT INTO rapport.dump_exception (rel, reason) VALUES
	('rapport.scoring_profile', 'built-in rows are made by the install script'),
	('rapport.candidate', 'its rows are in its partitions');

INSERT INTO rapport.distribution (tab, grp, col) VALUES
	('rapport.scoring_profile', 'R', NULL),
	('rapport.mode_scoring', 'R', NULL),
	('rapport.tag_count', 'R', NULL),
	('rapport.tag_round', 'R', NULL),
	('rapport.match_scalar', 'U', 'person_id'),
	('rapport.candidate', 'G', NULL),
	('rapport.key_rebuild', 'R', NULL),
	('rapport.swipe', 'U', 'person_id'),
	('rapport.swiper', 'U', 'person_id'),
	('rapport.seen', 'U', 'person_id'),
	('rapport.like_received', 'U', 'person_id'),
	('rapport.pair', 'P', 'lo');

INSERT INTO rapport.personal_data (tab, col, class, on_erase, reason) VALUES
	('rapport.scoring_profile', 'name', 'none', 'keep', 'how people are ranked'),
	('rapport.scoring_profile', 'builtin', 'none', 'keep', 'how people are ranked'),
	('rapport.scoring_profile', 'weights', 'none', 'keep', 'how people are ranked'),
	('rapport.scoring_profile', 'offered', 'none', 'keep', 'how people are ranked'),
	('rapport.mode_scoring', 'mode', 'none', 'keep', 'how people are ranked'),
	('rapport.mode_scoring', 'name', 'none', 'keep', 'how people are ranked'),
	('rapport.tag_count', 'tag', 'none', 'keep', 'a hash that says of nobody who has the tag'),
	('rapport.tag_count', 'people', 'none', 'keep', 'a number of people'),
	('rapport.tag_count', 'counting', 'none', 'keep', 'a number of people'),
	('rapport.tag_round', 'one', 'none', 'keep', 'how far a count is'),
	('rapport.tag_round', 'people', 'none', 'keep', 'a number of people'),
	('rapport.tag_round', 'counting', 'none', 'keep', 'a number of people'),
	('rapport.tag_round', 'done_to', 'none', 'keep', 'how far a count is');

INSERT INTO rapport.personal_data (tab, col, class, on_erase, withheld) VALUES
	('rapport.match_scalar', 'person_id', 'technical', 'delete', NULL),
	('rapport.match_scalar', 'desirability', 'behaviour', 'delete', NULL),
	('rapport.match_scalar', 'selectivity', 'behaviour', 'delete', NULL),
	('rapport.match_scalar', 'price', 'behaviour', 'delete', NULL),
	('rapport.candidate', 'person_id', 'technical', 'delete', NULL),
	('rapport.candidate', 'mode', 'behaviour', 'delete', NULL),
	('rapport.candidate', 'key', 'demographic', 'delete', NULL),
	('rapport.swipe', 'person_id', 'behaviour', 'delete', NULL),
	('rapport.swipe', 'other_id', 'behaviour', 'delete', NULL),
	('rapport.swipe', 'at', 'behaviour', 'delete', NULL),
	('rapport.swipe', 'expires', 'behaviour', 'delete', NULL),
	('rapport.swipe', 'mode', 'behaviour', 'delete', NULL),
	('rapport.swipe', 'action', 'behaviour', 'delete', NULL),
	('rapport.swiper', 'person_id', 'behaviour', 'delete', NULL),
	('rapport.swiper', 'mode', 'behaviour', 'delete', NULL),
	('rapport.swiper', 'last_at', 'behaviour', 'delete', NULL),
	('rapport.swiper', 'day', 'behaviour', 'delete', NULL),
	('rapport.swiper', 'likes', 'behaviour', 'delete', NULL),
	('rapport.swiper', 'super_likes', 'behaviour', 'delete', NULL),
	('rapport.swiper', 'tail', 'technical', 'delete', NULL),
	('rapport.swiper', 'folded', 'technical', 'delete', NULL),
	('rapport.seen', 'person_id', 'behaviour', 'delete', NULL),
	('rapport.seen', 'mode', 'behaviour', 'delete', NULL),
	('rapport.seen', 'bucket', 'technical', 'delete', NULL),
	('rapport.seen', 'data', 'behaviour', 'delete', NULL),
	('rapport.like_received', 'person_id', 'behaviour', 'delete', 'what others did; some of it is hidden from this person'),
	('rapport.like_received', 'other_id', 'behaviour', 'delete', 'what others did; some of it is hidden from this person'),
	('rapport.like_received', 'at', 'behaviour', 'delete', 'what others did; some of it is hidden from this person'),
	('rapport.like_received', 'mode', 'behaviour', 'delete', 'what others did; some of it is hidden from this person'),
	('rapport.like_received', 'super', 'behaviour', 'delete', 'what others did; some of it is hidden from this person'),
	('rapport.pair', 'lo', 'behaviour', 'delete', 'what others decided, and would tell who blocks'),
	('rapport.pair', 'hi', 'behaviour', 'delete', 'what others decided, and would tell who blocks'),
	('rapport.pair', 'matched_at', 'behaviour', 'delete', 'what others decided, and would tell who blocks'),
	('rapport.pair', 'ended_at', 'behaviour', 'delete', 'what others decided, and would tell who blocks'),
	('rapport.pair', 'conversation_id', 'behaviour', 'delete', 'what others decided, and would tell who blocks'),
	('rapport.pair', 'mode', 'behaviour', 'delete', 'what others decided, and would tell who blocks'),
	('rapport.pair', 'lo_action', 'behaviour', 'delete', 'what others decided, and would tell who blocks'),
	('rapport.pair', 'hi_action', 'behaviour', 'delete', 'what others decided, and would tell who blocks');

UPDATE rapport.personal_data SET export_as = 'rapport.seen_list(t.data)' WHERE tab = 'rapport.seen'::regclass AND col = 'data';

INSERT INTO rapport.personal_data (tab, col, class, on_erase, reason) VALUES
	('rapport.key_rebuild', 'one', 'none', 'keep', 'about nobody'),
	('rapport.key_rebuild', 'made_of', 'none', 'keep', 'about nobody'),
	('rapport.key_rebuild', 'started_at', 'none', 'keep', 'about nobody'),
	('rapport.key_rebuild', 'finished_at', 'none', 'keep', 'about nobody'),
	('rapport.key_rebuild', 'done_to', 'none', 'keep', 'a place in the order of ids'),
	('rapport.key_rebuild', 'people', 'none', 'keep', 'about nobody');

INSERT INTO rapport.subject (tab, col, own, ord, find, on_erase, reason) VALUES
	-- After the profile, whose lock candidate_refresh() takes.
	('rapport.candidate', 'person_id', true, 600, NULL, NULL, NULL),
	('rapport.pair', 'lo', true, 100, NULL, NULL, NULL),
	-- Whoever has liked stands in swipe or seen with the one and in like_received with the other.
	('rapport.pair', 'hi', true, 100,
	 '(t.lo, t.hi, t.mode) IN (SELECT w.other_id, w.person_id, w.mode FROM rapport.swipe AS w WHERE w.person_id = ANY ($1)
							   UNION SELECT u.other_id, s.person_id, s.mode FROM rapport.seen AS s, rapport.seen_unpack(s.data) AS u WHERE s.person_id = ANY ($1)
							   UNION SELECT l.other_id, l.person_id, l.mode FROM rapport.like_received AS l WHERE l.person_id = ANY ($1))',
	 NULL, NULL),
	('rapport.swipe', 'other_id', false, 200,
	 '(t.person_id, t.mode, t.other_id) IN (SELECT l.other_id, l.mode, l.person_id FROM rapport.like_received AS l WHERE l.person_id = ANY ($1))',
	 'delete', 'likes; a pass, and what is in rapport.seen, is not found by whom it was about, and then holds the id of nobody'),
	('rapport.like_received', 'other_id', false, 200,
	 '(t.person_id, t.mode, t.other_id) IN (SELECT w.other_id, w.mode, w.person_id FROM rapport.swipe AS w WHERE w.person_id = ANY ($1)
											UNION SELECT u.other_id, s.mode, s.person_id FROM rapport.seen AS s, rapport.seen_unpack(s.data) AS u WHERE s.person_id = ANY ($1))',
	 'delete', NULL);

INSERT INTO rapport.hook_event (event, ids, description) VALUES
	('matched', 'lower person id, higher person id, mode', 'Two people have liked each other.'),
	('unmatched', 'lower person id, higher person id, mode', 'A match has ended: one of the two ended it, or is erased.'),
	('likes_changed', 'who got the like, mode', 'A like was taken back, or has become a super like; or whoever got it has put it off, or takes that back. Not told: a match, and who is erased.');

-- Page cursors

CREATE OR REPLACE FUNCTION rapport.seal(scope text, plain text) RETURNS text
LANGUAGE c STABLE PARALLEL UNSAFE STRICT
AS 'MODULE_PATHNAME', 'match_seal_sql';
COMMENT ON FUNCTION rapport.seal(text, text) IS
'Hides and authenticates plain (up to 1024 bytes) under the secret of the cursors, in URL-safe base64. The same scope opens it again.';

CREATE OR REPLACE FUNCTION rapport.unseal(scope text, sealed text) RETURNS text
LANGUAGE c STABLE PARALLEL UNSAFE STRICT
AS 'MODULE_PATHNAME', 'match_unseal_sql';
COMMENT ON FUNCTION rapport.unseal(text, text) IS 'What seal() was given with the same scope; NULL when this was not made so.';

CREATE OR REPLACE FUNCTION rapport.place_after(scope text, cursor text, OUT at timestamp with time zone, OUT id bigint)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	place text[] := string_to_array(rapport.unseal(scope, cursor), ' ');
BEGIN
	IF cursor IS NULL THEN
		at := 'infinity';
		id := 0;
	ELSIF place IS NULL THEN
		PERFORM rapport.fail('invalid_cursor');
	ELSE
		at := timestamptz 'epoch' + place[1]::bigint * interval '1 microsecond';
		id := place[2];
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.place_after(text, text) IS
'Where a page of a list by time, the newest first, goes on: the time and the id that the cursor of the same scope holds; before all of them for NULL. Errors: invalid_cursor.';

CREATE OR REPLACE FUNCTION rapport.match_page_size(page_size integer) RETURNS integer
LANGUAGE plpgsql STABLE
AS $$
BEGIN
	IF page_size NOT BETWEEN 1 AND 100 THEN
		PERFORM rapport.fail('out_of_range', 'page_size takes 1 to 100.');
	END IF;
	RETURN coalesce(page_size, 20);
END;
$$;
COMMENT ON FUNCTION rapport.match_page_size(integer) IS 'The page size asked for, 20 for NULL. Errors: out_of_range.';

-- Scoring

CREATE OR REPLACE FUNCTION rapport.scoring_weights(mode smallint, scoring text DEFAULT NULL) RETURNS jsonb
LANGUAGE c STABLE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'match_scoring_weights';
COMMENT ON FUNCTION rapport.scoring_weights(smallint, text) IS
'The weights that match_query() takes: those of a scoring profile that is offered; for NULL of the one of the mode, which is "default" unless set_mode_scoring() says another. Errors: unknown_scoring.';

CREATE OR REPLACE FUNCTION rapport.scoring_profiles()
RETURNS TABLE (name text, weights jsonb, offered boolean, builtin boolean, modes text[])
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	PERFORM rapport.require_operator();
	RETURN QUERY
	SELECT p.name, p.weights, p.offered, p.builtin,
		   ARRAY(SELECT m.code
				 FROM rapport.mode AS m
				 LEFT JOIN rapport.mode_scoring AS s ON s.mode = m.mode
				 WHERE coalesce(s.name, 'default') = p.name
				 ORDER BY m.mode)
	FROM (SELECT DISTINCT ON (q.name) q.* FROM rapport.scoring_profile AS q ORDER BY q.name, q.builtin) AS p
	ORDER BY p.name;
END;
$$;
COMMENT ON FUNCTION rapport.scoring_profiles() IS
'The scoring profiles: their weights as match_query() takes them, whether people may ask for them, whether they are as built in, and the modes that go by them. For operators and admins.';
GRANT EXECUTE ON FUNCTION rapport.scoring_profiles() TO rapport_service, rapport_admin;

CREATE OR REPLACE FUNCTION rapport.set_scoring_profile(name text, weights jsonb, offered boolean DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	message text;
	detail text;
	hint text;
BEGIN
	PERFORM rapport.require_operator();
	PERFORM rapport.check_code(set_scoring_profile.name);
	IF set_scoring_profile.weights IS NULL THEN
		PERFORM rapport.fail('missing_field', 'There are no weights; {} takes all as they are by default.');
	END IF;
	BEGIN
		-- Whoever asks, a query checks them all.
		PERFORM rapport.match_query(rapport.match_key(1, NULL, NULL), '2000-01-01', weights => set_scoring_profile.weights);
	EXCEPTION WHEN data_exception THEN
		GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
		PERFORM rapport.fail('invalid_weights', concat_ws('. ', message, nullif(detail, ''), nullif(hint, '')));
	END;
	INSERT INTO rapport.scoring_profile AS p (name, weights, offered)
	SELECT set_scoring_profile.name, set_scoring_profile.weights, coalesce(set_scoring_profile.offered, b.offered, false)
	FROM (SELECT) AS one
	LEFT JOIN rapport.scoring_profile AS b ON b.name = set_scoring_profile.name AND b.builtin
	ON CONFLICT ON CONSTRAINT scoring_profile_pkey DO UPDATE
	SET weights = excluded.weights, offered = coalesce(set_scoring_profile.offered, p.offered);
END;
$$;
COMMENT ON FUNCTION rapport.set_scoring_profile(text, jsonb, boolean) IS
'Makes or changes a scoring profile: weights as match_query() takes them, checked here; offered says whether people may ask for it (NULL: as before, at first as the built-in one of that name, else not). It holds from the next query on, without a new index; cursors made before it end. One with a built-in name comes in its place. For operators and admins. Errors: invalid_value (name), missing_field, invalid_weights.';
GRANT EXECUTE ON FUNCTION rapport.set_scoring_profile(text, jsonb, boolean) TO rapport_service, rapport_admin;

CREATE OR REPLACE FUNCTION rapport.drop_scoring_profile(name text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	PERFORM rapport.require_operator();
	DELETE FROM rapport.scoring_profile AS p WHERE p.name = drop_scoring_profile.name AND NOT p.builtin;
	IF NOT FOUND THEN
		PERFORM rapport.fail('not_found', format('%L is no scoring profile of this database.', drop_scoring_profile.name));
	END IF;
	-- After the row, whose lock whoever chose it for a mode holds until then.
	IF EXISTS (SELECT FROM rapport.mode_scoring AS s WHERE s.name = drop_scoring_profile.name)
		AND NOT EXISTS (SELECT FROM rapport.scoring_profile AS p WHERE p.name = drop_scoring_profile.name) THEN
		PERFORM rapport.fail('conflict', 'A mode goes by it: choose another with set_mode_scoring() first.');
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.drop_scoring_profile(text) IS
'Drops a scoring profile of this database; a built-in one of that name holds again. For operators and admins. Errors: not_found, conflict (a mode goes by it).';
GRANT EXECUTE ON FUNCTION rapport.drop_scoring_profile(text) TO rapport_service, rapport_admin;

CREATE OR REPLACE FUNCTION rapport.set_mode_scoring(mode text, scoring text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	mode_id smallint;
BEGIN
	PERFORM rapport.require_operator();
	SELECT m.mode INTO mode_id FROM rapport.mode AS m WHERE m.code = set_mode_scoring.mode;
	IF NOT FOUND THEN
		PERFORM rapport.fail('unknown_mode', format('%L is not a mode.', set_mode_scoring.mode));
	END IF;
	IF scoring IS NULL THEN
		DELETE FROM rapport.mode_scoring AS s WHERE s.mode = mode_id;
		RETURN;
	END IF;
	PERFORM FROM rapport.scoring_profile AS p WHERE p.name = scoring FOR KEY SHARE;
	IF NOT FOUND THEN
		PERFORM rapport.fail('unknown_scoring', format('%L is not a scoring profile.', scoring));
	END IF;
	INSERT INTO rapport.mode_scoring (mode, name)
	VALUES (mode_id, scoring)
	ON CONFLICT ON CONSTRAINT mode_scoring_pkey DO UPDATE SET name = excluded.name;
END;
$$;
COMMENT ON FUNCTION rapport.set_mode_scoring(text, text) IS
'Chooses the scoring profile that a mode goes by; NULL is "default" again. For operators and admins. Errors: unknown_mode, unknown_scoring.';
GRANT EXECUTE ON FUNCTION rapport.set_mode_scoring(text, text) TO rapport_service, rapport_admin;

CREATE OR REPLACE FUNCTION rapport.count_tags(batch integer DEFAULT 10000) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp SET jit = off
AS $$
DECLARE
	round rapport.tag_round;
	met bigint;
	last bigint;
BEGIN
	IF batch IS NULL OR batch < 1 THEN
		PERFORM rapport.fail('out_of_range', 'batch takes 1 and more.');
	END IF;
	INSERT INTO rapport.tag_round DEFAULT VALUES ON CONFLICT DO NOTHING;
	-- One at a time.
	SELECT r.* INTO round FROM rapport.tag_round AS r FOR UPDATE;
	WITH people AS MATERIALIZED (
		SELECT p.person_id, p.tags
		FROM rapport.profile AS p
		WHERE p.person_id > round.done_to
		ORDER BY p.person_id
		LIMIT batch
	), counted AS (
		INSERT INTO rapport.tag_count AS c (tag, counting)
		SELECT hashtextextended(t, 0), count(*)
		FROM people, unnest(people.tags) AS t
		GROUP BY 1
		ORDER BY 1
		ON CONFLICT ON CONSTRAINT tag_count_pkey DO UPDATE SET counting = c.counting + excluded.counting
	)
	SELECT count(*), max(person_id) INTO met, last FROM people;
	IF met = batch THEN
		UPDATE rapport.tag_round AS r SET counting = r.counting + met, done_to = last;
		RETURN false;
	END IF;
	-- What few people have weighs as much as what nobody has.
	DELETE FROM rapport.tag_count AS c WHERE c.counting < 5;
	UPDATE rapport.tag_count AS c SET people = c.counting, counting = 0;
	UPDATE rapport.tag_round AS r SET people = r.counting + met, counting = 0, done_to = 0;
	RETURN true;
END;
$$;
COMMENT ON FUNCTION rapport.count_tags(integer) IS
'Counts how many people have each tag, batch people further at each call; true when all are counted and the new counts hold. Tags of fewer than 5 people are left out. For a maintenance job: SELECT rapport.count_tags() until it is true, say once a day. Errors: out_of_range.';
GRANT EXECUTE ON FUNCTION rapport.count_tags(integer) TO rapport_service;

CREATE OR REPLACE FUNCTION rapport.tag_weights(tags text[]) RETURNS TABLE (weights real[])
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT w.weights
	FROM (SELECT) AS one
	LEFT JOIN rapport.tag_round AS r ON true
	CROSS JOIN LATERAL (
		SELECT array_agg(round((1 + ln((1 + coalesce(r.people, 0))::double precision / (1 + coalesce(c.people, 0))))::numeric, 1)::real ORDER BY t.n) AS weights
		FROM unnest(tag_weights.tags) WITH ORDINALITY AS t (tag, n)
		-- OFFSET 0: each by key, and none of a table that is not counted yet.
		LEFT JOIN LATERAL (SELECT x.people FROM rapport.tag_count AS x WHERE r.people > 0 AND x.tag = hashtextextended(t.tag, 0) OFFSET 0) AS c ON true
		OFFSET 0) AS w;
END;
COMMENT ON FUNCTION rapport.tag_weights(text[]) IS
'One row: what each tag weighs in the score, 1 + ln((1 + people) / (1 + people with the tag)) as of the last count_tags(), in tenths; 1 each before the first. Use in FROM, there it is inlined.';

CREATE OR REPLACE FUNCTION rapport.set_scalars_for(ids bigint[], desirability real[], selectivity real[], price real[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	changed bigint[];
BEGIN
	IF num_nulls(ids, desirability, selectivity, price) > 0
		OR NOT cardinality(ids) = ALL (ARRAY[cardinality(desirability), cardinality(selectivity), cardinality(price)]) THEN
		PERFORM rapport.fail('invalid_value', 'The four arrays are of one length.');
	END IF;
	IF cardinality(ids) > 10000 THEN
		PERFORM rapport.fail('out_of_range', 'Up to 10000 people at a time.');
	END IF;
	-- NaN is greater than 1.
	IF EXISTS (SELECT FROM unnest(desirability || selectivity || price) AS v WHERE v NOT BETWEEN 0 AND 1) THEN
		PERFORM rapport.fail('out_of_range', 'desirability, selectivity and price take 0 to 1.');
	END IF;
	WITH given AS (
		SELECT DISTINCT ON (g.id) g.id, coalesce(g.d, 0.5::real) AS d, coalesce(g.s, 0.5::real) AS s, coalesce(g.p, 0::real) AS p
		FROM unnest(ids, desirability, selectivity, price) AS g (id, d, s, p)
		ORDER BY g.id
	), written AS (
		INSERT INTO rapport.match_scalar AS x (person_id, desirability, selectivity, price)
		SELECT g.id, g.d, g.s, g.p
		FROM given AS g
		JOIN rapport.person AS a ON a.person_id = g.id
		ON CONFLICT ON CONSTRAINT match_scalar_pkey DO UPDATE
		SET desirability = excluded.desirability, selectivity = excluded.selectivity, price = excluded.price
		WHERE (x.desirability, x.selectivity, x.price) IS DISTINCT FROM (excluded.desirability, excluded.selectivity, excluded.price)
		RETURNING x.person_id
	)
	SELECT array_agg(w.person_id ORDER BY w.person_id) INTO changed FROM written AS w;
	IF changed IS NOT NULL THEN
		PERFORM rapport.run_hooks('person_changed', changed);
	END IF;
	RETURN coalesce(cardinality(changed), 0);
END;
$$;
COMMENT ON FUNCTION rapport.set_scalars_for(bigint[], real[], real[], real[]) IS
'What was learnt of up to 10,000 people, 0 to 1 each: how much others like them, how easily they like others, and the price that spreads attention (NULL: 0.5, 0.5 and 0). Their match keys follow in the same transaction. Unknown ids are left out; returns how many changed. For services. Errors: invalid_value, out_of_range.';
GRANT EXECUTE ON FUNCTION rapport.set_scalars_for(bigint[], real[], real[], real[]) TO rapport_service;

-- The two sides of a match

CREATE OR REPLACE FUNCTION rapport.attribute_map()
RETURNS TABLE (lane_of smallint[], lanes_of smallint[], strength_of smallint[], number_of smallint[])
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT array_agg(a.lane ORDER BY n),
		   array_agg(a.lanes ORDER BY n),
		   array_agg((CASE a.strength WHEN 'two_way' THEN 1 WHEN 'one_way' THEN 2 WHEN 'soft' THEN 3 END)::smallint ORDER BY n),
		   ARRAY(SELECT s.attribute_id
				 FROM generate_series(0, 3) AS g (number)
				 LEFT JOIN rapport.attribute AS s ON s.slot = g.number
				 ORDER BY g.number)
	FROM generate_series(1, (SELECT max(attribute_id) FROM rapport.attribute)) AS n
	LEFT JOIN rapport.attribute AS a ON a.attribute_id = n;
END;
COMMENT ON FUNCTION rapport.attribute_map() IS
'One row: by attribute id the first lane, the number of lanes and the default strength (1 two-way, 2 one-way, 3 soft); by slot + 1 the attribute id of a number.';

CREATE OR REPLACE FUNCTION rapport.match_sides(ids bigint[], weakest integer)
RETURNS TABLE (person_id bigint, mode smallint, key rapport.match_key)
LANGUAGE c STABLE STRICT PARALLEL UNSAFE ROWS 100 SET enable_seqscan = off SET enable_bitmapscan = off
AS 'MODULE_PATHNAME', 'match_sides';
COMMENT ON FUNCTION rapport.match_sides(bigint[], integer) IS
'The match keys of people in each mode they take part in. Filters up to the strength weakest count: 1 two-way ones only, which is how others test a person; 2 one-way ones as well, which is whom the person wants to see. Quality is how much a profile tells: half for the share of attributes answered, a quarter each for a text and for tags.';

CREATE OR REPLACE FUNCTION rapport.match_query_for(
	person_id bigint, mode smallint, key rapport.match_key, day date, seen bigint[],
	active_since date DEFAULT NULL, after_cost double precision DEFAULT NULL, after_id bigint DEFAULT NULL, weights jsonb DEFAULT NULL)
RETURNS rapport.match_query
LANGUAGE c STABLE PARALLEL UNSAFE SET enable_seqscan = off SET enable_bitmapscan = off
AS 'MODULE_PATHNAME', 'match_query_for';
COMMENT ON FUNCTION rapport.match_query_for(bigint, smallint, rapport.match_key, date, bigint[], date, double precision, bigint, jsonb) IS
'The question a person asks of candidates: key is one of their match_sides(), day the UTC date ages and ties go by, seen the people left out; only candidates active since then and beyond (after_cost, after_id). Soft wishes come from preference, weights from scoring_weights() (NULL: of the mode), those of tags from tag_weights(), and with a boost the last 1,000 who like the person.';

-- The seen set

CREATE OR REPLACE FUNCTION rapport.match_query_see(query rapport.match_query, person_id bigint, mode smallint) RETURNS rapport.match_query
-- One person's rows among those of millions: the indexes serve, in their order, whatever the statistics say.
LANGUAGE c STABLE STRICT PARALLEL UNSAFE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
AS 'MODULE_PATHNAME', 'match_query_see';
COMMENT ON FUNCTION rapport.match_query_see(rapport.match_query, bigint, smallint) IS
'The query, leaving out whom seen_by() names as well: the packed buckets go into it as they are.';

CREATE OR REPLACE FUNCTION rapport.seen_fold(person_id bigint, mode smallint, leave integer) RETURNS integer
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET enable_seqscan = off
AS 'MODULE_PATHNAME', 'match_seen_fold';
COMMENT ON FUNCTION rapport.seen_fold(bigint, smallint, integer) IS
'Moves rows of swipe into their buckets of seen, the buckets with most rows first, until no more than leave are left; the latest 16 stay rows, or leave if that is fewer. Returns how many there are then. The caller has locked the row of swiper.';

CREATE OR REPLACE FUNCTION rapport.seen_forget(person_id bigint, mode smallint, other_id bigint) RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET enable_seqscan = off
AS 'MODULE_PATHNAME', 'match_seen_forget';
COMMENT ON FUNCTION rapport.seen_forget(bigint, smallint, bigint) IS
'Takes somebody out of the bucket they are in; whether they were in one. The caller has locked the row of swiper.';

CREATE OR REPLACE FUNCTION rapport.seen_unpack(data bytea) RETURNS TABLE (other_id bigint, expires date)
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 500
AS 'MODULE_PATHNAME', 'match_seen_unpack';
COMMENT ON FUNCTION rapport.seen_unpack(bytea) IS
'The people in a bucket of seen, with the day from which they may be shown again; NULL for never. Raises 22023 for anything else.';

CREATE OR REPLACE FUNCTION rapport.seen_list(data bytea) RETURNS jsonb
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT jsonb_agg(jsonb_build_object('other_id', u.other_id, 'expires', u.expires) ORDER BY u.other_id)
	FROM rapport.seen_unpack(data) AS u;
END;
COMMENT ON FUNCTION rapport.seen_list(bytea) IS 'seen_unpack() as JSON, for an export.';

CREATE OR REPLACE FUNCTION rapport.seen_by(person_id bigint, mode smallint) RETURNS bigint[]
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	seen bigint[];
BEGIN
	SELECT array_agg(s.other_id) INTO seen
	FROM (SELECT w.other_id
		  FROM rapport.swipe AS w
		  WHERE w.person_id = seen_by.person_id
		  AND w.mode = seen_by.mode
		  AND (w.expires IS NULL OR w.expires > rapport.today())
		  UNION ALL
		  SELECT u.other_id
		  FROM rapport.seen AS w
		  CROSS JOIN LATERAL rapport.seen_unpack(w.data) AS u
		  WHERE w.person_id = seen_by.person_id
		  AND w.mode = seen_by.mode
		  AND (u.expires IS NULL OR u.expires > rapport.today())
		  UNION ALL
		  SELECT b.other_id FROM rapport.block AS b WHERE b.person_id = seen_by.person_id
		  UNION ALL
		  SELECT b.other_id FROM rapport.blocked_by AS b WHERE b.person_id = seen_by.person_id) AS s;
	RETURN coalesce(seen, '{}');
END;
$$;
COMMENT ON FUNCTION rapport.seen_by(bigint, smallint) IS
'Whom a person is not shown in a mode: everyone they swiped on who may not come back yet, and whoever is blocked either way.';

CREATE OR REPLACE FUNCTION rapport.match_mode(person_id bigint, mode text) RETURNS smallint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	found smallint;
BEGIN
	IF match_mode.mode IS NULL THEN
		SELECT min(f.mode) INTO found
		FROM rapport.preference AS f
		WHERE f.person_id = match_mode.person_id
		AND f.enabled;
		IF found IS NULL THEN
			PERFORM rapport.fail('profile_incomplete', 'No mode is enabled.');
		END IF;
		RETURN found;
	END IF;
	SELECT m.mode INTO found FROM rapport.mode AS m WHERE m.code = match_mode.mode;
	IF found IS NULL THEN
		PERFORM rapport.fail('unknown_mode', pg_catalog.format('%L is not a mode.', match_mode.mode));
	END IF;
	IF NOT EXISTS (SELECT FROM rapport.preference AS f
				   WHERE f.person_id = match_mode.person_id
				   AND f.mode = found
				   AND f.enabled) THEN
		PERFORM rapport.fail('mode_not_enabled');
	END IF;
	RETURN found;
END;
$$;
COMMENT ON FUNCTION rapport.match_mode(bigint, text) IS
'The mode of that code if the person takes part in it; for NULL the first they take part in. Errors: unknown_mode, mode_not_enabled, profile_incomplete.';

CREATE OR REPLACE FUNCTION rapport.match_side(person_id bigint, mode smallint, weakest integer) RETURNS rapport.match_key
LANGUAGE c STABLE STRICT PARALLEL UNSAFE SET enable_seqscan = off SET enable_bitmapscan = off
AS 'MODULE_PATHNAME', 'match_side';
COMMENT ON FUNCTION rapport.match_side(bigint, smallint, integer) IS
'The match_sides() key of one person. Errors: profile_incomplete, with the steps that are missing.';

-- Candidates

CREATE OR REPLACE FUNCTION rapport.candidates_of(ids bigint[])
RETURNS TABLE (person_id bigint, mode smallint, key rapport.match_key)
LANGUAGE plpgsql STABLE SET jit = off SET enable_seqscan = off SET enable_nestloop = on
AS $$
DECLARE
	complete bigint[] := ARRAY(
		SELECT i.person_id
		FROM unnest(ids) AS i (person_id)
		CROSS JOIN LATERAL (SELECT FROM rapport.person AS a WHERE a.person_id = i.person_id AND a.state = 'active' OFFSET 0) AS a
		CROSS JOIN LATERAL (SELECT p AS stored FROM rapport.profile AS p WHERE p.person_id = i.person_id AND NOT p.paused OFFSET 0) AS p
		WHERE NOT EXISTS (SELECT FROM rapport.missing_steps(p.stored)));
BEGIN
	RETURN QUERY SELECT k.person_id, k.mode, k.key FROM rapport.match_sides(complete, 1) AS k;
END;
$$;
COMMENT ON FUNCTION rapport.candidates_of(bigint[]) IS
'The candidate rows that these people should have, from their profiles and preferences.';

CREATE OR REPLACE FUNCTION rapport.candidate_refresh(ids bigint[]) RETURNS void
-- The join is hashed, however few rows are expected.
LANGUAGE plpgsql VOLATILE SET jit = off SET enable_seqscan = off SET enable_nestloop = off
AS $$
BEGIN
	-- One at a time per person, each with a snapshot of its own: what another
	-- transaction changed about them is either seen here, or refreshed there.
	PERFORM FROM rapport.profile AS p WHERE p.person_id = ANY (ids) ORDER BY p.person_id FOR NO KEY UPDATE;
	WITH wanted AS MATERIALIZED (
		SELECT k.person_id, k.mode, k.key
		FROM rapport.candidates_of(ids) AS k
	), gone AS (
		-- NOT IN is hashed, too.
		DELETE FROM rapport.candidate AS c
		WHERE c.person_id = ANY (ids)
		AND (c.person_id, c.mode) NOT IN (SELECT w.person_id, w.mode FROM wanted AS w)
	), changed AS (
		-- Who has moved goes to another partition by this.
		UPDATE rapport.candidate AS c
		SET key = w.key
		FROM wanted AS w
		WHERE c.person_id = ANY (ids)
		AND (w.person_id, w.mode) = (c.person_id, c.mode)
		AND c.key OPERATOR(rapport.<>) w.key
	)
	INSERT INTO rapport.candidate (person_id, mode, key)
	SELECT w.person_id, w.mode, w.key
	FROM wanted AS w
	WHERE (w.person_id, w.mode) NOT IN (SELECT c.person_id, c.mode FROM rapport.candidate AS c WHERE c.person_id = ANY (ids))
	-- Only where the snapshot is older than the lock, and then it fails to serialize.
	ON CONFLICT DO NOTHING;
END;
$$;
COMMENT ON FUNCTION rapport.candidate_refresh(bigint[]) IS
'Brings the candidate rows of these people in line with their profiles and preferences; the hook of person_changed. Any number of people in one pass.';

CREATE OR REPLACE FUNCTION rapport.candidate_indexes() RETURNS TABLE (leaf regclass, index regclass)
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT h.inhrelid::regclass, i.indexrelid::regclass
	FROM pg_catalog.pg_inherits AS h
	JOIN pg_catalog.pg_index AS i ON i.indrelid = h.inhrelid AND i.indisvalid
	JOIN pg_catalog.pg_opclass AS o ON o.oid = i.indclass[0] AND o.opcintype = 'rapport.match_key'::regtype
	WHERE h.inhparent = 'rapport.candidate'::regclass
	ORDER BY h.inhrelid;
END;
COMMENT ON FUNCTION rapport.candidate_indexes() IS 'The partitions of rapport.candidate, each with its match index.';

CREATE OR REPLACE FUNCTION rapport.candidate_pack(counts bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET lock_timeout = '5s'
AS $$
DECLARE
	packed regclass;
BEGIN
	IF counts[1] >= 10000 AND counts[1] * 2 >= (SELECT count(*) FROM rapport.profile AS p) THEN
		BEGIN
			-- Who imports without the index builds it afterwards.
			FOR packed IN SELECT i.index FROM rapport.candidate_indexes() AS i LOOP
				EXECUTE format('REINDEX INDEX %s', packed);
			END LOOP;
		EXCEPTION WHEN lock_not_available THEN
			-- Who waits for a lock on a table holds up everyone who comes after.
			RAISE NOTICE 'the match index is in use and was not packed'
				USING HINT = format('REINDEX INDEX CONCURRENTLY %s packs it.', packed);
		END;
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.candidate_pack(bigint[]) IS
'Hook of people_imported, with the people added: builds the match index anew, sorted, when half of all people or more came with this import; rows that come one by one leave it larger and slower. Nobody can be discovered meanwhile (about 5 s for a million), so a smaller import does without, and one that cannot have the lock within 5 s.';

CREATE OR REPLACE FUNCTION rapport.keys_made_of() RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT concat_ws(' | ',
		split_part(rapport.match_key(0, NULL, NULL)::text, ';', 1),
		(SELECT string_agg(concat_ws(' ', a.attribute_id, a.strength, a.lane, a.lanes, a.slot), ', ' ORDER BY a.attribute_id) FROM rapport.attribute AS a),
		(SELECT string_agg(coalesce(r.step, d.step), ', ' ORDER BY coalesce(r.step, d.step) COLLATE "C")
		 FROM rapport.step_default AS d
		 FULL JOIN rapport.required_step AS r ON r.step = d.step
		 WHERE coalesce(r.required, d.required)));
END;
COMMENT ON FUNCTION rapport.keys_made_of() IS
'What the candidates of all people are made of besides the people: the format of keys, the attributes with their places in a key and strengths, the required steps.';

CREATE OR REPLACE FUNCTION rapport.keys_outdated() RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	RETURN EXISTS (SELECT FROM rapport.candidate)
		AND NOT EXISTS (SELECT FROM rapport.key_rebuild AS r WHERE r.finished_at IS NOT NULL AND r.made_of = rapport.keys_made_of());
END;
$$;
COMMENT ON FUNCTION rapport.keys_outdated() IS
'Whether there are candidates, and rebuild_keys() has not gone through since the attributes, the required steps or the format of keys changed. For operators.';
GRANT EXECUTE ON FUNCTION rapport.keys_outdated() TO rapport_service;

CREATE OR REPLACE FUNCTION rapport.rebuild_keys_next(batch integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	source text := rapport.keys_made_of();
	run rapport.key_rebuild;
	ids bigint[];
BEGIN
	IF batch IS NULL OR batch NOT BETWEEN 1 AND 100000 THEN
		PERFORM rapport.fail('out_of_range', 'A batch is 1 to 100000 people.');
	END IF;
	INSERT INTO rapport.key_rebuild (made_of, started_at) VALUES (source, rapport.now()) ON CONFLICT DO NOTHING;
	SELECT r.* INTO run FROM rapport.key_rebuild AS r FOR NO KEY UPDATE;
	IF run.finished_at IS NOT NULL OR run.made_of <> source THEN
		UPDATE rapport.key_rebuild
		SET made_of = source, started_at = rapport.now(), finished_at = NULL, done_to = DEFAULT, people = DEFAULT
		RETURNING * INTO run;
	END IF;
	ids := ARRAY(SELECT p.person_id FROM rapport.profile AS p WHERE p.person_id > run.done_to ORDER BY p.person_id LIMIT batch);
	PERFORM rapport.candidate_refresh(ids);
	UPDATE rapport.key_rebuild AS r
	SET done_to = coalesce(ids[cardinality(ids)], r.done_to),
		people = r.people + cardinality(ids),
		finished_at = CASE WHEN cardinality(ids) < batch THEN rapport.now() END;
	RETURN cardinality(ids) = batch;
END;
$$;
COMMENT ON FUNCTION rapport.rebuild_keys_next(integer) IS
'One step of rebuild_keys(): the next people, at most batch; whether there may be more. Errors: out_of_range.';
GRANT EXECUTE ON FUNCTION rapport.rebuild_keys_next(integer) TO rapport_service;

CREATE OR REPLACE PROCEDURE rapport.rebuild_keys(batch integer DEFAULT 1000)
LANGUAGE plpgsql
AS $$
BEGIN
	WHILE rapport.rebuild_keys_next(batch) LOOP
		COMMIT;
	END LOOP;
END;
$$;
COMMENT ON PROCEDURE rapport.rebuild_keys(integer) IS
'Brings the candidates of all people in line with the attributes, the required steps and the format of keys, while people go on: after define_attribute(), change_attribute(), require_step() and updates. Keys that are right already are not written. Commits after each batch of people (1 to 100000), whose own writes wait so long; one that was interrupted goes on where it was, or begins again if what keys are made of has changed since. Not inside a transaction. Errors: out_of_range.';
GRANT EXECUTE ON PROCEDURE rapport.rebuild_keys(integer) TO rapport_service;

-- By which attribute the index clusters

CREATE OR REPLACE FUNCTION rapport.clustering(sample integer DEFAULT 1000)
RETURNS TABLE (attribute text, passes double precision, groups bigint, pairs bigint, chosen boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp SET jit = off
AS $$
BEGIN
	IF sample IS NULL OR sample NOT BETWEEN 2 AND 5000 THEN
		PERFORM rapport.fail('out_of_range', 'A sample is 2 to 5000 people.');
	END IF;
	RETURN QUERY
	WITH choice AS MATERIALIZED (
		SELECT a.code, a.lane, a.lanes, row_number() OVER (ORDER BY a.attribute_id) AS n
		FROM rapport.attribute AS a
		WHERE a.kind = 'choice'
	), person AS MATERIALIZED (
		SELECT c.mode, c.key, row_number() OVER () AS n, c.reach, l.traits, l.wants
		FROM (SELECT x.mode, x.key, (rapport.match_key_parts(x.key) ->> 'max_distance_km')::double precision * 1000 AS reach,
					 substring(x.key::text FROM ';traits=([0-9A-Fa-f]*)') AS traits, substring(x.key::text FROM ';wants=([0-9A-Fa-f]*)') AS wants
			  FROM rapport.candidate AS x ORDER BY random() LIMIT sample) AS c
		CROSS JOIN LATERAL (
			SELECT array_agg(('x' || lpad(substring(c.traits FROM 2 * a.lane + 1 FOR 2 * a.lanes), 16, '0'))::bit(64)::bigint ORDER BY a.n) AS traits,
				   array_agg(('x' || lpad(substring(c.wants FROM 2 * a.lane + 1 FOR 2 * a.lanes), 16, '0'))::bit(64)::bigint ORDER BY a.n) AS wants
			FROM choice AS a) AS l
	), pair AS MATERIALIZED (
		SELECT x.traits AS x_traits, x.wants AS x_wants, y.traits AS y_traits, y.wants AS y_wants
		FROM person AS x
		JOIN person AS y ON y.mode = x.mode AND y.n > x.n
		WHERE coalesce(rapport.match_distance_m(x.key, y.key), 'infinity') <= least(coalesce(x.reach, 'infinity'), coalesce(y.reach, 'infinity'))
		LIMIT 20000
	)
	SELECT a.code,
		   (SELECT avg(((p.x_traits[a.n] & p.y_wants[a.n]) <> 0 AND (p.y_traits[a.n] & p.x_wants[a.n]) <> 0)::integer) FROM pair AS p)::double precision,
		   (SELECT count(DISTINCT (p.mode, p.traits[a.n], p.wants[a.n])) FROM person AS p),
		   (SELECT count(*) FROM pair),
		   a.lane = rapport.index_lane('rapport.candidate_key')
	FROM choice AS a
	ORDER BY 2, 3, a.n;
END;
$$;
COMMENT ON FUNCTION rapport.clustering(integer) IS
'By which choice attribute the match index should cluster, best first. Of random pairs of candidates in one mode, each within the reach of the other, passes is the share that accept each other on that attribute (1: it leaves nobody out); groups is how many kinds of people it makes in the sample, best a few: a group should fill many pages. chosen is the one in use. Reads all candidates once; sample is 2 to 5000 people. For operators. Errors: out_of_range.';
GRANT EXECUTE ON FUNCTION rapport.clustering(integer) TO rapport_service;

CREATE OR REPLACE FUNCTION rapport.index_lane(index regclass) RETURNS smallint
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT coalesce(substring(array_to_string(a.attoptions, ',') FROM 'lane=(\d+)')::smallint, 0::smallint)
	FROM pg_catalog.pg_attribute AS a
	WHERE a.attrelid = index_lane.index
	AND a.attnum = 1;
END;
COMMENT ON FUNCTION rapport.index_lane(regclass) IS 'The lane that an index of match_key_ops clusters by.';

CREATE OR REPLACE FUNCTION rapport.wanted_lane() RETURNS smallint
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT coalesce((SELECT a.lane FROM rapport.attribute AS a WHERE a.code = rapport.setting_text('cluster_by')), 0::smallint);
END;
COMMENT ON FUNCTION rapport.wanted_lane() IS 'The lane of the attribute that the setting cluster_by names; else the first.';

CREATE OR REPLACE FUNCTION rapport.cluster_by(attribute text DEFAULT NULL) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	part record;
BEGIN
	IF cluster_by.attribute IS NOT NULL THEN
		IF NOT EXISTS (SELECT FROM rapport.attribute AS a WHERE a.code = cluster_by.attribute AND a.kind = 'choice') THEN
			PERFORM rapport.fail('unknown_attribute', format('%L is not a choice attribute.', cluster_by.attribute));
		END IF;
		PERFORM rapport.set_setting('cluster_by', cluster_by.attribute);
	END IF;
	FOR part IN
		SELECT t.relname AS leaf, n.name
		FROM rapport.candidate_indexes() AS i
		JOIN pg_class AS t ON t.oid = i.leaf
		CROSS JOIN LATERAL (SELECT c.relname AS name FROM pg_class AS c WHERE c.oid = i.index) AS n
		WHERE rapport.index_lane(i.index) <> rapport.wanted_lane()
		AND n.name !~ '_new$'
	LOOP
		RETURN NEXT format('DROP INDEX CONCURRENTLY IF EXISTS rapport.%I', part.name || '_new');
		RETURN NEXT format('CREATE INDEX CONCURRENTLY %I ON rapport.%I USING match_gist (key rapport.match_key_ops (lane = %s))', part.name || '_new', part.leaf, rapport.wanted_lane());
		RETURN NEXT format('DROP INDEX CONCURRENTLY rapport.%I', part.name);
		RETURN NEXT format('ALTER INDEX rapport.%I RENAME TO %I', part.name || '_new', part.name);
	END LOOP;
END;
$$;
COMMENT ON FUNCTION rapport.cluster_by(text) IS
'Notes the attribute that the match index is to cluster by (NULL: the one noted before), and returns the statements that build it so and replace the one in use, while people go on; none if it is so already. SELECT rapport.cluster_by(''smoking'') \gexec in psql, as a superuser. Keys stay as they are, and answers are right all the time: the choice decides only how much a scan reads. A restored index clusters by the first lane until this is called again. An attribute of several lanes clusters by its first 7 options. For operators. Errors: unknown_attribute.';
GRANT EXECUTE ON FUNCTION rapport.cluster_by(text) TO rapport_service;

CREATE OR REPLACE FUNCTION rapport.after_restore(OUT people bigint, OUT rebuilt bigint, OUT candidates bigint, OUT index_bytes bigint,
												 OUT problems bigint, OUT first_problem text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp SET jit = off
AS $$
DECLARE
	ids bigint[];
	differ bigint[];
	last bigint := 0;
	leaf regclass;
BEGIN
	PERFORM rapport.forget_kept();
	people := 0;
	rebuilt := 0;
	LOOP
		SELECT array_agg(b.person_id ORDER BY b.person_id) INTO ids
		FROM (SELECT p.person_id FROM rapport.person AS p WHERE p.person_id > last ORDER BY p.person_id LIMIT 10000) AS b;
		EXIT WHEN ids IS NULL;
		last := ids[cardinality(ids)];
		people := people + cardinality(ids);
		SELECT array_agg(DISTINCT person_id) INTO differ
		FROM rapport.candidates_of(ids) AS w
		FULL JOIN (SELECT c.person_id, c.mode, c.key FROM rapport.candidate AS c WHERE c.person_id = ANY (ids)) AS c USING (person_id, mode)
		WHERE w.key OPERATOR(rapport.=) c.key IS NOT TRUE;
		IF differ IS NOT NULL THEN
			rebuilt := rebuilt + cardinality(differ);
			PERFORM rapport.candidate_refresh(differ);
		END IF;
	END LOOP;
	FOR leaf IN SELECT h.inhrelid FROM pg_inherits AS h WHERE h.inhparent = 'rapport.candidate'::regclass LOOP
		EXECUTE format('REINDEX TABLE %s', leaf);
	END LOOP;
	SELECT sum(c.rows), sum(c.problems), min(c.first_problem), sum(pg_relation_size(i.index))
	INTO candidates, after_restore.problems, after_restore.first_problem, index_bytes
	FROM rapport.candidate_indexes() AS i
	CROSS JOIN LATERAL rapport.match_index_check(i.index) AS c;
END;
$$;
COMMENT ON FUNCTION rapport.after_restore() IS
'After a restore or an upgrade of the server: compares the candidate keys of all people with what this version makes of their profiles and preferences, rebuilds those that differ, builds the indexes of candidate anew, sorted, and checks the match index. Tells how many people it looked at, for how many it rebuilt something, how many candidates there are, the bytes of their match index, and what match_index_check() found. Nobody can be discovered while it reindexes. For operators.';
GRANT EXECUTE ON FUNCTION rapport.after_restore() TO rapport_service;

CREATE OR REPLACE FUNCTION rapport.match_erase(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	ended rapport.pair;
BEGIN
	FOR ended IN
		SELECT p.* FROM rapport.pair AS p WHERE p.lo = ANY (ids) AND p.matched_at IS NOT NULL
		UNION
		SELECT p.* FROM rapport.pair AS p WHERE p.hi = ANY (ids) AND p.matched_at IS NOT NULL
		ORDER BY lo, hi, mode
	LOOP
		PERFORM rapport.run_hooks('unmatched', ARRAY[ended.lo, ended.hi, ended.mode]);
	END LOOP;
END;
$$;
COMMENT ON FUNCTION rapport.match_erase(bigint[]) IS
'Hook of "person_erased": their matches end. The rows go as rapport.subject says.';

INSERT INTO rapport.hook (event, ord, call, builtin) VALUES
	('people_imported', 100, 'rapport.candidate_pack(bigint[])', true),
	('person_changed', 100, 'rapport.candidate_refresh(bigint[])', true),
	('person_erased', 100, 'rapport.match_erase(bigint[])', true);

-- Discovery

CREATE OR REPLACE FUNCTION rapport.distance_bucket(metres double precision) RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT rapport.distance_bucket(metres, rapport.setting_text('distance_buckets')::integer[]);
END;
COMMENT ON FUNCTION rapport.distance_bucket(double precision) IS
'The only form in which a distance leaves: "within so many km" of the setting distance_buckets (2, 5, 10, 20, 50, 100, 200, 500, 1000); NULL when further or unknown.';

CREATE OR REPLACE FUNCTION rapport.score_parts(explained jsonb) RETURNS TABLE (parts jsonb)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT jsonb_object_agg(p.term, round((p.part ->> 'value')::numeric, CASE p.term WHEN 'distance' THEN 1 ELSE 2 END))
	FROM jsonb_each(score_parts.explained -> 'parts') AS p (term, part);
END;
COMMENT ON FUNCTION rapport.score_parts(jsonb) IS
'One row: the terms of a score, 0 to 1, in an answer of match_explain(); the distance in it is rounded more than the others, as distances leave only as steps. Use in FROM, there it is inlined.';

CREATE OR REPLACE FUNCTION rapport.match_filters(
	radius_km integer, everywhere boolean, active_within_days integer,
	joined_within_days integer, options jsonb, tags text[], min_shared_tags integer)
RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	rules jsonb;
	read record;
	rule text;
	allowed jsonb;
	accepts bigint[];
	found jsonb := '{}';
BEGIN
	IF pg_catalog.num_nonnulls(radius_km, everywhere, active_within_days, joined_within_days, options, tags, min_shared_tags) = 0 THEN
		RETURN NULL;
	END IF;
	IF radius_km NOT BETWEEN 1 AND 20000 THEN
		PERFORM rapport.fail('out_of_range', 'radius_km takes 1 to 20000.');
	ELSIF radius_km IS NOT NULL AND everywhere THEN
		PERFORM rapport.fail('invalid_value', 'Either radius_km or everywhere.');
	ELSIF active_within_days NOT BETWEEN 0 AND 36500 THEN
		PERFORM rapport.fail('out_of_range', 'active_within_days takes 0 to 36500.');
	ELSIF joined_within_days NOT BETWEEN 0 AND 36500 THEN
		PERFORM rapport.fail('out_of_range', 'joined_within_days takes 0 to 36500.');
	ELSIF min_shared_tags NOT BETWEEN 0 AND 50 THEN
		PERFORM rapport.fail('out_of_range', 'min_shared_tags takes 0 to 50.');
	ELSIF pg_catalog.jsonb_typeof(options) <> 'object' THEN
		PERFORM rapport.fail('wrong_type', 'options is an object of attributes, each with only, never or both.');
	END IF;
	IF options IS NOT NULL OR tags IS NOT NULL THEN
		rules := rapport.profile_rules();
	END IF;
	IF options IS NOT NULL THEN
		SELECT pg_catalog.format('%s takes only, never or both.', o.key) INTO rule
		FROM pg_catalog.jsonb_each(options) AS o
		WHERE pg_catalog.jsonb_typeof(o.value) <> 'object' OR o.value = '{}' OR o.value - ARRAY['only', 'never'] <> '{}'
			OR o.value -> 'only' = 'null' OR o.value -> 'never' = 'null'
		LIMIT 1;
		IF rule IS NOT NULL THEN
			PERFORM rapport.fail('wrong_type', rule);
		END IF;
		FOREACH rule IN ARRAY ARRAY['only', 'never']
		LOOP
			SELECT pg_catalog.jsonb_object_agg(o.key, o.value -> rule) INTO allowed FROM pg_catalog.jsonb_each(options) AS o WHERE o.value ? rule;
			CONTINUE WHEN allowed IS NULL;
			-- As preferences are read.
			SELECT p.accepts, p.problems INTO read FROM rapport.read_preference(NULL, pg_catalog.jsonb_build_object('accepts', allowed), rules) AS p;
			IF read.problems IS NOT NULL THEN
				PERFORM rapport.fail_first(read.problems);
			END IF;
			SELECT pg_catalog.array_agg(coalesce(accepts[n] & m.mask, accepts[n], m.mask) ORDER BY n) INTO accepts
			FROM pg_catalog.generate_series(1, greatest(pg_catalog.cardinality(accepts), pg_catalog.cardinality(read.accepts))) AS n
			CROSS JOIN LATERAL (SELECT CASE rule WHEN 'only' THEN read.accepts[n] ELSE ~read.accepts[n] END AS mask) AS m;
		END LOOP;
		IF accepts IS NOT NULL THEN
			found := pg_catalog.jsonb_build_object('accepts', accepts);
		END IF;
	END IF;
	IF tags IS NOT NULL THEN
		-- As tags of a profile are read.
		SELECT p.tags, p.problems INTO read FROM rapport.read_profile(NULL, pg_catalog.jsonb_build_object('tags', tags), rules) AS p;
		IF read.problems IS NOT NULL THEN
			PERFORM rapport.fail_first(read.problems);
		END IF;
		IF read.tags <> '{}' THEN
			found := found || pg_catalog.jsonb_build_object('tags', read.tags);
		END IF;
	END IF;
	found := found || pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
		'radius_km', radius_km, 'everywhere', nullif(everywhere, false), 'active_within_days', active_within_days,
		'joined_within_days', joined_within_days, 'min_shared_tags', nullif(min_shared_tags, 0)));
	RETURN nullif(found, '{}');
END;
$$;
COMMENT ON FUNCTION rapport.match_filters(integer, boolean, integer, integer, jsonb, text[], integer) IS
'The filters of one call of discover(), checked and in one form: as given, but options as accepts, a mask of options by attribute id; NULL for none. Errors: out_of_range, invalid_value, wrong_type, unknown_attribute, unknown_option.';

CREATE OR REPLACE FUNCTION rapport.match_filtered(query rapport.match_query, filters jsonb, own_tags text[], day date, sort text)
RETURNS rapport.match_query
LANGUAGE plpgsql STABLE
AS $$
BEGIN
	IF sort NOT IN ('best', 'nearest', 'newest', 'active') THEN
		PERFORM rapport.fail('invalid_value', 'sort takes best, nearest, newest or active.');
	END IF;
	IF filters IS NULL AND sort IS NULL THEN
		RETURN match_filtered.query;
	END IF;
	RETURN (
		SELECT rapport.match_query_filter(
				   query => query,
				   accept_wants => CASE WHEN filters ? 'accepts' THEN
					   rapport.want_lanes((SELECT pg_catalog.array_agg(x.mask::bigint ORDER BY x.n)
										   FROM pg_catalog.jsonb_array_elements_text(filters -> 'accepts') WITH ORDINALITY AS x (mask, n)),
										  NULL, map.lane_of, map.lanes_of) END,
				   active_since => day - (filters ->> 'active_within_days')::integer,
				   joined_since => day - (filters ->> 'joined_within_days')::integer,
				   radius_km => CASE WHEN filters ? 'everywhere' THEN 'infinity' ELSE (filters ->> 'radius_km')::double precision END,
				   tags => ARRAY(SELECT pg_catalog.jsonb_array_elements_text(filters -> 'tags')),
				   shared_tags => (filters ->> 'min_shared_tags')::integer,
				   own_tags => pg_catalog.cardinality(own_tags),
				   sort => sort,
				   bucket_km => rapport.setting_text('distance_buckets')::double precision[])
		FROM rapport.attribute_map() AS map);
END;
$$;
COMMENT ON FUNCTION rapport.match_filtered(rapport.match_query, jsonb, text[], date, text) IS
'A query with the match_filters() of a person who has own_tags, in the order sort; nearest goes by the steps of distance_bucket(). Errors: invalid_value.';

CREATE OR REPLACE FUNCTION rapport.discover(
	mode text DEFAULT NULL, page_size integer DEFAULT NULL, after text DEFAULT NULL, sort text DEFAULT NULL,
	radius_km integer DEFAULT NULL, everywhere boolean DEFAULT NULL, active_within_days integer DEFAULT NULL,
	joined_within_days integer DEFAULT NULL, options jsonb DEFAULT NULL, tags text[] DEFAULT NULL, min_shared_tags integer DEFAULT NULL,
	scoring text DEFAULT NULL)
RETURNS TABLE (person_id bigint, display_name text, age integer, distance_km integer, score double precision,
			   shared_tags text[], attributes jsonb, about text, why jsonb, cursor text)
LANGUAGE c STABLE PARALLEL UNSAFE ROWS 20 SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp SET jit = off
-- Plans are kept: the indexes, even where a table was empty when one was made.
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
AS 'MODULE_PATHNAME', 'match_discover';
COMMENT ON FUNCTION rapport.discover(text, integer, text, text, integer, boolean, integer, integer, jsonb, text[], integer, text) IS
'People who fit me and whom I fit, exactly, best first: everyone in the mode (NULL: the first I take part in) except those I swiped on and those blocked either way. page_size is 1 to 100 (20); after is the cursor of the last row of the page before, with everything else as it was: whoever does not change between pages appears exactly once.
sort is best, nearest (by steps of distance), newest (by the day they joined) or active (by the day they were last); equals come best first. scoring is a scoring profile that is offered, NULL that of the mode.
Filters narrow this call: radius_km (1 to 20000) or everywhere take the place of how far I look, active_within_days and joined_within_days count back from today, options are answers by attribute ({"smoker": {"only": ["no"]}, "diet": {"never": ["vegan", null]}}, null: no answer), tags are those that a person must have, all of them, min_shared_tags how many of mine.
distance_km is an upper bound in steps (2, 5, 10 ... 1000; NULL further or unknown), score 0 to 1, why its parts. Why there is nobody tells discover_reason(). Errors: profile_incomplete, mode_not_enabled, unknown_mode, out_of_range, invalid_value, wrong_type, unknown_attribute, unknown_option, unknown_scoring, invalid_cursor.';
GRANT EXECUTE ON FUNCTION rapport.discover(text, integer, text, text, integer, boolean, integer, integer, jsonb, text[], integer, text) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.match_count(query rapport.match_query, filters jsonb, own_tags text[], up_to integer) RETURNS integer
-- The index, which stops at the limit, whatever the statistics say.
LANGUAGE plpgsql STABLE SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
DECLARE
	asked_tags text[] := ARRAY(SELECT pg_catalog.jsonb_array_elements_text(filters -> 'tags'));
	shared integer := coalesce((filters ->> 'min_shared_tags')::integer, 0);
BEGIN
	RETURN (
		SELECT pg_catalog.count(*)
		FROM (SELECT
			  FROM rapport.candidate AS c
			  WHERE c.key OPERATOR(rapport.@@) query
			  AND (asked_tags = '{}' AND shared = 0
				   OR (SELECT p.tags @> asked_tags AND (SELECT pg_catalog.count(*) FROM pg_catalog.unnest(p.tags) AS t WHERE t = ANY (own_tags)) >= shared
					   FROM rapport.profile AS p
					   WHERE p.person_id = c.person_id))
			  LIMIT up_to) AS hit);
END;
$$;
COMMENT ON FUNCTION rapport.match_count(rapport.match_query, jsonb, text[], integer) IS
'How many candidates a query with these match_filters() of a person with own_tags finds, at most up_to.';

CREATE OR REPLACE FUNCTION rapport.match_reason(person_id bigint, mode smallint, key rapport.match_key, filters jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	enough CONSTANT integer := 100;
	day date := rapport.today();
	active_days integer := rapport.setting_int('active_within_days');
	mine rapport.preference;
	my_tags text[];
	blocked bigint[];
	plain rapport.match_query := rapport.match_query_see(
		rapport.match_query_for(person_id, mode, key, day, '{}', CASE WHEN active_days > 0 THEN day - active_days END, weights => '{}'), person_id, mode);
	query rapport.match_query;
	contradictions jsonb;
	rules jsonb;
	seen integer;
BEGIN
	SELECT f.* INTO mine FROM rapport.preference AS f WHERE f.person_id = match_reason.person_id AND f.mode = match_reason.mode;
	SELECT p.tags INTO my_tags FROM rapport.profile AS p WHERE p.person_id = match_reason.person_id;
	-- Which answers to an attribute pass the filters and the preference, if that is a hard one.
	SELECT pg_catalog.jsonb_agg(a.code ORDER BY a.attribute_id) INTO contradictions
	FROM rapport.attribute AS a
	WHERE filters -> 'accepts' ->> (a.attribute_id - 1) IS NOT NULL
	AND (filters -> 'accepts' ->> (a.attribute_id - 1))::bigint
		& CASE WHEN coalesce(nullif(mine.strengths[a.attribute_id], 0), CASE a.strength WHEN 'soft' THEN 3 ELSE 1 END) < 3 THEN coalesce(mine.accepts[a.attribute_id], -1) ELSE -1 END
		& (SELECT 1 + coalesce(pg_catalog.sum(1::bigint << o.option), 0)::bigint FROM rapport.attribute_option AS o WHERE o.attribute_id = a.attribute_id) = 0;
	IF contradictions IS NOT NULL THEN
		RETURN pg_catalog.jsonb_build_object('code', 'contradiction', 'attributes', contradictions);
	END IF;
	query := rapport.match_filtered(plain, filters, my_tags, day, NULL);
	IF rapport.match_count(query, filters, my_tags, 1) > 0 THEN
		RETURN NULL;
	END IF;
	SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('rule', r.rule, 'people', r.people, 'more', r.people = enough)
								ORDER BY r.people DESC, r.ord, r.rule COLLATE "C")
	INTO rules
	FROM (
		-- Without one filter.
		SELECT 1 AS ord, o.rule, rapport.match_count(rapport.match_filtered(plain, o.others, my_tags, day, NULL), o.others, my_tags, enough) AS people
		FROM (SELECT k AS rule, filters - k AS others
			  FROM pg_catalog.jsonb_object_keys(filters) AS k
			  WHERE k NOT IN ('accepts', 'everywhere')
			  UNION ALL
			  SELECT 'options.' || a.code, pg_catalog.jsonb_set(filters, ARRAY['accepts', (a.attribute_id - 1)::text], 'null')
			  FROM rapport.attribute AS a
			  WHERE filters -> 'accepts' ->> (a.attribute_id - 1) IS NOT NULL) AS o
		UNION ALL
		-- Without one preference.
		SELECT 2, o.rule, rapport.match_count(rapport.match_query_relax(query, o.kind, o.place), filters, my_tags, enough)
		FROM (SELECT 'age' AS rule, 'age' AS kind, 0 AS place
			  WHERE pg_catalog.num_nonnulls(mine.age_min, mine.age_max) > 0
			  UNION ALL
			  SELECT 'max_distance_km', 'distance', 0
			  WHERE mine.max_distance_km IS NOT NULL
			  AND (filters ?| '{radius_km,everywhere}') IS NOT TRUE
			  UNION ALL
			  SELECT 'accepts.' || a.code, 'lane', a.lane
			  FROM rapport.attribute AS a
			  WHERE a.kind = 'choice'
			  AND mine.accepts[a.attribute_id] IS NOT NULL
			  AND coalesce(nullif(mine.strengths[a.attribute_id], 0), CASE a.strength WHEN 'soft' THEN 3 ELSE 1 END) < 3
			  UNION ALL
			  SELECT 'ranges.' || a.code, 'number', a.slot
			  FROM rapport.attribute AS a
			  WHERE a.kind = 'number'
			  AND mine.number_min[a.slot + 1] IS NOT NULL
			  AND coalesce(nullif(mine.strengths[a.attribute_id], 0), CASE a.strength WHEN 'soft' THEN 3 ELSE 1 END) < 3) AS o) AS r
	WHERE r.people > 0;
	blocked := ARRAY(SELECT b.other_id FROM rapport.block AS b WHERE b.person_id = match_reason.person_id
					UNION ALL
					SELECT b.other_id FROM rapport.blocked_by AS b WHERE b.person_id = match_reason.person_id);
	seen := rapport.match_count(rapport.match_filtered(
		rapport.match_query_for(person_id, mode, key, day, blocked, CASE WHEN active_days > 0 THEN day - active_days END, weights => '{}'),
		filters, my_tags, day, NULL), filters, my_tags, enough);
	RETURN pg_catalog.jsonb_build_object('code', CASE WHEN seen > 0 THEN 'all_seen' WHEN rules IS NOT NULL THEN 'too_narrow' ELSE 'nobody' END,
										 'without', coalesce(rules, '[]'));
END;
$$;
COMMENT ON FUNCTION rapport.match_reason(bigint, smallint, rapport.match_key, jsonb) IS
'Why discover() with these match_filters() finds nobody, for somebody whose match_side() key is: as discover_reason() says it; NULL if it does find somebody.';

CREATE OR REPLACE FUNCTION rapport.discover_reason(
	mode text DEFAULT NULL, page_size integer DEFAULT NULL, after text DEFAULT NULL, sort text DEFAULT NULL,
	radius_km integer DEFAULT NULL, everywhere boolean DEFAULT NULL, active_within_days integer DEFAULT NULL,
	joined_within_days integer DEFAULT NULL, options jsonb DEFAULT NULL, tags text[] DEFAULT NULL, min_shared_tags integer DEFAULT NULL,
	scoring text DEFAULT NULL)
RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	mode_id smallint := rapport.match_mode(me, mode);
BEGIN
	IF after IS NOT NULL THEN
		RETURN '{"code": "end"}';
	END IF;
	RETURN rapport.match_reason(me, mode_id, rapport.match_side(me, mode_id, 2), rapport.match_filters(radius_km, everywhere, active_within_days, joined_within_days, options, tags, min_shared_tags));
END;
$$;
COMMENT ON FUNCTION rapport.discover_reason(text, integer, text, text, integer, boolean, integer, integer, jsonb, text[], integer, text) IS
'Why a page of discover() with the same arguments is empty; NULL if the first is not. code is end (the page before was the last), contradiction (no answer to the attributes passes both the filters and my preferences), all_seen (I swiped on everyone who fits), too_narrow or nobody.
without lists the filters and preferences that keep others out all alone, with how many people there are without that one (up to 100, more: or more). Errors: as discover().';
GRANT EXECUTE ON FUNCTION rapport.discover_reason(text, integer, text, text, integer, boolean, integer, integer, jsonb, text[], integer, text) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.count_discoverable(
	mode text DEFAULT NULL,
	radius_km integer DEFAULT NULL, everywhere boolean DEFAULT NULL, active_within_days integer DEFAULT NULL,
	joined_within_days integer DEFAULT NULL, options jsonb DEFAULT NULL, tags text[] DEFAULT NULL, min_shared_tags integer DEFAULT NULL,
	up_to integer DEFAULT NULL, OUT people integer, OUT more boolean, OUT label text, OUT reason jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	mode_id smallint := rapport.match_mode(me, mode);
	my_key rapport.match_key := rapport.match_side(me, mode_id, 2);
	filters jsonb := rapport.match_filters(radius_km, everywhere, active_within_days, joined_within_days, options, tags, min_shared_tags);
	my_tags text[];
	active_days integer := rapport.setting_int('active_within_days');
	day date := rapport.today();
BEGIN
	up_to := coalesce(up_to, 1000);
	IF up_to NOT BETWEEN 1 AND 10000 THEN
		PERFORM rapport.fail('out_of_range', 'up_to takes 1 to 10000.');
	END IF;
	SELECT p.tags INTO my_tags FROM rapport.profile AS p WHERE p.person_id = me;
	people := rapport.match_count(
		rapport.match_query_see(
			rapport.match_filtered(
				rapport.match_query_for(me, mode_id, my_key, day, '{}', CASE WHEN active_days > 0 THEN day - active_days END, weights => '{}'),
				filters, my_tags, day, NULL),
			me, mode_id),
		filters, my_tags, up_to + 1);
	more := people > up_to;
	people := least(people, up_to);
	label := people || CASE WHEN more THEN '+' ELSE '' END;
	IF people = 0 THEN
		reason := rapport.match_reason(me, mode_id, my_key, filters);
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.count_discoverable(text, integer, boolean, integer, integer, jsonb, text[], integer, integer) IS
'How many people discover() with these filters would show me, counted up to up_to (1 to 10000; 1000): more tells that there are more, label is the number with a + then; reason why there is nobody, as discover_reason() says it. Errors: as discover().';
GRANT EXECUTE ON FUNCTION rapport.count_discoverable(text, integer, boolean, integer, integer, jsonb, text[], integer, integer) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.fits(person_id bigint, other_id bigint, mode smallint) RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	theirs rapport.match_key;
BEGIN
	SELECT c.key INTO theirs
	FROM rapport.candidate AS c
	WHERE c.person_id = fits.other_id
	AND c.mode = fits.mode
	AND NOT rapport.is_blocked(fits.person_id, fits.other_id);
	RETURN theirs IS NOT NULL
		AND theirs OPERATOR(rapport.@@) rapport.match_query_for(
			fits.person_id, fits.mode, rapport.match_side(fits.person_id, fits.mode, 1), rapport.today(), '{}', weights => '{}');
END;
$$;
COMMENT ON FUNCTION rapport.fits(bigint, bigint, smallint) IS
'Whether other_id is a candidate, nobody blocked the other, and both meet all two-way filters of the other; what either did before does not count. Errors: profile_incomplete.';

CREATE OR REPLACE FUNCTION rapport.sees(person_id bigint, other_id bigint, mode smallint DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	mine rapport.profile;
BEGIN
	IF sees.person_id = sees.other_id THEN
		RETURN EXISTS (SELECT FROM rapport.candidate AS c
					   WHERE c.person_id = sees.other_id AND (c.mode = sees.mode OR sees.mode IS NULL));
	ELSIF rapport.is_blocked(sees.person_id, sees.other_id) THEN
		RETURN false;
	ELSIF EXISTS (SELECT FROM rapport.pair AS x
				  WHERE x.lo = least(sees.person_id, sees.other_id)
				  AND x.hi = greatest(sees.person_id, sees.other_id)
				  AND (x.mode = sees.mode OR sees.mode IS NULL)
				  AND x.matched_at IS NOT NULL) THEN
		RETURN true;
	END IF;
	SELECT p.* INTO mine FROM rapport.profile AS p WHERE p.person_id = sees.person_id;
	RETURN NOT EXISTS (SELECT FROM rapport.missing_steps(mine))
		AND EXISTS (SELECT
					FROM rapport.match_sides(ARRAY[sees.person_id], 1) AS k
					JOIN rapport.candidate AS c ON c.person_id = sees.other_id AND c.mode = k.mode
					WHERE (k.mode = sees.mode OR sees.mode IS NULL)
					AND c.key OPERATOR(rapport.@@) rapport.match_query_for(k.person_id, k.mode, k.key, rapport.today(), '{}')
					AND NOT EXISTS (SELECT FROM rapport.pair AS x
									WHERE x.lo = least(sees.person_id, sees.other_id)
									AND x.hi = greatest(sees.person_id, sees.other_id)
									AND x.mode = k.mode
									AND x.ended_at IS NOT NULL));
END;
$$;
COMMENT ON FUNCTION rapport.sees(bigint, bigint, smallint) IS
'Whether one person may know that the other is there, in a mode or in any (NULL): they have matched, or the other is a candidate, both meet all two-way filters of the other and no match of theirs has ended in that mode; never when either blocks the other. So it is for everyone discover() and likes_received() show, and for whoever one talks to.';

CREATE OR REPLACE FUNCTION rapport.explain(key rapport.match_key, query rapport.match_query) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	explained jsonb := rapport.match_explain(key, query);
	mine jsonb := explained #> '{rules,viewer}';
	theirs jsonb := explained #> '{rules,candidate}';
BEGIN
	RETURN (
		SELECT pg_catalog.jsonb_build_object(
				   'shown', explained -> 'accepts',
				   'score', pg_catalog.round(least(1, greatest(0, (explained ->> 'score')::numeric)), 2),
				   'parts', (SELECT p.parts FROM rapport.score_parts(explained) AS p),
				   'distance_km', rapport.distance_bucket((explained ->> 'distance_m')::double precision),
				   'active', explained #> '{rules,active}',
				   'unseen', explained #> '{rules,unseen}',
				   'i_accept', pg_catalog.jsonb_build_object(
					   'age', mine -> 'age', 'distance', mine -> 'distance',
					   'attributes', coalesce(pg_catalog.jsonb_object_agg(a.code, CASE a.kind
						   WHEN 'choice' THEN pg_catalog.to_jsonb(NOT mine -> 'lanes_failed' @> pg_catalog.to_jsonb(a.lane))
						   ELSE mine -> 'numbers' -> a.slot::integer END), '{}')),
				   'they_accept', pg_catalog.jsonb_build_object(
					   'age', theirs -> 'age', 'distance', theirs -> 'distance',
					   'attributes', coalesce(pg_catalog.jsonb_object_agg(a.code, CASE a.kind
						   WHEN 'choice' THEN pg_catalog.to_jsonb(NOT theirs -> 'lanes_failed' @> pg_catalog.to_jsonb(a.lane))
						   ELSE theirs -> 'numbers' -> a.slot::integer END), '{}')))
		FROM rapport.attribute AS a);
END;
$$;
COMMENT ON FUNCTION rapport.explain(rapport.match_key, rapport.match_query) IS
'match_explain() with attributes by their codes, and without an exact distance.';

CREATE OR REPLACE FUNCTION rapport.explain_match(person_id bigint, mode text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	mode_id smallint := rapport.match_mode(me, mode);
	my_key rapport.match_key := rapport.match_side(me, mode_id, 2);
	active_days integer := rapport.setting_int('active_within_days');
	theirs rapport.match_key;
BEGIN
	SELECT c.key INTO theirs
	FROM rapport.candidate AS c
	WHERE c.person_id = explain_match.person_id
	AND c.mode = mode_id
	AND rapport.sees(me, c.person_id, mode_id);
	IF theirs IS NULL THEN
		PERFORM rapport.fail('not_found');
	END IF;
	RETURN rapport.explain(theirs, rapport.match_query_see(
		rapport.match_query_for(me, mode_id, my_key, rapport.today(), '{}',
								CASE WHEN active_days > 0 THEN rapport.today() - active_days END),
		me, mode_id));
END;
$$;
COMMENT ON FUNCTION rapport.explain_match(bigint, text) IS
'Why this person is or is not shown to me: every rule both ways, and every part of the score. mode NULL is the first I take part in. Errors: not_found (nobody in that mode, nobody I may see: blocked either way, beyond a two-way filter of either side unless we have matched, or a match that has ended), profile_incomplete, mode_not_enabled, unknown_mode.';
GRANT EXECUTE ON FUNCTION rapport.explain_match(bigint, text) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.person(
	person_id bigint, OUT display_name text, OUT age integer, OUT about text, OUT tags text[], OUT attributes jsonb,
	OUT distance_km integer, OUT matched boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
BEGIN
	IF NOT rapport.sees(me, person.person_id) THEN
		PERFORM rapport.fail('not_found');
	END IF;
	SELECT EXISTS (SELECT FROM rapport.pair AS x
				   WHERE x.lo = least(me, person.person_id)
				   AND x.hi = greatest(me, person.person_id)
				   AND x.matched_at IS NOT NULL) INTO matched;
	SELECT p.display_name, rapport.person_age(p.birth_date, rapport.today()), p.about, p.tags, a.attributes,
		   rapport.distance_bucket(rapport.place_distance(p.place, mine.place))
	INTO display_name, age, about, tags, attributes, distance_km
	FROM rapport.profile AS p
	JOIN rapport.attributes_of(ARRAY[person.person_id]) AS a ON a.person_id = p.person_id
	LEFT JOIN rapport.profile AS mine ON mine.person_id = me
	WHERE p.person_id = person.person_id;
END;
$$;
COMMENT ON FUNCTION rapport.person(bigint) IS
'What others see of a person; distance_km is an upper bound as in discover(). Only people who have matched with me, or who could be shown to me: candidates in a mode I take part in, within all two-way filters of both sides. Errors: not_found (anyone else, so also who is blocked either way, and who was unmatched).';
GRANT EXECUTE ON FUNCTION rapport.person(bigint) TO rapport_user;

-- Likes and matches

CREATE OR REPLACE FUNCTION rapport.remember_swipe(person_id bigint, other_id bigint, mode smallint, action text) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	is_like CONSTANT integer := (action = 'like')::integer;
	is_super CONSTANT integer := (action = 'super_like')::integer;
	days integer := CASE WHEN action IN ('pass', 'maybe') THEN rapport.setting_int(action || '_days') ELSE 0 END;
	mine rapport.swiper;
	most integer;
	tail_most integer;
BEGIN
	-- From here on the other swipes of the person in the mode wait.
	INSERT INTO rapport.swiper AS s (person_id, mode, last_at, day, likes, super_likes, tail)
	VALUES (remember_swipe.person_id, remember_swipe.mode, rapport.now(), rapport.today(), is_like, is_super, 1)
	ON CONFLICT ON CONSTRAINT swiper_pkey DO UPDATE
	SET last_at = greatest(excluded.last_at, s.last_at + interval '1 microsecond'),
		day = excluded.day,
		likes = CASE WHEN s.day = excluded.day THEN s.likes ELSE 0 END + is_like,
		super_likes = CASE WHEN s.day = excluded.day THEN s.super_likes ELSE 0 END + is_super,
		tail = s.tail + 1
	RETURNING s.* INTO mine;
	IF action IN ('like', 'super_like') THEN
		most := rapport.setting_int(action || 's_per_day');
		IF most > 0 AND (CASE action WHEN 'like' THEN mine.likes ELSE mine.super_likes END) > most THEN
			PERFORM rapport.fail('quota_exhausted', pg_catalog.format('There are %s a day.', most));
		END IF;
	END IF;
	PERFORM rapport.seen_forget(remember_swipe.person_id, remember_swipe.mode, remember_swipe.other_id);
	INSERT INTO rapport.swipe (person_id, other_id, mode, action, at, expires)
	VALUES (remember_swipe.person_id, remember_swipe.other_id, remember_swipe.mode, remember_swipe.action, mine.last_at,
			CASE WHEN days > 0 THEN rapport.today() + days END)
	ON CONFLICT ON CONSTRAINT swipe_pkey DO UPDATE
	SET action = excluded.action, at = excluded.at, expires = excluded.expires;
	-- Rows cost time when they are read, folding costs log by the size of a bucket: more of the one where that is big.
	tail_most := least(64 + mine.folded / 256, 256);
	IF mine.tail > tail_most THEN
		mine.tail := rapport.seen_fold(remember_swipe.person_id, remember_swipe.mode, tail_most);
		UPDATE rapport.swiper AS s
		SET tail = mine.tail,
			folded = s.folded + s.tail - mine.tail
		WHERE s.person_id = remember_swipe.person_id
		AND s.mode = remember_swipe.mode;
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.remember_swipe(bigint, bigint, smallint, text) IS
'Notes a swipe (like, super_like, pass, maybe) as the last of the person in the mode, and folds a bucket of older ones when there are many. Errors: quota_exhausted.';

CREATE OR REPLACE FUNCTION rapport.take_back_like(person_id bigint, other_id bigint, mode smallint) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	UPDATE rapport.pair AS p
	SET lo_action = CASE WHEN p.lo <> take_back_like.person_id THEN p.lo_action END,
		hi_action = CASE WHEN p.hi <> take_back_like.person_id THEN p.hi_action END
	WHERE p.lo = least(take_back_like.person_id, take_back_like.other_id)
	AND p.hi = greatest(take_back_like.person_id, take_back_like.other_id)
	AND p.mode = take_back_like.mode;
	DELETE FROM rapport.pair AS p
	WHERE p.lo = least(take_back_like.person_id, take_back_like.other_id)
	AND p.hi = greatest(take_back_like.person_id, take_back_like.other_id)
	AND p.mode = take_back_like.mode
	AND p.lo_action IS NULL
	AND p.hi_action IS NULL;
	DELETE FROM rapport.like_received AS l
	WHERE l.person_id = take_back_like.other_id
	AND l.mode = take_back_like.mode
	AND l.other_id = take_back_like.person_id;
	IF FOUND THEN
		PERFORM rapport.run_hooks('likes_changed', ARRAY[take_back_like.other_id, take_back_like.mode]);
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.take_back_like(bigint, bigint, smallint) IS
'Undoes the like of a person for another, if there is one and it has made no match. The caller holds lock_two_people().';

CREATE OR REPLACE FUNCTION rapport.like_with(person_id bigint, mode text, action text, OUT matched boolean, OUT conversation_id bigint)
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	other ALIAS FOR $1;
	me bigint := rapport.acting_person();
	mode_id smallint := rapport.match_mode(me, mode);
	pair rapport.pair;
	before text;
BEGIN
	IF other = me THEN
		PERFORM rapport.fail('self_target');
	END IF;
	PERFORM rapport.lock_two_people(me, other);
	-- From here on a statement sees whatever the lock waited for.
	IF other IS NULL OR NOT rapport.fits(me, other, mode_id) THEN
		PERFORM rapport.fail('not_found');
	END IF;
	SELECT p.* INTO pair
	FROM rapport.pair AS p
	WHERE p.lo = least(me, other)
	AND p.hi = greatest(me, other)
	AND p.mode = mode_id;
	IF pair.ended_at IS NOT NULL THEN
		PERFORM rapport.fail('not_found');
	END IF;
	before := CASE WHEN me < other THEN pair.lo_action ELSE pair.hi_action END;
	IF before IS NULL OR (before = 'like' AND action = 'super_like' AND pair.matched_at IS NULL) THEN
		INSERT INTO rapport.pair AS p (lo, hi, mode, lo_action, hi_action)
		VALUES (least(me, other), greatest(me, other), mode_id,
				CASE WHEN me < other THEN action END, CASE WHEN me > other THEN action END)
		ON CONFLICT ON CONSTRAINT pair_pkey DO UPDATE
		SET lo_action = coalesce(excluded.lo_action, p.lo_action),
			hi_action = coalesce(excluded.hi_action, p.hi_action)
		RETURNING p.* INTO pair;
		PERFORM rapport.remember_swipe(me, other, mode_id, action);
		INSERT INTO rapport.like_received AS l (person_id, other_id, mode, at, super)
		VALUES (other, me, mode_id, rapport.now(), action = 'super_like')
		ON CONFLICT ON CONSTRAINT like_received_pkey DO UPDATE
		SET super = excluded.super
		WHERE NOT l.super;
		IF before IS NOT NULL THEN
			PERFORM rapport.run_hooks('likes_changed', ARRAY[other, mode_id]);
		END IF;
	END IF;
	PERFORM rapport.mark_active(ARRAY[me]);
	matched := pair.lo_action IS NOT NULL AND pair.hi_action IS NOT NULL;
	IF matched AND pair.matched_at IS NULL THEN
		UPDATE rapport.pair AS p
		SET matched_at = rapport.now()
		WHERE p.lo = pair.lo AND p.hi = pair.hi AND p.mode = pair.mode;
		PERFORM rapport.run_hooks('matched', ARRAY[pair.lo, pair.hi, pair.mode]);
		PERFORM rapport.event_emit('p:' || pair.lo, 'match', pg_catalog.jsonb_build_object('person_id', pair.hi, 'mode', m.code)),
				rapport.event_emit('p:' || pair.hi, 'match', pg_catalog.jsonb_build_object('person_id', pair.lo, 'mode', m.code))
		FROM rapport.mode AS m
		WHERE m.mode = mode_id;
	END IF;
	IF matched THEN
		SELECT p.conversation_id INTO conversation_id
		FROM rapport.pair AS p
		WHERE p.lo = pair.lo AND p.hi = pair.hi AND p.mode = pair.mode;
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.like_with(bigint, text, text) IS 'like() and super_like(), which action names.';

CREATE OR REPLACE FUNCTION rapport."like"(person_id bigint, mode text DEFAULT NULL, OUT matched boolean, OUT conversation_id bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	SELECT l.* INTO matched, conversation_id FROM rapport.like_with("like".person_id, "like".mode, 'like') AS l;
END;
$$;
COMMENT ON FUNCTION rapport."like"(bigint, text) IS
'Likes a person in a mode (NULL: the first I take part in). matched tells whether it is mutual, conversation_id where to talk then. Again is the same as once. Errors: self_target, not_found (also where a two-way filter of either side, a block or an ended match stands between), quota_exhausted, profile_incomplete, mode_not_enabled, unknown_mode.';
GRANT EXECUTE ON FUNCTION rapport."like"(bigint, text) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.super_like(person_id bigint, mode text DEFAULT NULL, OUT matched boolean, OUT conversation_id bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	SELECT l.* INTO matched, conversation_id FROM rapport.like_with(super_like.person_id, super_like.mode, 'super_like') AS l;
END;
$$;
COMMENT ON FUNCTION rapport.super_like(bigint, text) IS
'like() that the other sees to be a special one; of those there are few a day. A like of mine becomes one. Errors: as like().';
GRANT EXECUTE ON FUNCTION rapport.super_like(bigint, text) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.pass_with(person_id bigint, mode text, action text) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	me bigint := rapport.acting_person();
	mode_id smallint := rapport.match_mode(me, mode);
	pair rapport.pair;
BEGIN
	IF pass_with.person_id = me THEN
		PERFORM rapport.fail('self_target');
	END IF;
	PERFORM rapport.lock_two_people(me, pass_with.person_id);
	IF pass_with.person_id IS NULL OR NOT rapport.sees(me, pass_with.person_id, mode_id) THEN
		PERFORM rapport.fail('not_found');
	END IF;
	SELECT p.* INTO pair
	FROM rapport.pair AS p
	WHERE p.lo = least(me, pass_with.person_id)
	AND p.hi = greatest(me, pass_with.person_id)
	AND p.mode = mode_id;
	IF pair.matched_at IS NOT NULL THEN
		PERFORM rapport.fail('already_matched');
	END IF;
	PERFORM rapport.take_back_like(me, pass_with.person_id, mode_id);
	PERFORM rapport.remember_swipe(me, pass_with.person_id, mode_id, action);
	IF (CASE WHEN me < pass_with.person_id THEN pair.hi_action ELSE pair.lo_action END) IS NOT NULL THEN
		PERFORM rapport.run_hooks('likes_changed', ARRAY[me, mode_id]);
	END IF;
	PERFORM rapport.mark_active(ARRAY[me]);
END;
$$;
COMMENT ON FUNCTION rapport.pass_with(bigint, text, text) IS 'pass() and maybe(), which action names.';

CREATE OR REPLACE FUNCTION rapport.pass(person_id bigint, mode text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	PERFORM rapport.pass_with(pass.person_id, pass.mode, 'pass');
END;
$$;
COMMENT ON FUNCTION rapport.pass(bigint, text) IS
'Passes a person in a mode (NULL: the first I take part in): they are not shown again, for the setting pass_days or for good, and a like of mine is taken back. Errors: self_target, not_found (as in person(), in this mode), already_matched, mode_not_enabled, profile_incomplete, unknown_mode.';
GRANT EXECUTE ON FUNCTION rapport.pass(bigint, text) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.maybe(person_id bigint, mode text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	PERFORM rapport.pass_with(maybe.person_id, maybe.mode, 'maybe');
END;
$$;
COMMENT ON FUNCTION rapport.maybe(bigint, text) IS
'Puts a person off: pass(), but they are shown again after the setting maybe_days. Errors: as pass().';
GRANT EXECUTE ON FUNCTION rapport.maybe(bigint, text) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.last_swipe(person_id bigint, mode smallint) RETURNS rapport.swipe
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	last rapport.swipe;
BEGIN
	SELECT w.* INTO last
	FROM rapport.swipe AS w
	WHERE w.person_id = last_swipe.person_id
	AND w.mode = last_swipe.mode
	ORDER BY w.at DESC
	LIMIT 1;
	RETURN last;
END;
$$;
COMMENT ON FUNCTION rapport.last_swipe(bigint, smallint) IS 'The latest swipe of a person in a mode that is not folded yet.';

CREATE OR REPLACE FUNCTION rapport.rewind(mode text DEFAULT NULL, OUT person_id bigint, OUT action text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	mode_id smallint := rapport.match_mode(me, mode);
	last rapport.swipe := rapport.last_swipe(me, mode_id);
	again rapport.swipe;
	pair rapport.pair;
BEGIN
	IF last.action IN ('like', 'super_like') THEN
		PERFORM rapport.lock_two_people(me, last.other_id);
	END IF;
	PERFORM FROM rapport.swiper AS s WHERE s.person_id = me AND s.mode = mode_id FOR UPDATE;
	again := rapport.last_swipe(me, mode_id);
	IF again.at IS NULL THEN
		PERFORM rapport.fail('nothing_to_rewind');
	END IF;
	IF again IS DISTINCT FROM last THEN
		-- Another swipe came first, and may need a lock that comes before the one we have.
		RAISE 'somebody swiped meanwhile' USING ERRCODE = 'serialization_failure';
	END IF;
	IF last.action IN ('like', 'super_like') THEN
		SELECT p.* INTO pair
		FROM rapport.pair AS p
		WHERE p.lo = least(me, last.other_id)
		AND p.hi = greatest(me, last.other_id)
		AND p.mode = mode_id;
		IF pair.matched_at IS NOT NULL THEN
			PERFORM rapport.fail('already_matched');
		END IF;
		IF pair.ended_at IS NOT NULL THEN
			PERFORM rapport.fail('nothing_to_rewind');
		END IF;
		PERFORM rapport.take_back_like(me, last.other_id, mode_id);
	END IF;
	DELETE FROM rapport.swipe AS w
	WHERE w.person_id = me
	AND w.mode = mode_id
	AND w.other_id = last.other_id;
	-- Who likes me is shown again.
	IF EXISTS (SELECT FROM rapport.like_received AS l
			   WHERE l.person_id = me
			   AND l.mode = mode_id
			   AND l.other_id = last.other_id) THEN
		PERFORM rapport.run_hooks('likes_changed', ARRAY[me, mode_id]);
	END IF;
	person_id := last.other_id;
	action := last.action;
END;
$$;
COMMENT ON FUNCTION rapport.rewind(text) IS
'Takes back my last swipe in a mode (NULL: the first I take part in), as if it had not been made: they may be shown again, and a like of mine is gone. person_id and action tell which it was. Again takes back the one before, down to the 16th or further. What was spent of a quota stays spent. Errors: nothing_to_rewind, already_matched (the like has made a match), profile_incomplete, mode_not_enabled, unknown_mode.';
GRANT EXECUTE ON FUNCTION rapport.rewind(text) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.quotas(mode text DEFAULT NULL)
RETURNS TABLE (action text, per_day integer, remaining integer, resets_at timestamp with time zone)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	mode_id smallint := rapport.match_mode(me, mode);
BEGIN
	RETURN QUERY
	SELECT q.action, q.most, q.most - least(coalesce(q.used, 0), q.most), (rapport.today() + 1)::timestamp AT TIME ZONE 'UTC'
	FROM (SELECT s.likes, s.super_likes
		  FROM (VALUES (me)) AS mine (person_id)
		  LEFT JOIN rapport.swiper AS s ON s.person_id = mine.person_id AND s.mode = mode_id AND s.day = rapport.today()) AS s
	CROSS JOIN LATERAL (VALUES ('like', nullif(rapport.setting_int('likes_per_day'), 0), s.likes),
							   ('super_like', nullif(rapport.setting_int('super_likes_per_day'), 0), s.super_likes)) AS q (action, most, used);
END;
$$;
COMMENT ON FUNCTION rapport.quotas(text) IS
'What I may give a day in a mode (NULL: the first I take part in), how many remain, and when that begins anew; per_day and remaining are NULL where there is no limit. Errors: profile_incomplete, mode_not_enabled, unknown_mode.';
GRANT EXECUTE ON FUNCTION rapport.quotas(text) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.matches(mode text DEFAULT NULL, page_size integer DEFAULT NULL, after text DEFAULT NULL)
RETURNS TABLE (person_id bigint, display_name text, age integer, matched_at timestamp with time zone,
			   conversation_id bigint, in_mode text, cursor text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	size integer := rapport.match_page_size(page_size);
	mode_id smallint;
	scope text := 'matches ' || me;
	place text[];
	after_at timestamp with time zone := 'infinity';
	after_id bigint := 0;
	after_mode smallint := 0;
BEGIN
	IF mode IS NOT NULL THEN
		SELECT m.mode INTO mode_id FROM rapport.mode AS m WHERE m.code = matches.mode;
		IF NOT FOUND THEN
			PERFORM rapport.fail('unknown_mode', format('%L is not a mode.', mode));
		END IF;
	END IF;
	IF after IS NOT NULL THEN
		place := string_to_array(rapport.unseal(scope, after), ' ');
		IF place IS NULL THEN
			PERFORM rapport.fail('invalid_cursor');
		END IF;
		after_at := timestamptz 'epoch' + place[1]::bigint * interval '1 microsecond';
		after_id := place[2];
		after_mode := place[3];
	END IF;
	RETURN QUERY
	SELECT x.other_id, p.display_name, rapport.person_age(p.birth_date, rapport.today()), x.matched_at,
		   x.conversation_id, m.code,
		   rapport.seal(scope, concat_ws(' ', (extract(epoch FROM x.matched_at) * 1000000)::bigint, x.other_id, x.mode))
	FROM (
		(SELECT y.hi AS other_id, y.mode, y.matched_at, y.conversation_id
		 FROM rapport.pair AS y
		 WHERE y.lo = me
		 AND y.matched_at IS NOT NULL
		 AND (y.mode = mode_id OR mode_id IS NULL)
		 AND y.matched_at <= after_at
		 AND (y.matched_at, y.hi, y.mode) < (after_at, after_id, after_mode)
		 AND NOT EXISTS (SELECT FROM rapport.block AS b WHERE b.person_id = me AND b.other_id = y.hi)
		 AND NOT EXISTS (SELECT FROM rapport.blocked_by AS b WHERE b.person_id = me AND b.other_id = y.hi)
		 ORDER BY y.matched_at DESC, y.hi DESC, y.mode DESC
		 LIMIT size)
		UNION ALL
		(SELECT y.lo, y.mode, y.matched_at, y.conversation_id
		 FROM rapport.pair AS y
		 WHERE y.hi = me
		 AND y.matched_at IS NOT NULL
		 AND (y.mode = mode_id OR mode_id IS NULL)
		 AND y.matched_at <= after_at
		 AND (y.matched_at, y.lo, y.mode) < (after_at, after_id, after_mode)
		 AND NOT EXISTS (SELECT FROM rapport.block AS b WHERE b.person_id = me AND b.other_id = y.lo)
		 AND NOT EXISTS (SELECT FROM rapport.blocked_by AS b WHERE b.person_id = me AND b.other_id = y.lo)
		 ORDER BY y.matched_at DESC, y.lo DESC, y.mode DESC
		 LIMIT size)) AS x
	JOIN rapport.profile AS p ON p.person_id = x.other_id
	JOIN rapport.mode AS m ON m.mode = x.mode
	ORDER BY x.matched_at DESC, x.other_id DESC, x.mode DESC
	LIMIT size;
END;
$$;
COMMENT ON FUNCTION rapport.matches(text, integer, text) IS
'My matches, newest first, in one mode or in all (NULL), without anyone blocked either way; in_mode is the mode of each. page_size is 1 to 100 (20); after is the cursor of the last row of the page before. Errors: unknown_mode, out_of_range, invalid_cursor.';
GRANT EXECUTE ON FUNCTION rapport.matches(text, integer, text) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.unmatch(person_id bigint, mode text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	mode_id smallint;
	ended rapport.pair;
	any_ended boolean := false;
BEGIN
	IF unmatch.person_id = me THEN
		PERFORM rapport.fail('self_target');
	END IF;
	IF mode IS NOT NULL THEN
		SELECT m.mode INTO mode_id FROM rapport.mode AS m WHERE m.code = unmatch.mode;
		IF NOT FOUND THEN
			PERFORM rapport.fail('unknown_mode', format('%L is not a mode.', mode));
		END IF;
	END IF;
	PERFORM rapport.lock_two_people(me, unmatch.person_id);
	IF NOT rapport.is_blocked(me, unmatch.person_id) THEN
		FOR ended IN
			UPDATE rapport.pair AS p
			SET matched_at = NULL,
				ended_at = rapport.now()
			WHERE p.lo = least(me, unmatch.person_id)
			AND p.hi = greatest(me, unmatch.person_id)
			AND (p.mode = mode_id OR mode_id IS NULL)
			AND p.matched_at IS NOT NULL
			RETURNING p.*
		LOOP
			any_ended := true;
			PERFORM rapport.run_hooks('unmatched', ARRAY[ended.lo, ended.hi, ended.mode]);
		END LOOP;
	END IF;
	IF NOT any_ended THEN
		PERFORM rapport.fail('not_found');
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.unmatch(bigint, text) IS
'Ends my match with a person in one mode or in all (NULL), for good: neither is shown to the other again. Errors: self_target, not_found, unknown_mode.';
GRANT EXECUTE ON FUNCTION rapport.unmatch(bigint, text) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.likes_received(mode text DEFAULT NULL, page_size integer DEFAULT NULL, after text DEFAULT NULL)
RETURNS TABLE (person_id bigint, display_name text, age integer, distance_km integer, super_like boolean,
			   liked_at timestamp with time zone, cursor text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	size integer := rapport.match_page_size(page_size);
	mode_id smallint := rapport.match_mode(me, mode);
	my_key rapport.match_key := rapport.match_side(me, mode_id, 1);
	query rapport.match_query := rapport.match_query_see(
		rapport.match_query_for(me, mode_id, my_key, rapport.today(), '{}', weights => '{}'), me, mode_id);
	scope text := format('likes_received %s %s', me, mode_id);
	last record := rapport.place_after(scope, after);
BEGIN
	RETURN QUERY
	SELECT l.other_id, p.display_name, rapport.person_age(p.birth_date, rapport.today()),
		   rapport.distance_bucket(rapport.match_distance_m(my_key, c.key)), l.super, l.at,
		   rapport.seal(scope, concat_ws(' ', (extract(epoch FROM l.at) * 1000000)::bigint, l.other_id))
	FROM rapport.like_received AS l
	JOIN rapport.candidate AS c ON c.person_id = l.other_id AND c.mode = l.mode
	JOIN rapport.profile AS p ON p.person_id = l.other_id
	WHERE l.person_id = me
	AND l.mode = mode_id
	AND (l.at, l.other_id) < (last.at, last.id)
	AND rapport.match_accepts(c.key, query)
	ORDER BY l.at DESC, l.other_id DESC
	LIMIT size;
END;
$$;
COMMENT ON FUNCTION rapport.likes_received(text, integer, text) IS
'Who likes me in a mode (NULL: the first I take part in) and waits for an answer, newest first: not those I swiped on, nor anyone blocked, gone or beyond a two-way filter of either side. page_size is 1 to 100 (20); after is the cursor of the last row of the page before. Errors: profile_incomplete, mode_not_enabled, unknown_mode, out_of_range, invalid_cursor.';
GRANT EXECUTE ON FUNCTION rapport.likes_received(text, integer, text) TO rapport_user;

CREATE OR REPLACE FUNCTION rapport.pair_set_conversation(lo bigint, hi bigint, mode smallint, conversation_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	UPDATE rapport.pair AS p
	SET conversation_id = pair_set_conversation.conversation_id
	WHERE p.lo = pair_set_conversation.lo
	AND p.hi = pair_set_conversation.hi
	AND p.mode = pair_set_conversation.mode;
END;
$$;
COMMENT ON FUNCTION rapport.pair_set_conversation(bigint, bigint, smallint, bigint) IS
'Notes where a matched pair talks; for the hook of the event matched.';
