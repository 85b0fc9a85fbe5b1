#include "postgres.h"

#include "match/match.h"

void
match_init(void)
{
}
