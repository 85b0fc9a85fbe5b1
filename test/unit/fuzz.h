/*
 * What the fuzz targets share. A target is built by clang with libFuzzer, and
 * by gcc with fuzz_replay.c, which reads the corpus. With PLANT in the
 * environment it has a bug that the tests must then find:
 *
 *	1	reads one byte behind the input (found by AddressSanitizer)
 *	2	a sum that overflows (by UndefinedBehaviorSanitizer)
 *	3	a wrong result (by the target's own checks)
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold for every input; the input is reported when it does not. */
#define fuzz_check(condition) \
	((condition) ? (void) 0 : (fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition), abort()))

static inline int
fuzz_planted(void)
{
	static int	planted = -1;

	if (planted < 0)
		planted = getenv("PLANT") != NULL ? atoi(getenv("PLANT")) : 0;
	return planted;
}

/* The place of the third bug: one bit of what the code under test has made. */
static inline void
fuzz_damage(void *result)
{
	if (fuzz_planted() == 3)
		*(unsigned char *) result ^= 1;
}

/* The places of the first two: an escape and a number, read as they should not be. */
static inline void
fuzz_plant(const uint8_t *data, size_t size)
{
	int			planted = fuzz_planted();
	volatile int64_t sum = 0;

	for (size_t i = 0; planted == 1 && i < size; i++)
	{
		if (data[i] == '%' && size - i > 1)
			sum ^= data[i + 1] << 4 | data[i + 2];
	}
	for (size_t i = 0; planted == 2 && i < size; i++)
		sum = data[i] >= '0' && data[i] <= '9' ? sum * 10 + (data[i] - '0') : 0;
}

#endif
