#include "postgres.h"

#include "account/account.h"

void
account_init(void)
{
}
