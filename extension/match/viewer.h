/* People as the tables hold them, and the questions that they ask. */
#ifndef MATCH_VIEWER_H
#define MATCH_VIEWER_H

#include "fmgr.h"
#include "utils/date.h"
#include "utils/jsonb.h"

#include "match/key.h"

/* Where a page of discover() begins. */
typedef struct MatchDeck
{
	const MatchQuery *query;	/* beyond the cursor, without whom the person is not to see */
	DateADT		day;			/* on which the deck began */
	text	   *scope;			/* of its cursors */
	Datum		tags;			/* text[]: the person's */
	Datum		bucket_km;		/* integer[]: the setting distance_buckets */
} MatchDeck;

/*
 * Reads it, between SPI_connect and SPI_finish: for a mode (0: the first the
 * person takes part in), by a scoring profile (0: that of the mode), for
 * match_filters() and an order (NULL: none and "best"), after a cursor (NULL:
 * from the start). caller keeps what seals cursors. Errors: profile_incomplete,
 * unknown_scoring, invalid_cursor.
 */
extern void match_begin_deck(MatchDeck *deck, FmgrInfo *caller, Datum person, Datum mode, Datum scoring,
							 Jsonb *filters, const char *order, const text *cursor);

#endif
