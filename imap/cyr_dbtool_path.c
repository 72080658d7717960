/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyr_dbtool_path -- the file and backend that the server uses for a user, a mailbox, or for all
 *
 *     --user U        conversations, seen, sub, subhistory, counters
 *     --mailbox M     annotations
 *     (neither)       mailboxes, users, annotations, quota, deliver, tls_sessions, userdeny, statuscache
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "counters_codec.h"
#include "cyr_dbtool.h"
#include "diskio.h"
#include "exitcodes.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox_path.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "user.h"
#include "util.h"
#include "xmalloc.h"

struct known {
    const char *kind;
    enum imapopt backend;
    const char *always; /* no option chooses */
};

static const struct known of_user[] = { { "conversations", IMAPOPT_CONVERSATIONS_DB, NULL },
                                        { "seen", IMAPOPT_SEENSTATE_DB, NULL },
                                        { "sub", IMAPOPT_SUBSCRIPTION_DB, NULL },
                                        { "subhistory", IMAPOPT_ZERO, "twoskip" },
                                        { "counters", IMAPOPT_ZERO, NULL } };

static int user_file(struct dbtool *tool, const char *kind)
{
    struct user_meta *meta = NULL;

    for (size_t i = 0; i < array_size(of_user); i++) {
        if (strcmp(of_user[i].kind, kind)) continue;
        int r = user_meta_lookup_or_legacy(tool->userid, NULL, &meta);
        const char *path = r ? NULL : user_meta_path(meta, kind);
        if (path) tool->fname = tool->owned = xstrdup(path);
        tool->backend = of_user[i].backend ? config_getstring(of_user[i].backend)
                                             : of_user[i].always;
        user_meta_free(&meta);
        return r;
    }
    return IMAP_NOTFOUND;
}

static int mailbox_file(struct dbtool *tool, const char *kind)
{
    struct namespace ns;
    struct buf path = BUF_INITIALIZER;
    mbentry_t *entry = NULL;

    if (strcmp(kind, "annotations")) return IMAP_NOTFOUND;
    int r = mboxname_init_namespace(&ns, true);
    char *name = r ? NULL : mboxname_from_external(extname_of(tool->mailbox), &ns, NULL);
    if (!r) r = name ? mboxlist_lookup(name, &entry, NULL) : IMAP_MAILBOX_BADNAME;
    if (!r) {
        struct mailbox_place place = mailbox_place_of(entry);
        r = mailbox_path_meta(&place, META_ANNOTATIONS, &path);
    }
    if (!r) tool->fname = tool->owned = xstrdup(buf_cstring(&path));
    tool->backend = config_getstring(IMAPOPT_ANNOTATION_DB);
    mbentry_free(&entry);
    free(name);
    buf_free(&path);
    return r;
}

int dbtool_resolve(struct dbtool *tool, const char *kind)
{
    int r = tool->userid ? user_file(tool, kind) : mailbox_file(tool, kind);

    if (!r) return 0;
    fprintf(stderr, "%s of %s: %s\n", kind, tool->userid ? tool->userid : tool->mailbox,
            r == IMAP_NOTFOUND ? "no such database" : error_message(r));
    return r == IMAP_NOTFOUND ? EX_USAGE : EX_NOINPUT;
}

/* ---- counters, a file that is no database ---- */

static const char *const counter_names[CTR_NUMFIELDS] = {
    "highest",
    "mail",
    "caldav",
    "carddav",
    "notes",
    "mailfolders",
    "caldavfolders",
    "carddavfolders",
    "notesfolders",
    "quota",
    "racl",
    "submission",
    "submissionfolders",
    "maildeleted",
    "caldavdeleted",
    "carddavdeleted",
    "notesdeleted",
    "submissiondeleted",
    "mailfoldersdeleted",
    "caldavfoldersdeleted",
    "carddavfoldersdeleted",
    "notesfoldersdeleted",
    "submissionfoldersdeleted",
    "davnotification",
    "davnotificationdeleted",
    "davnotificationfolders",
    "davnotificationfoldersdeleted",
    "jmapnotification",
    "jmapnotificationdeleted",
    "jmapnotificationfolders",
    "jmapnotificationfoldersdeleted",
    "sieve",
    "sievedeleted",
    "sievefolders",
    "sievefoldersdeleted",
};

int dbtool_counters(const struct dbtool *tool, bool show)
{
    struct diskio_map map = DISKIO_MAP_INITIALIZER;
    struct counters c;

    int r = diskio_map_file(tool->fname, &map, NULL);
    if (r) {
        fprintf(stderr, "%s: %s\n", tool->fname, strerror(-r));
        return EX_NOINPUT;
    }
    r = counters_decode(&c, map.base ? map.base : "", map.len);
    if (!r && map.len < 8) r = IMAP_MAILBOX_BADFORMAT;
    if (r) fprintf(stderr, "%s: offset 0 to %zu: %s\n", tool->fname, map.len, error_message(r));
    if (!r && show) {
        printf("generation=%u\nuidvalidity=%u\n", c.generation, c.uidvalidity);
        for (size_t i = 0; i < CTR_NUMFIELDS; i++)
            printf("%s=%llu\n", counter_names[i], (unsigned long long)c.modseq[i]);
    }
    diskio_map_free(&map);
    return r ? 1 : 0;
}
