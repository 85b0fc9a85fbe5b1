/*
 * Stands in for libFuzzer: gives a target each of the files named, and each
 * beginning of them, in memory that ends where the input ends. It ends in the
 * sanitizer's way when one of them fails; the last line on stdout counts.
 */
#include "fuzz.h"

#include <string.h>

static unsigned long executions;

static void
execute(const char *input, size_t size)
{
	/* As libFuzzer does it: no input is NULL. */
	uint8_t    *exact = malloc(size > 0 ? size : 1);

	memcpy(exact, input, size);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	executions++;
}

int
main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
	{
		static char input[1 << 20];
		FILE	   *file = fopen(argv[i], "rb");
		size_t		size;

		if (file == NULL)
		{
			perror(argv[i]);
			return 2;
		}
		size = fread(input, 1, sizeof input, file);
		fclose(file);
		fprintf(stderr, "%s\n", argv[i]);
		for (size_t part = 0; part <= size; part++)
			execute(input, part);
	}
	printf("%lu\n", executions);
	return 0;
}
