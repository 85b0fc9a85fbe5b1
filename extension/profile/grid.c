/*
 * The grid that positions are snapped to: bands of equal height from pole to
 * pole, each divided into as many equal cells as give about the same width.
 * Cells meet at the date line without a seam, and three surround each pole.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"

#include "profile/profile.h"

PG_FUNCTION_INFO_V1(profile_snap_sql);

/* Half of a meridian on the sphere of the WGS 84 mean radius, 6371008.8 m. */
#define POLE_TO_POLE_METRES 20015114.35

bool
profile_snap(double latitude, double longitude, int metres,
			 double *cell_latitude, double *cell_longitude)
{
	double		bands = fmax(1.0, rint(POLE_TO_POLE_METRES / metres));
	double		band;
	double		cells;
	double		cell;

	/* Written so that NaN fails too. */
	if (!(latitude >= -90.0 && latitude <= 90.0 && longitude >= -180.0 && longitude <= 180.0))
		return false;

	band = fmin(floor((latitude + 90.0) / 180.0 * bands), bands - 1.0);
	*cell_latitude = (band + 0.5) * 180.0 / bands - 90.0;
	cells = fmax(1.0, rint(2.0 * bands * cos(*cell_latitude * M_PI / 180.0)));
	cell = floor((longitude + 180.0) / 360.0 * cells);
	if (cell >= cells)
		cell = 0.0;				/* 180 degrees is -180 degrees */
	*cell_longitude = (cell + 0.5) * 360.0 / cells - 180.0;
	return true;
}

Datum
profile_snap_sql(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[2] = {0};
	bool		nulls[2] = {false, false};
	int32		metres = PG_GETARG_INT32(2);
	double		latitude;
	double		longitude;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "the result must be a row");
	if (metres < 1)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("a grid cell must be at least one metre high")));
	if (profile_snap(PG_GETARG_FLOAT8(0), PG_GETARG_FLOAT8(1), metres, &latitude, &longitude))
	{
		values[0] = Float8GetDatum(latitude);
		values[1] = Float8GetDatum(longitude);
	}
	else
		nulls[0] = nulls[1] = true;
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
