/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * message_dates -- the times that a message tells of itself (handbook 02 §3.2, §6.2)
 */
#include <config.h>

#include <string.h>

#include "message.h"
#include "times.h"

void message_dates(const struct message_content *content, time_t *gmtime, time_t *sentdate)
{
    struct msgtext date = content->body->fields.date;
    int gmtoff;

    *gmtime = *sentdate = 0;
    if (!date.s || time_from_rfc5322(date.s, date.len, gmtime, &gmtoff)) {
        *gmtime = 0;
        return;
    }
    *sentdate = time_local_midnight(*gmtime, gmtoff);
}

time_t message_received_time(const struct message_content *content)
{
    const struct message_fields *f = &content->body->fields;
    const char *stamp;
    time_t t;

    if (f->x_deliveredinternaldate.s &&
        !time_from_rfc5322(f->x_deliveredinternaldate.s, f->x_deliveredinternaldate.len, &t, NULL))
        return t;
    if (!f->received.s) return 0;
    stamp = memrchr(f->received.s, ';', f->received.len);
    if (!stamp) return 0;
    stamp++;
    if (time_from_rfc5322(stamp, f->received.len - (size_t)(stamp - f->received.s), &t, NULL))
        return 0;
    return t;
}
