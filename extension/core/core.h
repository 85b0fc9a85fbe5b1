/*
 * The core topic: errors, clock, ids, secrets, hooks and events for the C code
 * of every other topic.
 */
#ifndef CORE_H
#define CORE_H

#include "core/compat.h"
#include "datatype/timestamp.h"
#include "utils/date.h"

#define CORE_SECRET_SIZE 32
#define CORE_MAC_SIZE 32

/* Defines the settings of this topic; called once when the module is loaded. */
extern void core_init(void);

/* The part of core_init() that guards the extension against being dropped. */
extern void core_guard_init(void);

/*
 * Raises the error registered in rapport.error_code; detail is a printf format
 * or NULL. Never returns.
 */
pg_noreturn extern void core_fail(const char *code, const char *detail,...)
			pg_attribute_printf(2, 3);

/*
 * Between the two the current user is rapport_owner, for reading and writing
 * the tables from a function with its caller's rights. Queries in between
 * qualify every name. An error restores the user by itself.
 */
typedef struct CoreUser
{
	Oid			user;
	int			context;
	int			settings;		/* the nest level of core_enter() */
} CoreUser;

extern void core_become_owner(CoreUser *saved);
extern void core_restore_user(const CoreUser *saved);

/*
 * The same with our search_path, as in a SECURITY DEFINER function: for what runs
 * queries that need not qualify every name, or functions of others.
 */
extern void core_enter(CoreUser *saved);
extern void core_leave(const CoreUser *saved);

/*
 * Prepares a query at its first use and keeps its plan, a generic one, for the
 * life of the backend; *plan is static and starts as NULL. Between SPI_connect
 * and SPI_finish.
 */
struct _SPI_plan;
extern void core_keep_plan(struct _SPI_plan **plan, const char *query,
						   int nargs, const Oid *types);

/*
 * Reads the rows of a table of ours, by the first n columns of its primary key,
 * in its order. The key's functions test equality: F_INT8EQ and its like; the
 * last may ask for that value or more, F_INT8GE. The slot that core_scan_next()
 * returns, NULL after the last row, is valid until the next call. core_scan_seek()
 * begins anew with other keys, as many as before. core_scan_open() takes a table
 * that is open, and core_scan_close() leaves it so. No rights are needed.
 */
typedef struct CoreKey
{
	Oid			equal;
	Datum		value;
	bool		or_more;
} CoreKey;

typedef struct CoreScan
{
	struct RelationData *table;
	struct RelationData *index;
	struct SnapshotData *snapshot;
	struct TupleTableSlot *slot;
	struct IndexScanDescData *scan;
} CoreScan;

extern void core_scan_begin(CoreScan *scan, const char *table, struct SnapshotData *snapshot,
							int n, const CoreKey *keys);
extern void core_scan_open(CoreScan *scan, struct RelationData *table, struct SnapshotData *snapshot,
						   int n, const CoreKey *keys);
extern void core_scan_close(CoreScan *scan);
extern void core_scan_seek(CoreScan *scan, int n, const CoreKey *keys);
extern struct TupleTableSlot *core_scan_next(CoreScan *scan);
extern void core_scan_end(CoreScan *scan);

/*
 * Opens a table of ours for writing rows with the functions below, until the
 * transaction ends; NULL where it is not as its script made it, with that many
 * columns, and a statement must do it: a trigger, a rule, a policy, a check or
 * a column has been added. table_close(table, NoLock) when done.
 */
extern struct RelationData *core_open_plain(const char *name, int columns);

/*
 * Inserts a row; the next command sees it. There are no defaults. The second does
 * so in one descent of the index, and only where the primary key is new: false
 * says that it is not, or may not be, and that nothing was inserted.
 */
extern void core_insert(struct RelationData *table, const Datum *values, const bool *nulls);
extern bool core_insert_if_new(struct RelationData *table, const Datum *values, const bool *nulls);

/*
 * Updates the row with the primary key, as UPDATE does; whether there was one.
 * change() is given a version of it to change, the key excepted, and may decline
 * by returning false; it is called once more with the last version where another
 * transaction came between.
 */
typedef bool (*CoreChange) (Datum *values, bool *nulls, void *state);

extern bool core_update(struct RelationData *table, struct SnapshotData *snapshot,
						int n, const CoreKey *keys, CoreChange change, void *state);

/* The same for the row that core_scan_next() has just returned for these keys. */
extern bool core_update_row(CoreScan *scan, int n, const CoreKey *keys, CoreChange change, void *state);

/*
 * What backends keep in memory: the table of ours with that name, and what read()
 * makes of a name, a copy of it in the current memory context, as the active
 * snapshot sees it. It reads tables whose writers call forget_kept(); NULL is not
 * kept.
 */
typedef struct varlena *(*CoreRead) (const char *name, struct SnapshotData *snapshot);

extern Oid	core_table(const char *name);
extern struct varlena *core_kept(CoreRead read, const char *name);

/* The time and the UTC date that all rules go by. */
extern TimestampTz core_now(void);
extern DateADT core_today(void);

/*
 * The value of a setting, or its default, in the current memory context; NULL
 * when there is no such setting.
 */
extern char *core_setting(const char *name);

/* A new id between 1 and 2^52. */
extern int64 core_new_id(void);

/*
 * The database secret of that name, CORE_SECRET_SIZE bytes, in memory that
 * lives as long as the backend.
 */
extern const uint8 *core_secret(const char *name);

/* HMAC-SHA-256 of size bytes into mac (CORE_MAC_SIZE bytes). */
extern void core_hmac(const uint8 *key, size_t key_size,
					  const void *message, size_t size, uint8 *mac);

/* Whether two byte strings are equal, in time that depends on size only. */
extern bool core_equal(const void *a, const void *b, size_t size);

/* Runs the hooks of the event with n ids. */
extern void core_run_hooks(const char *event, int n, const int64 *ids);

/* rapport.event_emit(): payload is JSON text. */
extern void core_emit(const char *address, const char *kind, const char *payload);

#endif
