/*
 * Events for the stream: transactional logical messages, so that one leaves
 * exactly when its transaction commits.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "replication/message.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"

#include "core/core.h"

PG_FUNCTION_INFO_V1(core_event_emit_sql);

#define EVENT_PREFIX "rapport"
#define EVENT_MAX_SIZE 8192
#define EVENT_MAC_BYTES 16

/*
 * Any role may write logical messages, so each carries the first bytes of an
 * HMAC of its JSON under the database secret "events".
 */
void
core_emit(const char *address, const char *kind, const char *payload)
{
	StringInfoData event;
	uint8		mac[CORE_MAC_SIZE];

	if (!XLogLogicalInfoActive())
		return;

	initStringInfo(&event);
	appendStringInfoSpaces(&event, EVENT_MAC_BYTES);
	appendStringInfoString(&event, "{\"address\":");
	escape_json(&event, address);
	appendStringInfoString(&event, ",\"kind\":");
	escape_json(&event, kind);
	appendStringInfo(&event, ",\"payload\":%s}", payload);
	if (event.len > EVENT_MAX_SIZE)
		core_fail("too_large", "An event has at most %d bytes; carry ids instead of contents.", EVENT_MAX_SIZE);
	core_hmac(core_secret("events"), CORE_SECRET_SIZE,
			  event.data + EVENT_MAC_BYTES, event.len - EVENT_MAC_BYTES, mac);
	memcpy(event.data, mac, EVENT_MAC_BYTES);
	core_log_message(EVENT_PREFIX, event.data, event.len);
	pfree(event.data);
}

Datum
core_event_emit_sql(PG_FUNCTION_ARGS)
{
	Jsonb	   *payload = PG_GETARG_JSONB_P(2);

	core_emit(text_to_cstring(PG_GETARG_TEXT_PP(0)),
			  text_to_cstring(PG_GETARG_TEXT_PP(1)),
			  JsonbToCString(NULL, &payload->root, VARSIZE(payload)));
	PG_RETURN_VOID();
}
