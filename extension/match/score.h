/*
 * Who fits whom, and how well. Keys and queries are taken as valid; nothing
 * here fails or allocates.
 */
#ifndef MATCH_SCORE_H
#define MATCH_SCORE_H

#include "match/key.h"

typedef enum MatchSimd
{
	MATCH_SIMD_AUTO,
	MATCH_SIMD_SCALAR,
	MATCH_SIMD_SSE2,
	MATCH_SIMD_AVX2
} MatchSimd;

/* Every rule of both sides, and the parts of the score. */
typedef struct MatchReport
{
	bool		accepts;
	bool		mode;
	bool		other;			/* not the viewer himself */
	bool		active;
	bool		joined;			/* late enough */
	bool		tags;			/* those asked for are there, and enough are shared */
	bool		unseen;
	bool		beyond;			/* the cursor */
	/* [0]: the viewer accepts the candidate; [1]: the other way round. */
	bool		age[2];
	bool		distance[2];
	bool		number[2][MATCH_NUMBERS];
	uint32_t	lanes_failed[2];	/* by first lane */
	bool		liked;			/* the viewer */
	double		terms[MATCH_TERMS];
	double		score;			/* with what being liked adds */
	double		cost;
} MatchReport;

/* Whether this machine can; AUTO always can. */
extern bool match_simd_available(MatchSimd path);
extern void match_simd_use(MatchSimd path);

/* Sorts ids and leaves each once, at the front; returns how many. */
extern uint32_t match_sort_ids(int64_t *ids, uint32_t n);

/*
 * The second part of a query from the first and the viewer, and the tables of
 * the n ids of seen and the m of liked, each from match_sort_ids(). The query
 * has room for match_seen_slots() slots of each. The packed seen set, if
 * packed_size is given, is stored behind them by the caller.
 */
extern uint32_t match_seen_slots(uint32_t n);
extern void match_query_finish(MatchQuery *query, const int64_t *seen, uint32_t n,
							   const int64_t *liked, uint32_t m);

/* Completed years from one day to another; the birthday of 29 February is 1 March in other years. */
extern int32_t match_years_between(int32_t born, int32_t today);

/* Whether a person passes, but for having been seen; match_is_seen() tells that. */
extern bool match_leaf_fits(const MatchKey *key, const MatchQuery *query);
extern bool match_is_seen(const MatchQuery *query, int64_t id);
/* Both. */
extern bool match_leaf_accepts(const MatchKey *key, const MatchQuery *query);
extern double match_leaf_cost(const MatchKey *key, const MatchQuery *query);
/* 1 less the cost, without the tie and whatever the order. */
extern double match_leaf_score(const MatchKey *key, const MatchQuery *query);

/*
 * No key below bounds is accepted unless the first says true; none costs less
 * than the second says.
 */
extern bool match_bounds_accept(const MatchBounds *bounds, const MatchQuery *query);
extern double match_bounds_cost(const MatchBounds *bounds, const MatchQuery *query);

/* The terms of the score, MATCH_TERMS of them; 0 where the query gives none a share. */
extern void match_terms(const MatchKey *key, const MatchQuery *query, double *terms);

extern void match_report(const MatchKey *key, const MatchQuery *query, MatchReport *report);

/* What is left at over times the scale beyond the offset: at_scale where over is 1. */
extern double match_decay(MatchDecay kind, double over, double at_scale);

/* Conversions between kilometres along the surface and chords. */
extern uint32_t match_reach(double km);
extern double match_distance_km(const MatchKey *a, const MatchKey *b);
extern double match_reach_km(uint32_t reach);

/* Degrees of the place of a key that has one. */
extern double match_latitude(const MatchKey *key);
extern double match_longitude(const MatchKey *key);

#endif
