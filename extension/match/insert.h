/* The insertion of match_gist, for scan.c, which makes the access method. */
#ifndef MATCH_INSERT_H
#define MATCH_INSERT_H

#include "access/genam.h"
#include "utils/relcache.h"

struct IndexInfo;

extern bool match_insert(Relation index, Datum *values, bool *nulls, ItemPointer row, Relation table,
						 IndexUniqueCheck unique, bool unchanged, struct IndexInfo *info);

#endif
