/*
 * Differences between the supported PostgreSQL versions. No other file tests
 * PG_VERSION_NUM.
 */
#ifndef CORE_COMPAT_H
#define CORE_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "rapport needs PostgreSQL 15 or later"
#endif

/* PG16 moved VARDATA(), VARSIZE() and their like out of postgres.h. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* PG18 marks what never returns in front. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* PG17 added a flush argument to LogLogicalMessage(). */
#if PG_VERSION_NUM >= 170000
#define core_log_message(prefix, message, size) \
	LogLogicalMessage(prefix, message, size, true, false)
#else
#define core_log_message(prefix, message, size) \
	LogLogicalMessage(prefix, message, size, true)
#endif

/* PG18 counts what an index scan does. */
#if PG_VERSION_NUM >= 180000
#define core_index_beginscan(table, index, snapshot, keys, orders) \
	index_beginscan(table, index, snapshot, NULL, keys, orders)
#define core_count_index_scan(desc) \
	do { \
		pgstat_count_index_scan((desc)->indexRelation); \
		if ((desc)->instrument != NULL) \
			(desc)->instrument->nsearches++; \
	} while (0)
#else
#define core_count_index_scan(desc) pgstat_count_index_scan((desc)->indexRelation)
#define core_index_beginscan(table, index, snapshot, keys, orders) \
	index_beginscan(table, index, snapshot, keys, orders)
#endif

/* PG16 tells which indexes an update must be entered in, and can leave out others. */
#if PG_VERSION_NUM >= 160000
#define CoreUpdateIndexes TU_UpdateIndexes
#define CORE_UPDATE_NO_INDEXES TU_None
#define core_insert_index_tuples(target, slot, estate, which) \
	ExecInsertIndexTuples(target, slot, estate, true, false, NULL, NIL, (which) == TU_Summarizing)
#else
#define CoreUpdateIndexes bool
#define CORE_UPDATE_NO_INDEXES false
#define core_insert_index_tuples(target, slot, estate, which) \
	ExecInsertIndexTuples(target, slot, estate, true, false, NULL, NIL)
#endif

/* PG17 dropped old_snapshot_threshold. */
#if PG_VERSION_NUM >= 170000
#define core_test_old_snapshot(snapshot, relation, page)
#else
#define core_test_old_snapshot(snapshot, relation, page) TestForOldSnapshot(snapshot, relation, page)
#endif

/* PG16 asks for the table of an index whose page it may reuse. */
#if PG_VERSION_NUM >= 160000
#define core_gist_new_buffer(index, table) gistNewBuffer(index, table)
#else
#define core_gist_new_buffer(index, table) gistNewBuffer(index)
#endif

/* PG16 frees the extra data of settings with guc_free(). */
#if PG_VERSION_NUM >= 160000
#define core_guc_malloc(size) guc_malloc(LOG, size)
#else
#define core_guc_malloc(size) malloc(size)
#endif

/* PG17 moved the statistics target out of pg_attribute's copy. */
#if PG_VERSION_NUM >= 170000
#define core_stat_target(stats) ((stats)->attstattarget)
#else
#define core_stat_target(stats) ((stats)->attr->attstattarget)
#endif

/* PG18 tells vacuum_delay_point() whether it is ANALYZE that waits. */
#if PG_VERSION_NUM >= 180000
#define core_analyze_delay() vacuum_delay_point(true)
#else
#define core_analyze_delay() vacuum_delay_point()
#endif

/* How pages in the log are compressed where that is to cost next to nothing. */
#ifdef USE_LZ4
#define CORE_QUICK_COMPRESSION WAL_COMPRESSION_LZ4
#else
#define CORE_QUICK_COMPRESSION WAL_COMPRESSION_NONE
#endif

#endif
