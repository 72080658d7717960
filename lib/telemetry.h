/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_TELEMETRY_H
#define INCLUDED_TELEMETRY_H
/*
 * telemetry -- protocol traces for users whose log directory exists
 *
 * If <configdirectory>/log/USERID/ is a directory, the traffic of a session from
 * here on is copied to <configdirectory>/log/USERID/SUFFIX (handbook 05 §4.5).
 * Failing to log never disturbs the session.
 */
struct protstream;

/* Start to log both streams. suffix: "SERVICE-PID", or with the session id. Returns the descriptor, which
 * telemetry_stop() closes, or -1 when nothing is logged. userid must not contain '/' or begin with '.'. */
int telemetry_start(const char *configdir, const char *userid, const char *suffix, struct protstream *in,
                    struct protstream *out);
/* The same with SERVICE-PID, or SERVICE-SESSIONID with telemetry_bysessionid. sessionid may be NULL. */
int telemetry_log(const char *userid, const char *sessionid, struct protstream *in, struct protstream *out);
void telemetry_stop(int fd, struct protstream *in, struct protstream *out);
/* At the end of a session: the auditlog line with the bytes of both streams (handbook 05 §4.4). */
void telemetry_traffic(const struct protstream *in, const struct protstream *out);

#endif
