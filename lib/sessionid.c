/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sessionid -- PREFIX-TIME-PID-COUNT-RANDOM
 *
 * PREFIX is syslog_prefix or the server name, at most 128 bytes; COUNT tells the
 * sessions of one second apart, RANDOM (64 bits) those of two machines with one name.
 */
#include <config.h>

#include "sessionid.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "libconfig.h"
#include "util.h"

static char current[SESSIONID_MAX];

static uint64_t random_bits(void)
{
    uint64_t bits;

    /* Up to 256 bytes come whole, once the kernel has its entropy. */
    while (getrandom(&bits, sizeof(bits), 0) != (ssize_t)sizeof(bits))
        ;
    return bits;
}

void session_new_id(void)
{
    static time_t last;
    static unsigned count;
    const char *prefix = config_getstring(IMAPOPT_SYSLOG_PREFIX);
    time_t now = time(NULL);

    if (now != last) count = 0;
    last = now;
    count++;
    snprintf(current, sizeof(current), "%.128s-%lld-%d-%u-%" PRIu64,
             prefix && *prefix ? prefix : config_servername, (long long)now, (int)getpid(), count,
             random_bits());
}

const char *session_id(void)
{
    if (!*current) session_new_id();
    return current;
}

void session_clear_id(void)
{
    *current = '\0';
}

void parse_sessionid(const char *line, char out[SESSIONID_MAX])
{
    static const char mark[] = "SESSIONID=<";
    const char *id = strstr(line, mark);
    const char *end = id ? strchr(id, '>') : NULL;

    if (!end) {
        memcpy(out, "unknown", sizeof("unknown"));
        return;
    }
    id += sizeof(mark) - 1;
    size_t len = (size_t)(end - id);
    if (len >= SESSIONID_MAX) {
        memcpy(out, "invalid", sizeof("invalid"));
        return;
    }
    memcpy(out, id, len);
    out[len] = '\0';
}
