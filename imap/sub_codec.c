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

/* dbname of the user's INBOX, malloc'ed; NULL: no user. */
static char *inbox_dbname(const char *userid)
{
    mbname_t *m = mbname_from_userid(userid);
    char *dbname = mbname_localpart(m) ? xstrdup(mbname_dbname(m)) : NULL;

    mbname_free(&m);
    return dbname;
}

void sub_key_print(const char *name, const char *userid, struct buf *out)
{
    char *inbox = inbox_dbname(userid), *dbname = mboxname_to_dbname(name);
    size_t len = inbox ? strlen(inbox) : 0;

    buf_reset(out);
    buf_putc(out, 'N');
    if (dbname && len && !strncmp(dbname, inbox, len) &&
        (!dbname[len] || dbname[len] == DB_HIERSEP_CHAR)) {
        buf_appendcstr(out, INBOX);
        buf_appendcstr(out, dbname + len);
    }
    else if (dbname) {
        buf_appendcstr(out, dbname);
    }
    free(inbox);
    free(dbname);
}

char *sub_key_parse(const char *key, size_t len, const char *userid)
{
    struct buf dbname = BUF_INITIALIZER;
    char *name = NULL;

    if (len < 2 || key[0] != 'N' || memchr(key, '\0', len)) return NULL;
    key++;
    len--;
    char *inbox = inbox_dbname(userid);
    if (inbox && len >= strlen(INBOX) && !memcmp(key, INBOX, strlen(INBOX))) {
        buf_setcstr(&dbname, inbox);
        key += strlen(INBOX);
        len -= strlen(INBOX);
    }
    buf_appendmap(&dbname, key, len);
    /* a shared tree would have to begin with "INBOX" in capitals to be meant otherwise */
    if (!strpbrk(buf_cstring(&dbname), "!^")) name = mboxname_from_dbname(buf_cstring(&dbname));
    buf_free(&dbname);
    free(inbox);
    return name;
}
