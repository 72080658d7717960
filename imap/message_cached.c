/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * message_cached -- which header fields a cache record keeps (handbook 02 §4.4)
 *
 * A field is known by the first cache version that kept it. Fields that other items
 * of the record hold, and those nobody asks for, are never kept; nor are unknown
 * X- fields and very long names. Everything else has been since version 1.
 */
#include <config.h>

#include <string.h>

#include "message_cache.h"
#include "util.h"

/* Names of this length and more are never kept. */
#define MAX_NAME 32

#define NEVER BIT32_MAX_CACHE_VERSION

static const struct {
    const char *name;
    unsigned version;
} known[] = {
    { "arc-authentication-results", NEVER },
    { "arc-message-signature", NEVER },
    { "arc-seal", NEVER },
    { "archived-at", NEVER },
    { "authentication-results", NEVER },
    { "bcc", NEVER },
    { "cc", NEVER },
    { "date", NEVER },
    { "delivery-date", NEVER },
    { "dkim-signature", NEVER },
    { "domainkey-signature", NEVER },
    { "domainkey-x509", NEVER },
    { "envelope-to", NEVER },
    { "followup-to", 0 },
    { "from", NEVER },
    { "in-reply-to", NEVER },
    { "listbox-message-date", NEVER },
    { "message-id", NEVER },
    { "mime-version", NEVER },
    { "newsgroups", 0 },
    { "priority", 0 },
    { "received", NEVER },
    { "received-spf", NEVER },
    { "references", 0 },
    { "reply-to", 7 },
    { "resent-from", 0 },
    { "return-path", NEVER },
    { "sender", 7 },
    { "subject", NEVER },
    { "to", NEVER },
    { "topicbox-message-uuid", NEVER },
    { "topicbox-policy-reasoning", NEVER },
    { "x-apple-base-url", 6 },
    { "x-apple-mail-remote-attachments", 6 },
    { "x-cyrus-session-id", 4 },
    { "x-delivered-to", 3 },
    { "x-mail-from", 3 },
    { "x-mailer", 1 },
    { "x-me-message-id", 4 },
    { "x-msmail-priority", 2 },
    { "x-msoesrec", 2 },
    { "x-priority", 2 },
    { "x-ref", 2 },
    { "x-resolved-to", 3 },
    { "x-spam-score", 3 },
    { "x-trace", 1 },
    { "x-truedomain-domain", 3 },
    { "x-uniform-type-identifier", 6 },
    { "x-universally-unique-identifier", 6 },
};

unsigned mailbox_cached_header(const char *name, size_t len)
{
    if (len >= MAX_NAME) return NEVER;
    for (size_t i = 0; i < array_size(known); i++) {
        if (memcaseeq(name, len, known[i].name, strlen(known[i].name))) return known[i].version;
    }
    return len >= 2 && memcaseeq(name, 2, "x-", 2) ? NEVER : 1;
}

bool mailbox_headers_cached(const strarray_t *names, unsigned cache_version)
{
    for (int i = 0; i < strarray_size(names); i++) {
        const char *name = strarray_nth(names, i);
        unsigned version = mailbox_cached_header(name, strlen(name));

        if (version == NEVER || version > cache_version) return false;
    }
    return true;
}
