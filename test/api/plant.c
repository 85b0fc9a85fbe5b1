/*
 * Linked into the rapportd that has sanitizers: a bug of the kind that PLANT
 * names, so that test/run can see that such a bug does not go unseen.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static void *volatile kept;

__attribute__((constructor))
static void
plant(void)
{
	const char *bug = getenv("PLANT");
	volatile int number = INT_MAX;

	if (bug == NULL)
		return;
	kept = malloc(8);
	if (strcmp(bug, "address") == 0)
		((volatile char *) kept)[8] = 1;
	else if (strcmp(bug, "undefined") == 0)
		kept = (char *) kept + (++number < 0);
	else if (strcmp(bug, "leak") != 0)
		free(kept);
	kept = NULL;
}
