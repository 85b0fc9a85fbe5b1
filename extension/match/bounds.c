/* What inner tuples of the index hold. Free of PostgreSQL headers. */
#include "match/bounds.h"

#include <string.h>

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

static void
bounds_of_leaf(const MatchKey *key, MatchBounds *bounds)
{
	memset(bounds, 0, sizeof(*bounds));
	match_set_size(bounds, sizeof(*bounds));
	bounds->head = MATCH_BOUNDS;
	bounds->mode_min = bounds->mode_max = key->mode;
	bounds->tags_max = match_tag_number(key->tags);
	memcpy(bounds->low, key->at, sizeof(bounds->low));
	memcpy(bounds->high, key->at, sizeof(bounds->high));
	bounds->reach = key->reach;
	bounds->born_min = key->born;
	bounds->born_max = key->born == MATCH_BORN_UNSET ? 0 : key->born;
	bounds->active = key->active;
	bounds->age_min = key->age_min;
	bounds->age_max = key->age_max;
	bounds->desirability = key->desirability;
	bounds->selectivity = key->selectivity;
	bounds->price = key->price;
	bounds->quality = key->quality;
	for (int i = 0; i < MATCH_NUMBERS; i++)
	{
		bool		unset = key->numbers[i] == MATCH_NUMBER_UNSET;

		bounds->number_min[i] = unset ? INT16_MAX : key->numbers[i];
		bounds->number_max[i] = unset ? INT16_MIN : key->numbers[i];
	}
	bounds->joined = key->joined;
	memcpy(bounds->tags, key->tags, sizeof(bounds->tags));
	memcpy(bounds->traits, key->traits, sizeof(bounds->traits));
	memcpy(bounds->wants, key->wants, sizeof(bounds->wants));
}

void
match_bounds_of(const void *value, MatchBounds *bounds)
{
	if (match_is_leaf(value))
		bounds_of_leaf(value, bounds);
	else
		memcpy(bounds, value, sizeof(*bounds));
}

void
match_bounds_add(MatchBounds *restrict a, const MatchBounds *restrict b)
{
	a->mode_min = MIN(a->mode_min, b->mode_min);
	a->mode_max = MAX(a->mode_max, b->mode_max);
	a->tags_max = MAX(a->tags_max, b->tags_max);
	for (int i = 0; i < 3; i++)
	{
		a->low[i] = MIN(a->low[i], b->low[i]);
		a->high[i] = MAX(a->high[i], b->high[i]);
	}
	a->reach = MAX(a->reach, b->reach);
	a->born_min = MIN(a->born_min, b->born_min);
	a->born_max = MAX(a->born_max, b->born_max);
	a->active = MAX(a->active, b->active);
	a->age_min = MIN(a->age_min, b->age_min);
	a->age_max = MAX(a->age_max, b->age_max);
	a->desirability = MAX(a->desirability, b->desirability);
	a->selectivity = MAX(a->selectivity, b->selectivity);
	a->price = MIN(a->price, b->price);
	a->quality = MAX(a->quality, b->quality);
	for (int i = 0; i < MATCH_NUMBERS; i++)
	{
		a->number_min[i] = MIN(a->number_min[i], b->number_min[i]);
		a->number_max[i] = MAX(a->number_max[i], b->number_max[i]);
	}
	a->joined = MAX(a->joined, b->joined);
	for (int i = 0; i < MATCH_TAG_BYTES; i++)
		a->tags[i] |= b->tags[i];
	for (int i = 0; i < MATCH_LANES; i++)
	{
		a->traits[i] |= b->traits[i];
		a->wants[i] |= b->wants[i];
	}
}
