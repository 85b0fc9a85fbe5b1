/* The profile topic: what people say about themselves, what they accept, where they are. */
#ifndef PROFILE_H
#define PROFILE_H

#include "utils/array.h"
#include "utils/jsonb.h"

/* What profile_clean_text() found. */
typedef enum ProfileText
{
	PROFILE_TEXT_OK,
	PROFILE_TEXT_BLANK,			/* nothing visible in it */
	PROFILE_TEXT_CONTROL,		/* a control character */
	PROFILE_TEXT_MARKS,			/* too many combining marks in a row */
	PROFILE_TEXT_LONG			/* more characters than allowed */
} ProfileText;

/*
 * Brings UTF-8 text into the form that is stored: NFC, without white space at
 * either end and, where lines are allowed, with line feeds only. Control
 * characters are refused, characters are counted after normalisation. *clean
 * is a palloc'd text, set only with PROFILE_TEXT_OK.
 */
extern ProfileText profile_clean_text(const char *bytes, int size, int max_characters,
									  bool lines, text **clean);

/* The height of the smallest grid cells in metres, and how often cells double. */
#define PROFILE_GRID_MIN 100
#define PROFILE_GRID_MAX 100000
#define PROFILE_GRID_LEVELS 8

/*
 * The number of the grid cell of a position in degrees, 0 when there is no such
 * position; metres is the height of a cell and about its width. The cell current
 * (0: none) is kept while the position is no farther from it than margin, a
 * share of metres.
 */
extern int64 profile_grid_cell(double latitude, double longitude, int metres, double margin, int64 current);

/* attributes_shown(): the attributes of a profile by their codes, with the catalogue read before. */
typedef struct ProfileAttribute ProfileAttribute;
extern ProfileAttribute *profile_read_attributes(MemoryContext context);
extern Jsonb *profile_show_attributes(const ProfileAttribute *catalogue, ArrayType *traits, ArrayType *numbers);

#endif
