/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mailbox names in all their spellings. The first byte chooses the spelling, the second the namespace and the session.
 * What is taken is spelled the same way again in every form, and no path made of it leaves the partition.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "mailbox_path.h"
#include "mboxname.h"
#include "names_config.h"
#include "sub_codec.h"
#include "util.h"
#include "xmalloc.h"
#include "fuzz.h"

#define ROOT "/spool/root"

static struct names_config cfg;
static struct namespace ns;
static const char *userid;

static const char *find_option(const char *prefix, const char *partition, void *rock)
{
    return strcmp(prefix, "partition-") ? NULL : ROOT;
}

static void choose(uint8_t bits)
{
    names_config_defaults(&cfg);
    cfg.partition_option = find_option;
    cfg.unixhierarchysep = bits & 1;
    cfg.altnamespace = bits & 2;
    cfg.virtdomains = bits & 8 ? VIRTDOMAINS_USERID : VIRTDOMAINS_OFF;
    cfg.crossdomains = bits & 16;
    cfg.crossdomains_onlyother = bits & 32;
    cfg.hashimapspool = bits & 64;
    cfg.fulldirhash = bits & 128;
    names_config_override(&cfg);
    if (mboxname_init_namespace(&ns, bits & 4)) abort();
    userid = bits & 32 ? "eve@example.org" : "alice";
}

static void must(bool holds)
{
    if (!holds) abort();
}

/* ---- paths ---- */

static void stays_inside(const struct mailbox_place *place)
{
    struct buf path = BUF_INITIALIZER;

    if (!mailbox_path_message(place, false, 1, &path)) {
        const char *s = buf_cstring(&path);
        must(strlen(s) == buf_len(&path) && !strncmp(s, ROOT "/", strlen(ROOT) + 1));
        must(!strstr(s, "/../") && !strstr(s, "/./") && !strstr(s, "//"));
    }
    buf_free(&path);
}

/* By name; and by id, where bytes of a peer stand, too. */
static void paths(const char *name, const char *id)
{
    struct mailbox_place place = { "default", name, NULL };

    stays_inside(&place);
    place.uniqueid = id;
    stays_inside(&place);
}

/* ---- round trips ---- */

static void same(mbname_t *back, const char *name)
{
    must(back && !strcmpnull(mbname_intname(back), name));
    mbname_free(&back);
}

/* The contents of the literal that is all of text. */
static mupdatename_t contents(const struct buf *text)
{
    const char *s = strstr(text->s, "\r\n");

    must(s);
    s += 2;
    return mupdatename_of(s, buf_len(text) - (size_t)(s - text->s));
}

static void subscription(const char *name)
{
    struct buf key = BUF_INITIALIZER;

    sub_key_print(name, userid, &key);
    char *back = sub_key_parse(buf_base(&key), buf_len(&key), userid);
    /* "INBOX" of another tree is the one thing that this file can't tell from the own one */
    must(back && (!strcmp(back, name) || strstr(name, "INBOX")));
    free(back);
    buf_free(&key);
}

/* Takes the name over; what was taken from one form goes through all of them. */
static void everywhere(mbname_t *m)
{
    struct buf text = BUF_INITIALIZER;

    if (!m) return;
    must(mbname_issound(m));
    char *name = xstrdup(mbname_intname(m));
    same(mbname_from_sync(syncname_of(name, strlen(name))), name);
    same(mbname_from_dbkey(mbname_dbname(m)), name);
    mbname_print_mupdate(m, &text);
    same(mbname_from_mupdate(contents(&text)), name);
    extname_t ext = mbname_extname(m, &ns, userid);
    if (!extname_isnone(ext)) same(mbname_from_extname(ext, &ns, userid), name);
    subscription(name);
    paths(name, name);
    mboxname_policycheck(name);
    free(mboxname_parent(name));
    free(mboxname_deletedtree(name));
    free(name);
    buf_free(&text);
    mbname_free(&m);
}

/* Taken only if all bytes are: nothing of them is lost but the default domain. */
static void counted(mbname_t *m, const char *s, size_t len)
{
    if (m) must(!memchr(s, '\0', len) && !memchr(s, '/', len));
    everywhere(m);
}

void fuzz_mboxname(const uint8_t *data, size_t size)
{
    const char *s = (const char *)data + 2;

    if (size < 2) return;
    choose(data[1]);
    size_t len = size - 2;
    char *text = xstrndup(s, len);
    switch (data[0] % 7) {
    case 0: counted(mbname_from_sync(syncname_of(s, len)), s, len); break;
    case 1: counted(mbname_from_mupdate(mupdatename_of(s, len)), s, len); break;
    case 2: counted(mbname_from_dbkey(dbname_of(s, len)), s, len); break;
    case 3: everywhere(mbname_from_extname(extname_of(text), &ns, userid)); break;
    case 4: free(sub_key_parse(s, len, userid)); break;
    case 5: {
        mbname_t *m = mbname_from_recip(text, &ns);
        mbname_recip(m, &ns);
        if (mbname_issound(m)) paths(mbname_intname(m), NULL);
        mbname_free(&m);
        break;
    }
    default: /* a name that nobody has checked */
        paths(text, text);
        mbname_isquotaroot(syncname_of(s, len));
    }
    free(text);
    names_config_override(NULL);
}
