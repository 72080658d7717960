/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sub_codec -- keys of a user's subscription file
 *
 * The INBOX of the user is written as "INBOX" so that a rename of the user needs
 * no change in the file. Only whole components are replaced (handbook 01 §7.2,
 * Weakness).
 */
#include <config.h>

#include "sub_codec.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "mboxname.h"
#include "xmalloc.h"

#define INBOX "INBOX"

/* Database form of the user's INBOX; empty: no user. */
static void inbox_dbname(const char *userid, struct buf *out)
{
    mbname_t *m = mbname_from_userid(userid);

    if (mbname_localpart(m)) dbname_append(mbname_dbname(m), out);
    mbname_free(&m);
}

void sub_key_print(const char *name, const char *userid, struct buf *out)
{
    struct buf inbox = BUF_INITIALIZER, text = BUF_INITIALIZER;
    dbname_t dbname = mboxname_to_dbname(name);

    inbox_dbname(userid, &inbox);
    dbname_append(dbname, &text);
    const char *s = buf_cstring(&text);
    size_t len = buf_len(&inbox);
    bool own = len && !strncmp(s, buf_cstring(&inbox), len) && (!s[len] || s[len] == DB_HIERSEP_CHAR);
    buf_setcstr(out, "N");
    if (own) buf_appendcstr(out, INBOX);
    buf_appendcstr(out, own ? s + len : s);
    dbname_free(&dbname);
    buf_free(&text);
    buf_free(&inbox);
}

char *sub_key_parse(const char *key, size_t len, const char *userid)
{
    struct buf dbname = BUF_INITIALIZER;

    if (len < 2 || key[0] != 'N') return NULL;
    key++;
    len--;
    /* a shared tree would have to begin with "INBOX" in capitals to be meant otherwise; a domain may */
    if (len >= strlen(INBOX) && !memcmp(key, INBOX, strlen(INBOX)) && !memchr(key, DB_DOMAINSEP_CHAR, len)) {
        inbox_dbname(userid, &dbname);
        if (buf_len(&dbname)) {
            key += strlen(INBOX);
            len -= strlen(INBOX);
        }
    }
    buf_appendmap(&dbname, key, len);
    char *name = mboxname_from_dbname(dbname_of(buf_base(&dbname), buf_len(&dbname)));
    buf_free(&dbname);
    return name;
}
