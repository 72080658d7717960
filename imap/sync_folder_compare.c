/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_folder_compare -- is a mailbox the same on both ends?
 *
 * One table of what counts, used to decide whether an update is needed and to name what is left
 * (handbook 03 §10.5 step 5). LAST_APPENDDATE, CREATEDMODSEQ, PARTITION and QUOTAROOT may differ.
 */
#include <config.h>

#include "sync_folder.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "imapopts.h"
#include "libconfig.h"
#include "sync_crc.h"
#include "util.h"

/* ---- values ---- */

enum kind { KIND_U32, KIND_U64, KIND_TIME, KIND_TEXT };

/* A number of the modseq kind counts only where both ends, or theirs, have told it. */
enum when { WHEN_ALWAYS, WHEN_TOLD_BY_THEM, WHEN_TOLD_BY_BOTH };

static const struct field {
    const char *name;
    enum kind kind;
    size_t offset;
    enum when when;
    enum imapopt option; /* compared only when this switch is on; IMAPOPT_ZERO: always */
} fields[] = {
    { "MBOXTYPE", KIND_U32, offsetof(struct sync_folder, mbtype), WHEN_ALWAYS, IMAPOPT_ZERO },
    { "LAST_UID", KIND_U32, offsetof(struct sync_folder, last_uid), WHEN_ALWAYS, IMAPOPT_ZERO },
    { "HIGHESTMODSEQ", KIND_U64, offsetof(struct sync_folder, highestmodseq), WHEN_ALWAYS,
      IMAPOPT_ZERO },
    { "UIDVALIDITY", KIND_U32, offsetof(struct sync_folder, uidvalidity), WHEN_ALWAYS,
      IMAPOPT_ZERO },
    { "RECENTUID", KIND_U32, offsetof(struct sync_folder, recentuid), WHEN_ALWAYS, IMAPOPT_ZERO },
    { "RECENTTIME", KIND_TIME, offsetof(struct sync_folder, recenttime), WHEN_ALWAYS,
      IMAPOPT_ZERO },
    { "POP3_LAST_LOGIN", KIND_TIME, offsetof(struct sync_folder, pop3_last_login), WHEN_ALWAYS,
      IMAPOPT_ZERO },
    { "POP3_SHOW_AFTER", KIND_TIME, offsetof(struct sync_folder, pop3_show_after), WHEN_ALWAYS,
      IMAPOPT_ZERO },
    { "OPTIONS", KIND_U32, offsetof(struct sync_folder, options), WHEN_ALWAYS, IMAPOPT_ZERO },
    { "FOLDERMODSEQ", KIND_U64, offsetof(struct sync_folder, foldermodseq), WHEN_TOLD_BY_THEM,
      IMAPOPT_ZERO },
    { "ACL", KIND_TEXT, offsetof(struct sync_folder, acl), WHEN_ALWAYS, IMAPOPT_ZERO },
    { "RACLMODSEQ", KIND_U64, offsetof(struct sync_folder, raclmodseq), WHEN_TOLD_BY_BOTH,
      IMAPOPT_REVERSEACLS },
    { "XCONVMODSEQ", KIND_U64, offsetof(struct sync_folder, xconvmodseq), WHEN_ALWAYS,
      IMAPOPT_CONVERSATIONS },
};

static uint64_t number(const struct field *f, const struct sync_folder *folder)
{
    const char *p = (const char *)folder + f->offset;

    switch (f->kind) {
    case KIND_U32: return *(const uint32_t *)(const void *)p;
    case KIND_U64: return *(const uint64_t *)(const void *)p;
    case KIND_TIME: return (uint64_t) * (const time_t *)(const void *)p;
    case KIND_TEXT: break;
    }
    return 0;
}

static const char *value(const struct field *f, const struct sync_folder *folder, struct buf *text)
{
    buf_reset(text);
    if (f->kind == KIND_TEXT) {
        const char *s = *(char *const *)(const void *)((const char *)folder + f->offset);
        buf_setcstr(text, s ? s : "");
        for (size_t i = 0; i < buf_len(text); i++)
            if (text->s[i] == '\t') text->s[i] = ' ';
    }
    else {
        buf_printf(text, "%" PRIu64, number(f, folder));
    }
    return buf_cstring(text);
}

/* ---- comparing ---- */

static bool counts(const struct field *f, const struct sync_folder *ours,
                   const struct sync_folder *theirs)
{
    if (f->option != IMAPOPT_ZERO && !config_getswitch(f->option)) return false;
    if (f->when != WHEN_ALWAYS && !number(f, theirs)) return false;
    return f->when != WHEN_TOLD_BY_BOTH || number(f, ours);
}

static bool equal(const struct field *f, const struct sync_folder *ours,
                  const struct sync_folder *theirs)
{
    if (f->kind != KIND_TEXT) return number(f, ours) == number(f, theirs);
    const char *a = *(char *const *)(const void *)((const char *)ours + f->offset);
    const char *b = *(char *const *)(const void *)((const char *)theirs + f->offset);
    return !strcmp(a ? a : "", b ? b : "");
}

bool sync_folder_same(const struct sync_folder *ours, const struct sync_folder *theirs,
                      sync_folder_differ *fn, void *rock)
{
    struct buf a = BUF_INITIALIZER, b = BUF_INITIALIZER;
    bool same = true;

    for (size_t i = 0; i < array_size(fields) && (same || fn); i++) {
        const struct field *f = &fields[i];
        if (!counts(f, ours, theirs) || equal(f, ours, theirs)) continue;
        same = false;
        if (fn) fn(f->name, value(f, ours, &a), value(f, theirs, &b), rock);
    }
    if ((same || fn) && !sync_annots_equal(&ours->annots, &theirs->annots)) {
        same = false;
        if (fn) fn("ANNOTATIONS", "", "", rock);
    }
    buf_free(&a);
    buf_free(&b);
    return same;
}

bool sync_folder_same_crcs(const struct sync_folder *ours, const struct sync_folder *theirs)
{
    return sync_crc_equal(ours->crc_basic, theirs->crc_basic) &&
           (!theirs->has_crc_annot || sync_crc_equal(ours->crc_annot, theirs->crc_annot));
}
