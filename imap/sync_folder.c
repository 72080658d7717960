/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_folder -- the state of one mailbox: text to struct and back
 *
 * The keys stand in one table, in the order of the wire. A row says where the
 * value lives, how it is written, who requires it, and when it is left out, so
 * reading and printing cannot drift apart.
 */
#include <config.h>

#include "sync_folder.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "dlist.h"
#include "imap_err.h"
#include "mailbox_index.h"
#include "mbtype.h"
#include "sync_name.h"
#include "xmalloc.h"

enum key_kind { KEY_TEXT, KEY_NAME, KEY_ROOT, KEY_NUM32, KEY_NUM64, KEY_DATE, KEY_MBTYPE, KEY_OPTIONS, KEY_ANNOTS };

#define REQ_ALWAYS 1u
#define REQ_APPLY 2u   /* APPLY MAILBOX, not for intermediates and tombstones */
#define REQ_ANSWER 4u  /* answers */
#define OMIT_EMPTY 8u  /* not printed when 0 or NULL */
#define OMIT_SHORT 16u /* not printed for an intermediate */
#define ONLY_SINCE 32u /* printed with since_modseq only */

static const struct key {
    const char *name;
    enum key_kind kind;
    unsigned flags;
    size_t at;
} keys[] = {
#define AT(member) offsetof(struct sync_folder, member)
    { "UNIQUEID", KEY_TEXT, REQ_ALWAYS, AT(uniqueid) },
    { "MBOXNAME", KEY_NAME, REQ_ALWAYS, AT(name) },
    { "MBOXTYPE", KEY_MBTYPE, OMIT_EMPTY, AT(mbtype) },
    { "SYNC_CRC", KEY_NUM32, 0, AT(crc_basic) },
    { "SYNC_CRC_ANNOT", KEY_NUM32, OMIT_SHORT, AT(crc_annot) },
    { "LAST_UID", KEY_NUM32, REQ_APPLY | REQ_ANSWER, AT(last_uid) },
    { "HIGHESTMODSEQ", KEY_NUM64, REQ_ALWAYS, AT(highestmodseq) },
    { "RECENTUID", KEY_NUM32, REQ_APPLY | REQ_ANSWER, AT(recentuid) },
    { "RECENTTIME", KEY_DATE, REQ_APPLY | REQ_ANSWER, AT(recenttime) },
    { "LAST_APPENDDATE", KEY_DATE, REQ_APPLY, AT(last_appenddate) },
    { "POP3_LAST_LOGIN", KEY_DATE, REQ_APPLY | REQ_ANSWER, AT(pop3_last_login) },
    { "POP3_SHOW_AFTER", KEY_DATE, 0, AT(pop3_show_after) },
    { "XCONVMODSEQ", KEY_NUM64, OMIT_EMPTY, AT(xconvmodseq) },
    { "RACLMODSEQ", KEY_NUM64, OMIT_EMPTY, AT(raclmodseq) },
    { "UIDVALIDITY", KEY_NUM32, REQ_APPLY | REQ_ANSWER, AT(uidvalidity) },
    { "PARTITION", KEY_TEXT, REQ_APPLY, AT(partition) },
    { "ACL", KEY_TEXT, REQ_APPLY | REQ_ANSWER, AT(acl) },
    { "OPTIONS", KEY_OPTIONS, REQ_APPLY | REQ_ANSWER, AT(options) },
    { "QUOTAROOT", KEY_ROOT, OMIT_EMPTY, AT(quotaroot) },
    { "CREATEDMODSEQ", KEY_NUM64, OMIT_EMPTY, AT(createdmodseq) },
    { "FOLDERMODSEQ", KEY_NUM64, OMIT_EMPTY, AT(foldermodseq) },
    { "ANNOTATIONS", KEY_ANNOTS, 0, AT(annots) },
    { "REPLACES", KEY_TEXT, OMIT_EMPTY, AT(replaces) },
    { "SINCE_MODSEQ", KEY_NUM64, ONLY_SINCE, AT(since_modseq) },
    { "SINCE_CRC", KEY_NUM32, ONLY_SINCE, AT(since_crc) },
    { "SINCE_CRC_ANNOT", KEY_NUM32, ONLY_SINCE, AT(since_crc_annot) },
#undef AT
};

void sync_folder_fini(struct sync_folder *folder)
{
    free(folder->uniqueid);
    free(folder->name);
    free(folder->partition);
    free(folder->acl);
    free(folder->quotaroot);
    free(folder->replaces);
    sync_annots_fini(&folder->annots);
    memset(folder, 0, sizeof(*folder));
}

/* ---- reading ---- */

/* false: the key is missing or has no such value. */
static bool key_read(const struct dlist *kl, const struct key *key, struct sync_folder *out)
{
    void *at = (char *)out + key->at;
    const char *text;
    struct dlist *list;

    switch (key->kind) {
    case KEY_NUM32: return dlist_getnum32(kl, key->name, at);
    case KEY_NUM64: return dlist_getnum64(kl, key->name, at);
    case KEY_DATE: return dlist_getdate(kl, key->name, at);
    case KEY_TEXT:
        if (!dlist_getatom(kl, key->name, &text)) return false;
        *(char **)at = xstrdup(text);
        return true;
    case KEY_NAME:
        if (!sync_getname(kl, key->name, &text)) return false;
        *(char **)at = xstrdup(text);
        return true;
    case KEY_ROOT: /* "": none */
        if (!(dlist_getatom(kl, key->name, &text) && !*text) && !sync_getroot(kl, key->name, &text)) return false;
        *(char **)at = xstrdup(text);
        return true;
    case KEY_OPTIONS:
        if (!dlist_getatom(kl, key->name, &text)) return false;
        out->options = mailbox_options_from_string(text) & SYNC_FOLDER_OPTIONS;
        return true;
    case KEY_MBTYPE:
        return dlist_getatom(kl, key->name, &text) && !mbtype_from_string(text, &out->mbtype);
    case KEY_ANNOTS:
        return dlist_getlist(kl, key->name, &list) && !sync_annots_parse(list, &out->annots, NULL);
    }
    return false;
}

static bool key_required(const struct key *key, bool forapply, bool plain)
{
    if (key->flags & REQ_ALWAYS) return true;
    return forapply ? plain && (key->flags & REQ_APPLY) : (key->flags & REQ_ANSWER) != 0;
}

int sync_folder_parse(const struct dlist *kl, bool forapply, struct sync_folder *out)
{
    bool missing[sizeof(keys) / sizeof(*keys)];
    struct dlist *records = NULL;

    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        missing[i] = !key_read(kl, &keys[i], out);
    if (dlist_getlist(kl, "RECORD", &records)) out->records = records;

    bool plain = sync_folder_is_plain(out);
    bool bad = forapply && plain && !records;
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        if (!missing[i]) continue;
        /* a value that is there must make sense, or it would be taken for "none" */
        bool present = !dlist_isnil(dlist_getchild(kl, keys[i].name));
        if (present || key_required(&keys[i], forapply, plain)) bad = true;
    }
    out->has_crc_annot = dlist_getchild(kl, "SYNC_CRC_ANNOT") != NULL;
    out->mbtype &= ~(uint32_t)MBTYPE_LEGACY_DIRS;
    if (!bad) return 0;
    sync_folder_fini(out);
    return IMAP_PROTOCOL_BAD_PARAMETERS;
}

/* ---- printing ---- */

static void text_print(struct dlist *kl, const struct key *key, const char *text)
{
    if (!text && (key->flags & OMIT_EMPTY)) return;
    dlist_setatom(kl, key->name, text);
}

static void num_print(struct dlist *kl, const struct key *key, uint64_t num)
{
    if (!num && (key->flags & OMIT_EMPTY)) return;
    dlist_setnum64(kl, key->name, num);
}

static void key_print(struct dlist *kl, const struct key *key, const struct sync_folder *folder)
{
    const void *at = (const char *)folder + key->at;
    char type[MBTYPE_STRING_MAX], options[OPTIONS_STRING_MAX];

    switch (key->kind) {
    case KEY_NUM32: num_print(kl, key, *(const uint32_t *)at); break;
    case KEY_NUM64: num_print(kl, key, *(const uint64_t *)at); break;
    case KEY_DATE: num_print(kl, key, (uint64_t) * (const time_t *)at); break;
    case KEY_TEXT:
    case KEY_NAME:
    case KEY_ROOT: text_print(kl, key, *(char *const *)at); break;
    case KEY_MBTYPE:
        if (folder->mbtype) dlist_setatom(kl, key->name, mbtype_to_string(folder->mbtype, type));
        break;
    case KEY_OPTIONS:
        dlist_setatom(kl, key->name, mailbox_options_to_string(folder->options, options));
        break;
    case KEY_ANNOTS: sync_annots_print(&folder->annots, NULL, 0, kl); break;
    }
}

struct dlist *sync_folder_print(const struct sync_folder *folder, const char *name)
{
    struct dlist *kl = dlist_newkvlist(NULL, name);

    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        if ((keys[i].flags & OMIT_SHORT) && !sync_folder_is_plain(folder)) continue;
        if ((keys[i].flags & ONLY_SINCE) && !folder->since_modseq) continue;
        key_print(kl, &keys[i], folder);
    }
    return kl;
}
