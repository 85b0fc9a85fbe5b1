/*
 * The module: one shared library for all topics. Each topic that needs
 * settings or dispatch tables sets them up in its own <topic>_init().
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/guc.h"

#include "account/account.h"
#include "core/core.h"
#include "match/match.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	core_init();
	account_init();
	match_init();
	MarkGUCPrefixReserved("rapport");
}
