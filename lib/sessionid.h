/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sessionid -- the name of a session in logs, headers and replies (handbook 05 §4.2)
 */
#ifndef INCLUDED_SESSIONID_H
#define INCLUDED_SESSIONID_H

#include <stddef.h>

#define SESSIONID_MAX 256 /* bytes with the NUL */

/* A new id, PREFIX-TIME-PID-COUNT-RANDOM, for a session that begins now. */
void session_new_id(void);
/* The id of this session, made at the first use; until the next session_new_id. */
const char *session_id(void);
/* Forgets it: between two connections there is none. */
void session_clear_id(void);
/*
 * The id in a line with "SESSIONID=<...>" (LOGIN and LMTP replies of a backend) into out;
 * "unknown" when there is none, "invalid" when it does not fit.
 */
void parse_sessionid(const char *line, char out[SESSIONID_MAX]);

#endif
