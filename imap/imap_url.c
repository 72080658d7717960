/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * imap_url -- the message, or section of it, that a URL names (texts: handbook 04 §3.10 no. 9)
 */
#include <config.h>

#include "imap_url.h"

#include <string.h>

#include "imap_err.h"

static int find_section(struct mailbox *mailbox, const char *section, struct url_message *m)
{
    struct cacherecord cache;
    struct buf view = BUF_INITIALIZER;
    size_t used;

    if (!section || !*section) {
        m->range.size = (uint32_t)m->file.len;
        return 0;
    }
    if (!section_spec_parse(section, strlen(section), &m->spec, &used) || section[used] ||
        m->spec.what == SECTION_FIELDS || m->spec.what == SECTION_FIELDS_NOT)
        return IMAP_BADURL;
    int r = mailbox_cacherecord(mailbox, &m->rec, &view);
    if (!r) r = cacherecord_parse(view.s, view.len, &cache);
    if (!r) r = section_find(&cache, m->rec.cache_version, m->file.len, &m->spec, &m->range);
    m->range.part.charset = (struct msgtext){ 0 }; /* it pointed into the cache */
    buf_free(&view);
    return r == IMAP_NOTFOUND ? IMAP_BADURL : r;
}

const char *url_message_find(struct mailbox *mailbox, const struct imapurl *url, struct url_message *m)
{
    *m = (struct url_message){ .file = BUF_INITIALIZER };
    if (url->uidvalidity && url->uidvalidity != mailbox_index_header(mailbox)->uidvalidity)
        return "Uidvalidity of mailbox has changed";
    if (mailbox_find_uid(mailbox, url->uid, &m->rec) || (m->rec.internal_flags & FLAG_INTERNAL_EXPUNGED))
        return "No such message in mailbox";
    int r = mailbox_map_record(mailbox, &m->rec, &m->file);
    if (!r) r = find_section(mailbox, url->section, m);
    return r == IMAP_BADURL ? "No such message part" : r ? error_message(r) : NULL;
}

void url_message_fini(struct url_message *m)
{
    buf_free(&m->file);
}
