-- The btree peer: the people of peers/postgis.sql found by gender, cell of a
-- tenth of a degree and birth date, in the order of the index on disk. The cells
-- that a circle touches are worked out when the query is written.
SELECT to_regclass('peer.by_cell_gender_born') IS NULL AS missing \gset
\if :missing
CREATE OR REPLACE FUNCTION peer.cell(latitude double precision, longitude double precision) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT floor((latitude + 90) * 10)::integer * 3600 + floor((longitude + 180) * 10)::integer % 3600;
END;
DROP TABLE IF EXISTS peer.by_cell;
CREATE TABLE peer.by_cell AS
SELECT p.*, peer.cell(ST_Y(p.place::geometry), ST_X(p.place::geometry)) AS cell
FROM peer.person AS p
ORDER BY p.gender, cell, p.born;
ALTER TABLE peer.by_cell DROP COLUMN place;
CREATE INDEX by_cell_gender_cell_born ON peer.by_cell (gender, cell, born);
CREATE INDEX by_cell_gender_born ON peer.by_cell (gender, born);
VACUUM (ANALYZE) peer.by_cell;
\endif

-- The cells within so many kilometres of a place: row by row the widest part of the circle in it.
CREATE OR REPLACE FUNCTION peer.cells(place geography, distance_km double precision) RETURNS integer[]
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
	lat0 double precision := ST_Y(place::geometry);
	lon0 double precision := ST_X(place::geometry);
	-- A little more, for rounding and the cell that a border belongs to.
	c double precision := degrees(distance_km / 6371.0) + 0.001;
	widest double precision := CASE WHEN abs(lat0) + c < 90 THEN degrees(asin(sind(lat0) / cosd(c))) END;
	cells integer[] := '{}';
	half double precision;
	x double precision;
	lat double precision;
BEGIN
	FOR row IN floor((greatest(lat0 - c, -90) + 90) * 10)::integer .. floor((least(lat0 + c, 89.99) + 90) * 10)::integer
	LOOP
		half := 0;
		FOREACH lat IN ARRAY ARRAY[row / 10.0 - 90, (row + 1) / 10.0 - 90, widest, lat0]
		LOOP
			CONTINUE WHEN lat IS NULL OR lat < row / 10.0 - 90 OR lat > (row + 1) / 10.0 - 90;
			IF abs(lat) >= 90 OR abs(lat0) + c >= 90 THEN
				half := 180;
			ELSE
				x := (cosd(c) - sind(lat0) * sind(lat)) / (cosd(lat0) * cosd(lat));
				half := greatest(half, CASE WHEN x <= -1 THEN 180 WHEN x < 1 THEN degrees(acos(x)) ELSE 0 END);
			END IF;
		END LOOP;
		cells := cells || ARRAY(
			SELECT DISTINCT row * 3600 + (n % 3600 + 3600) % 3600
			FROM generate_series(floor((lon0 + 180 - half) * 10)::integer, floor((lon0 + 180 + half) * 10)::integer) AS n);
	END LOOP;
	RETURN cells;
END;
$$;

-- Beyond 300 km the cells are too many to look into each.
CREATE OR REPLACE FUNCTION peer.by_btree(genders smallint[], place geography, distance_km integer, fitting text, score text, k integer) RETURNS text
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
	SELECT format('SELECT p.person_id FROM %s AS p WHERE true%s%s ORDER BY %s DESC LIMIT %s', peer.of_genders('peer.by_cell', genders),
				  CASE WHEN distance_km <= 300 THEN format(' AND p.cell = ANY (%L::integer[])', peer.cells(place, distance_km)) ELSE '' END,
				  fitting, score, k);
END;
