/*
 * The text form of keys and queries: name=value fields in a fixed order, headed
 * by the version. It holds every bit that was given, so it round-trips. Free of
 * PostgreSQL headers: the parser takes any bytes.
 */
#ifndef MATCH_TEXT_H
#define MATCH_TEXT_H

#include "match/key.h"

/* Enough for any key, and for any query but its ids (22 bytes each) and twice its packed_size. */
#define MATCH_KEY_TEXT_MAX 1024
#define MATCH_QUERY_TEXT_MAX 4096

/*
 * Writes the text and its 0 byte; returns its length. ids is room for the seen
 * ids of the query, or for those who liked if they are more.
 */
extern size_t match_key_format(const MatchKey *key, char *out);
extern size_t match_query_format(const MatchQuery *query, int64_t *ids, char *out);

/*
 * Both return NULL, or what is wrong: a static text. A query comes back without
 * its second part, but for packed_size; its n seen and then its m liked ids,
 * together at most as many as text has commas and two, are stored apart, for
 * match_query_finish(), and its packed seen set, in up to
 * MATCH_SECTION_ROOM(size) bytes.
 */
#define MATCH_SECTION_ROOM(size) (256 + (size) / 2 + 8)
struct MatchSection;
extern const char *match_key_parse(const char *text, size_t size, MatchKey *key);
extern const char *match_query_parse(const char *text, size_t size, MatchQuery *query,
									 int64_t *ids, uint32_t *n, uint32_t *m, struct MatchSection *section);

/* What the parser and the constructors demand; NULL, or what is wrong. */
extern const char *match_key_check(const MatchKey *key);
extern const char *match_query_check(const MatchQuery *query);

#endif
