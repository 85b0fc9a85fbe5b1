/* The seen set in the database. */
#ifndef MATCH_SEEN_H
#define MATCH_SEEN_H

#include "match/key.h"

/* match_query_see(): the query, leaving out whom the person has seen in the mode or is not to see. */
extern MatchQuery *match_see(const MatchQuery *given, Datum person, Datum mode);

#endif
