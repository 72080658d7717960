/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SEEN_CODEC_H
#define INCLUDED_SEEN_CODEC_H
/*
 * seen_codec -- the bytes of a record of seen.db (handbook 01 §7.1)
 *
 * "1 LASTREAD LASTUID LASTCHANGE SEENUIDS"
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct buf;

struct seendata {
    time_t lastread;
    uint32_t lastuid;
    time_t lastchange;
    char *seenuids; /* IMAP sequence set, may be ""; never NULL after a read */
};
#define SEENDATA_INITIALIZER \
    {                        \
        0, 0, 0, NULL        \
    }

/* IMAP_MAILBOX_BADFORMAT for another version or text that is no record. A bad sequence set:
 * *badset is true and seenuids is "" (badset may be NULL). Old contents of *sd are freed; on an
 * error *sd is empty. */
int seen_decode(struct seendata *sd, const char *val, size_t len, bool *badset);
/* Replace *out by the value. */
void seen_encode(const struct seendata *sd, struct buf *out);
void seen_freedata(struct seendata *sd);

#endif
