/*
 * What the planner knows of keys: ANALYZE keeps some of them, and the estimate
 * for a query asks each whether it fits.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_statistic.h"
#include "commands/vacuum.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "utils/lsyscache.h"
#include "utils/selfuncs.h"

#include "core/compat.h"
#include "match/score.h"
#include "match/value.h"

PG_FUNCTION_INFO_V1(match_typanalyze);
PG_FUNCTION_INFO_V1(match_restriction);

/* Rows read for each key kept, as for a histogram of the built-in types. */
#define ROWS_A_KEY 300

/* A copy that tells of nobody: with an id that no viewer has. */
static Datum
without_id(const MatchKey *key)
{
	MatchKey   *copy = palloc(match_size(key));

	memcpy(copy, key, match_size(key));
	copy->id = PG_INT64_MIN + 1;
	return PointerGetDatum(copy);
}

/*
 * Keeps up to the statistics target of keys: one from each of as many even parts
 * of the sample, at a place in it that depends on the part, or every hundredth
 * row would tell of those alone that stand in such rows. They have no order, so
 * nothing else reads them as the histogram that they are stored as.
 */
static void
compute_stats(VacAttrStatsP stats, AnalyzeAttrFetchFunc fetch, int rows, double total)
{
	int			parts = Min(core_stat_target(stats), rows);
	int			nulls = 0;
	int			kept = 0;
	double		width = 0;
	MemoryContext old;
	Datum	   *values;

	if (parts == 0)
		return;
	old = MemoryContextSwitchTo(stats->anl_context);
	values = palloc(parts * sizeof(Datum));
	for (int part = 0; part < parts; part++)
	{
		int			first = (int64) part * rows / parts;
		int			size = (int64) (part + 1) * rows / parts - first;
		bool		null;
		Datum		value = fetch(stats, first + murmurhash32(part) % size, &null);

		core_analyze_delay();
		if (null)
		{
			nulls++;
			continue;
		}
		values[kept++] = without_id(DatumGetMatchKey(value));
		width += match_size(DatumGetMatchKey(value));
	}
	MemoryContextSwitchTo(old);

	stats->stats_valid = true;
	stats->stanullfrac = (float4) nulls / parts;
	stats->stawidth = kept > 0 ? width / kept : 0;
	stats->stadistinct = -1;
	if (kept == 0)
		return;
	stats->stakind[0] = STATISTIC_KIND_HISTOGRAM;
	stats->stavalues[0] = values;
	stats->numvalues[0] = kept;
}

Datum
match_typanalyze(PG_FUNCTION_ARGS)
{
	VacAttrStats *stats = (VacAttrStats *) PG_GETARG_POINTER(0);

	if (core_stat_target(stats) < 0)
		core_stat_target(stats) = default_statistics_target;
	stats->compute_stats = compute_stats;
	stats->minrows = ROWS_A_KEY * core_stat_target(stats);
	PG_RETURN_BOOL(true);
}

/*
 * The share of a column that a query known when planning accepts, by the rule
 * of succession: of n keys kept that all refuse, one in n + 2 may accept. Too
 * many is the safer side: a scan in the order of the index stops when it has
 * enough, whatever comes instead goes through them all.
 */
static double
share_accepted(VariableStatData *column, const MatchQuery *query)
{
	AttStatsSlot slot;
	int			accepted = 0;
	double		share = DEFAULT_MATCHING_SEL;

	if (!HeapTupleIsValid(column->statsTuple) ||
		!get_attstatsslot(&slot, column->statsTuple, STATISTIC_KIND_HISTOGRAM, InvalidOid, ATTSTATSSLOT_VALUES))
		return share;
	for (int i = 0; i < slot.nvalues; i++)
		accepted += match_leaf_accepts(DatumGetMatchKey(slot.values[i]), query);
	share = (accepted + 1.0) / (slot.nvalues + 2.0) *
		(1 - ((Form_pg_statistic) GETSTRUCT(column->statsTuple))->stanullfrac);
	free_attstatsslot(&slot);
	return share;
}

Datum
match_restriction(PG_FUNCTION_ARGS)
{
	PlannerInfo *root = (PlannerInfo *) PG_GETARG_POINTER(0);
	List	   *args = (List *) PG_GETARG_POINTER(2);
	VariableStatData column;
	Node	   *other;
	bool		on_left;
	double		share = DEFAULT_MATCHING_SEL;

	if (!get_restriction_variable(root, args, PG_GETARG_INT32(3), &column, &other, &on_left))
		PG_RETURN_FLOAT8(share);
	if (on_left && IsA(other, Const))
		share = ((Const *) other)->constisnull ? 0 : share_accepted(&column, DatumGetMatchQuery(((Const *) other)->constvalue));
	ReleaseVariableStats(column);
	CLAMP_PROBABILITY(share);
	PG_RETURN_FLOAT8(share);
}
