/*
 * The grid that positions are snapped to: bands of equal height from pole to
 * pole, each divided into as many equal cells as give about the same width.
 * Cells meet at the date line without a seam, and three surround each pole.
 *
 * Cells of a level lie in cells about twice as high and wide of the next, each
 * in exactly one: whoever sees a person first in a large cell and then in a
 * small one, or the other way round, learns the small one and no more. A band
 * takes two of the level below, the northernmost what is left as well.
 *
 * The number of a cell says everything of it: the height of the smallest cells
 * in metres, the level, the band from the south and the column from the date
 * line, all from 0.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"

#include "profile/profile.h"

PG_FUNCTION_INFO_V1(profile_grid_cell_sql);
PG_FUNCTION_INFO_V1(profile_cell_parent);
PG_FUNCTION_INFO_V1(profile_cell_latitude);
PG_FUNCTION_INFO_V1(profile_cell_longitude);

/* Half of a meridian on the sphere of the WGS 84 mean radius, 6371008.8 m. */
#define POLE_TO_POLE_METRES 20015114.35

#define METRES_BITS 17
#define LEVEL_BITS 4
#define BAND_BITS 18
#define COLUMN_BITS 19
#define FIELD(number, shift, bits) (((number) >> (shift)) & ((INT64CONST(1) << (bits)) - 1))

typedef struct Cell
{
	int			metres;
	int			level;
	int			band;
	int			column;
} Cell;

static int64
cell_number(const Cell *cell)
{
	return ((((int64) cell->metres << LEVEL_BITS | cell->level) << BAND_BITS | cell->band) << COLUMN_BITS) | cell->column;
}

static Cell
cell_of(int64 number)
{
	Cell		cell;

	cell.column = FIELD(number, 0, COLUMN_BITS);
	cell.band = FIELD(number, COLUMN_BITS, BAND_BITS);
	cell.level = FIELD(number, COLUMN_BITS + BAND_BITS, LEVEL_BITS);
	cell.metres = FIELD(number, COLUMN_BITS + BAND_BITS + LEVEL_BITS, METRES_BITS);
	if (number < 0 || cell.metres < PROFILE_GRID_MIN || cell.metres > PROFILE_GRID_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no such cell")));
	return cell;
}

/* Bands of the lowest level. */
static int
bands_of(int metres)
{
	return rint(POLE_TO_POLE_METRES / metres);
}

static int
last_band(const Cell *cell)
{
	return Max(bands_of(cell->metres) >> cell->level, 1) - 1;
}

/* The borders of the band, in bands of the lowest level. */
static void
band_borders(const Cell *cell, double *south, double *north)
{
	*south = (double) cell->band * (1 << cell->level);
	*north = cell->band == last_band(cell) ? bands_of(cell->metres) : (double) (cell->band + 1) * (1 << cell->level);
}

static double
latitude_of(const Cell *cell)
{
	double		south;
	double		north;

	band_borders(cell, &south, &north);
	return (south + north) / 2 * 180.0 / bands_of(cell->metres) - 90.0;
}

/* How many cells the band has. */
static int
columns_of(const Cell *cell)
{
	double		round = 2.0 * bands_of(cell->metres) / (1 << cell->level);

	return fmax(1.0, rint(round * cos(latitude_of(cell) * M_PI / 180.0)));
}

static double
longitude_of(const Cell *cell)
{
	return (cell->column + 0.5) * 360.0 / columns_of(cell) - 180.0;
}

static Cell
parent_of(const Cell *cell)
{
	Cell		parent = *cell;

	parent.level++;
	parent.band = Min(cell->band / 2, last_band(&parent));
	parent.column = floor((cell->column + 0.5) * columns_of(&parent) / columns_of(cell));
	return parent;
}

/* Metres from a position to the nearest of a cell of the lowest level, as on a plane: for short ways. */
static double
metres_to(const Cell *cell, double latitude, double longitude)
{
	double		degree = POLE_TO_POLE_METRES / 180.0;
	double		half = 90.0 / bands_of(cell->metres);
	double		up = fabs(latitude - latitude_of(cell)) - half;
	double		along = fabs(longitude - longitude_of(cell));

	along = fmin(along, 360.0 - along) - 180.0 / columns_of(cell);
	return hypot(fmax(up, 0.0), fmax(along, 0.0) * cos(latitude * M_PI / 180.0)) * degree;
}

int64
profile_grid_cell(double latitude, double longitude, int metres, double margin, int64 current)
{
	Cell		cell = {metres, 0, 0, 0};
	double		bands;

	if (metres < PROFILE_GRID_MIN || metres > PROFILE_GRID_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("grid cells are %d to %d metres high", PROFILE_GRID_MIN, PROFILE_GRID_MAX)));
	/* Written so that NaN fails too. */
	if (!(latitude >= -90.0 && latitude <= 90.0 && longitude >= -180.0 && longitude <= 180.0))
		return 0;

	if (current != 0)
	{
		Cell		stay = cell_of(current);

		if (stay.metres == metres && stay.level == 0 && metres_to(&stay, latitude, longitude) <= margin * metres)
			return current;
	}
	bands = bands_of(metres);
	cell.band = fmin(floor((latitude + 90.0) / 180.0 * bands), bands - 1.0);
	cell.column = floor((longitude + 180.0) / 360.0 * columns_of(&cell));
	if (cell.column >= columns_of(&cell))
		cell.column = 0;		/* 180 degrees is -180 degrees */
	return cell_number(&cell);
}

/* grid_cell(latitude, longitude, metres integer, margin, current bigint): NULL where there is no such position. */
Datum
profile_grid_cell_sql(PG_FUNCTION_ARGS)
{
	int64		number;

	for (int i = 0; i < 4; i++)
	{
		if (PG_ARGISNULL(i))
			PG_RETURN_NULL();
	}
	number = profile_grid_cell(PG_GETARG_FLOAT8(0), PG_GETARG_FLOAT8(1), PG_GETARG_INT32(2), PG_GETARG_FLOAT8(3),
							   PG_ARGISNULL(4) ? 0 : PG_GETARG_INT64(4));
	if (number == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(number);
}

/* cell_parent(cell bigint, level integer): the cell of that level around it, or the cell itself if it is as large. */
Datum
profile_cell_parent(PG_FUNCTION_ARGS)
{
	Cell		cell = cell_of(PG_GETARG_INT64(0));
	int			level = PG_GETARG_INT32(1);

	if (level > PROFILE_GRID_LEVELS)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("cells grow at most %d times", PROFILE_GRID_LEVELS)));
	while (cell.level < level)
		cell = parent_of(&cell);
	PG_RETURN_INT64(cell_number(&cell));
}

Datum
profile_cell_latitude(PG_FUNCTION_ARGS)
{
	Cell		cell = cell_of(PG_GETARG_INT64(0));

	PG_RETURN_FLOAT8(latitude_of(&cell));
}

Datum
profile_cell_longitude(PG_FUNCTION_ARGS)
{
	Cell		cell = cell_of(PG_GETARG_INT64(0));

	PG_RETURN_FLOAT8(longitude_of(&cell));
}
