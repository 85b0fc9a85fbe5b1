/*
 * The seen set as it is stored and searched: exact, some five bytes a person.
 * Free of PostgreSQL headers.
 *
 * An id is mixed, invertibly, into 53 bits: the first six are its bucket, the
 * others its place in it, its rest. A bucket is
 *
 *	its number	1 byte
 *	p			1 byte: the parts it is cut into are 2^p
 *	d			1 byte: the bits of a day
 *	first		2 bytes: the day of code 1
 *	starts		2 bytes for each part but the first: the entries before it
 *	entries		in ascending order, each in as few bytes as hold its bits: the rest
 *				without its first p, then the code of its day, 0 for never
 *
 * with numbers in little-endian order, and p such that it is smallest. A
 * section of a query is the buckets one after another, behind a table of them.
 */
#ifndef MATCH_PACKED_H
#define MATCH_PACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MATCH_SEEN_BUCKETS 64
#define MATCH_SEEN_BUCKET_MAX UINT16_MAX	/* entries */
#define MATCH_ID_MAX ((INT64_C(1) << 53) - 1)

/*
 * An entry apart from its bucket: the rest in the high 48 bits, in the low 16
 * the day from which the person may be shown again, as 1 + days since
 * 2000-01-01; 0 for never. So their order is that of the rests.
 */
typedef uint64_t MatchSeen;

#define MATCH_SEEN(rest, until) ((MatchSeen) (rest) << 16 | (until))
#define MATCH_SEEN_REST(seen) ((seen) >> 16)
#define MATCH_SEEN_UNTIL(seen) ((uint16_t) (seen))

/* Where each bucket ends, counted from the end of the table. */
typedef struct MatchSection
{
	uint32_t	ends[MATCH_SEEN_BUCKETS];
	uint8_t		data[];
} MatchSection;

/* The bucket of an id from 0 to MATCH_ID_MAX, and its rest; and back. */
extern int	match_bucket(int64_t id, uint64_t *rest);
extern int64_t match_unmix(int bucket, uint64_t rest);

/*
 * Entries in ascending order, one for each rest, at most MATCH_SEEN_BUCKET_MAX, into
 * a bucket; returns its size, 0 if there are none. out has room for
 * match_pack_room(n) bytes.
 */
extern size_t match_pack_room(uint32_t n);
extern size_t match_pack(int bucket, const MatchSeen *entries, uint32_t n, uint8_t *out);

/*
 * NULL if these bytes are that bucket: then it may be read. In full also
 * whether its entries are in order. Otherwise what is wrong: a static text.
 */
extern const char *match_pack_check(int bucket, const uint8_t *data, size_t size, bool full);

/* How many entries a bucket has; they go to out in ascending order. */
extern uint32_t match_pack_count(const uint8_t *data, size_t size);
extern void match_unpack(const uint8_t *data, size_t size, MatchSeen *out);

/* Whether an id is in a section, and stays so after the day (days since 2000-01-01). */
extern bool match_section_has(const MatchSection *section, int64_t id, int32_t today);

#endif
