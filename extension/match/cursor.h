/* Page cursors. */
#ifndef MATCH_CURSOR_H
#define MATCH_CURSOR_H

#include "fmgr.h"

/* What seals and opens cursors of one scope; the caller's fn_extra keeps it from call to call. */
typedef struct MatchSealer MatchSealer;

extern const MatchSealer *match_sealer(FmgrInfo *caller, const text *scope);

extern text *match_seal(const MatchSealer *sealer, const char *plain, size_t size);
/* What was sealed in that scope; NULL when this was not. */
extern text *match_unseal(const MatchSealer *sealer, const text *sealed);

#endif
