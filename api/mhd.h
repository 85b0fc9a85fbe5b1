/*
 * Differences between the supported versions of libmicrohttpd. No other file
 * tests MHD_VERSION.
 */
#ifndef RAPPORTD_MHD_H
#define RAPPORTD_MHD_H

#include <microhttpd.h>

/*
 * How strictly MHD itself reads. 1.0 joins folded lines to one, takes bare line
 * feeds and spaces in targets, and loses count of chunks with extensions (the
 * line feed after a last chunk's extension ends the message before its trailer)
 * unless it is told 1. 0.9.75 does less by itself: there 1 would close where we
 * answer.
 */
#if MHD_VERSION >= 0x00097701
#define MHD_STRICTNESS 1
#else
#define MHD_STRICTNESS 0
#endif

#endif
