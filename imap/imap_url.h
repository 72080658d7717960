/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_IMAP_URL_H
#define INCLUDED_IMAP_URL_H
/*
 * imap_url -- the message, or section of it, that a URL names; for CATENATE and URLFETCH
 */
#include "imapurl.h"
#include "mailbox.h"
#include "message_section.h"

struct url_message {
    struct index_record rec;
    struct buf file;            /* mapped */
    struct section_spec spec;   /* whole message: SECTION_BODY without a path */
    struct section_range range; /* bytes of the file; part only with a path */
};
/* Finds it in the mailbox, which is open and is the one that the URL names. The text of the fault, or NULL. url_message_fini() in any case. */
const char *url_message_find(struct mailbox *mailbox, const struct imapurl *url, struct url_message *m);
void url_message_fini(struct url_message *m);

#endif
