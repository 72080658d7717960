/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a server answers to our clients: IMAP responses as check_replication reads them, and
 * the input of a compressed stream. The first byte says which.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "buf.h"
#include "check_replication_model.h"
#include "check_replication_parse.h"
#include "dlist.h"
#include "fuzz.h"
#include "prot.h"

static void response(const char *s, size_t len)
{
    struct check_names names = { 0 };
    struct buf line = BUF_INITIALIZER;
    struct dlist *dl = check_parse_response(s, len);

    buf_setmap(&line, s, len);
    struct check_user user;

    check_user_init(&user, "alice");
    struct check_mailbox *mbox = check_user_addmailbox(&user, "user/alice");
    check_parse_okcode(mbox, buf_cstring(&line));
    if (dl) {
        check_parse_namespace(&names, dl);
        check_parse_fetch(mbox, dl);
        check_parse_metadata(mbox, dl, "/shared/");
        check_parse_acl(mbox, dl);
        free(check_canonical_name(&names, "INBOX.a"));
        free(check_session_name(&names, "user/alice/a"));
    }
    check_names_fini(&names);
    check_user_free(&user);
    dlist_free(&dl);
    buf_free(&line);
}

static void compressed(const char *s, size_t len)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    size_t bytes = 0;

    if (fd < 0 || pwrite(fd, s, len, 0) != (ssize_t)len) abort();
    struct protstream *in = prot_new(fd, false);
    if (prot_setcompress(in)) abort();
    while (bytes++ < 1000000 && prot_getc(in) != EOF) continue;
    prot_free(in);
    close(fd);
}

void fuzz_client(const uint8_t *data, size_t size)
{
    if (!size) return;
    (data[0] & 1 ? compressed : response)((const char *)data + 1, size - 1);
}
