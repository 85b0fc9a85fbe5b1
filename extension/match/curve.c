#include "match/curve.h"

/*
 * Skilling, "Programming the Hilbert curve", AIP 707, 2004. On each level the
 * curve passes the eight parts of a cube one after the other; so the first 3 b
 * bits of a position and the first b of each coordinate say the same cube.
 */

#define CURVE_SHIFT (31 - MATCH_CURVE_BITS)
#define TOP (1U << (MATCH_CURVE_BITS - 1))

uint64_t
match_curve_position(const int32_t *at)
{
	uint32_t	x[3];
	uint32_t	t;
	uint64_t	position = 0;

	for (int i = 0; i < 3; i++)
	{
		int64_t		shifted = ((int64_t) at[i] + MATCH_UNIT) >> CURVE_SHIFT;

		x[i] = shifted < 0 ? 0 : shifted >= 2 * TOP ? 2 * TOP - 1 : (uint32_t) shifted;
	}
	for (uint32_t q = TOP; q > 1; q >>= 1)
	{
		uint32_t	p = q - 1;

		for (int i = 0; i < 3; i++)
		{
			if (x[i] & q)
				x[0] ^= p;
			else
			{
				t = (x[0] ^ x[i]) & p;
				x[0] ^= t;
				x[i] ^= t;
			}
		}
	}
	x[1] ^= x[0];
	x[2] ^= x[1];
	t = 0;
	for (uint32_t q = TOP; q > 1; q >>= 1)
	{
		if (x[2] & q)
			t ^= q - 1;
	}
	for (int bit = MATCH_CURVE_BITS - 1; bit >= 0; bit--)
	{
		for (int i = 0; i < 3; i++)
			position = position << 1 | ((x[i] ^ t) >> bit & 1);
	}
	return position;
}

/* The cell at a position: the reverse. */
static void
cell_at(uint64_t position, uint32_t *x)
{
	uint32_t	t;

	x[0] = x[1] = x[2] = 0;
	for (int bit = 3 * MATCH_CURVE_BITS - 1; bit >= 0; bit--)
	{
		uint32_t   *to = &x[2 - bit % 3];

		*to = *to << 1 | (position >> bit & 1);
	}
	t = x[2] >> 1;
	x[2] ^= x[1];
	x[1] ^= x[0];
	x[0] ^= t;
	for (uint32_t q = 2; q != 2 * TOP; q <<= 1)
	{
		uint32_t	p = q - 1;

		for (int i = 2; i >= 0; i--)
		{
			if (x[i] & q)
				x[0] ^= p;
			else
			{
				t = (x[0] ^ x[i]) & p;
				x[0] ^= t;
				x[i] ^= t;
			}
		}
	}
}

/* The squared chord from a place to the nearest point of a cube of 2^depth cells an edge. */
static uint64_t
cube_squared(uint64_t position, int depth, const int32_t *at)
{
	uint32_t	x[3];
	uint64_t	sum = 0;

	cell_at(position, x);
	for (int i = 0; i < 3; i++)
	{
		int64_t		low = ((int64_t) (x[i] >> depth << depth) << CURVE_SHIFT) - MATCH_UNIT;
		/* The last cell has the end of the cube besides. */
		int64_t		high = low + ((int64_t) 1 << (depth + CURVE_SHIFT));
		int64_t		gap = at[i] < low ? low - at[i] : at[i] > high ? at[i] - high : 0;

		sum += (uint64_t) (gap * gap);
	}
	return sum;
}

/* Of a cube of 2^depth cells an edge, whose first position is first. */
static bool
cube_reaches(uint64_t first, int depth, uint64_t low, uint64_t high, const int32_t *at, uint64_t squared)
{
	uint64_t	last = first + ((UINT64_C(1) << 3 * depth) - 1);

	if (first > high || last < low || cube_squared(first, depth, at) > squared)
		return false;
	if (first >= low && last <= high)
		return true;
	/* A part of it is in the stretch, so it is no single cell. */
	depth--;
	for (int part = 0; part < 8; part++)
	{
		if (cube_reaches(first + ((uint64_t) part << 3 * depth), depth, low, high, at, squared))
			return true;
	}
	return false;
}

bool
match_curve_reaches(uint64_t low, uint64_t high, const int32_t *at, uint32_t reach)
{
	return cube_reaches(0, MATCH_CURVE_BITS, low, high, at, (uint64_t) reach * reach);
}
