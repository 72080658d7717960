/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * counters_codec -- the bytes of a user's counters file, and how its numbers move
 *
 * The file grew from version to version at its end: a version is how many of the
 * 64-bit fields it has. After them come uidvalidity and the CRC of all before it.
 * An error (length, version, CRC) leaves *c all zero; the caller must not write
 * such a file again (handbook 01 §7.3).
 */
#include <config.h>

#include "counters_codec.h"

#include <string.h>

#include "crc32.h"
#include "imap_err.h"
#include "mboxname.h"
#include "mbtype.h"
#include "names_config.h"

#define FIELDS_AT 8

/* By version: bytes of the file, and how many fields may be read. */
static const struct {
    size_t size;
    int fields;
} versions[] = {
    { 48, CTR_CARDDAV + 1 },
    { 56, CTR_NOTES + 1 },
    { 64, CTR_NOTES + 1 }, /* 3.6.1 reads the mail folders field of this version wrongly, as 0 */
    { 88, CTR_NOTESFOLDERS + 1 },
    { 104, CTR_RACL + 1 },
    { 120, CTR_SUBMISSIONFOLDERS + 1 },
    { 200, CTR_SUBMISSIONFOLDERSDELETED + 1 },
    { 232, CTR_DAVNOTIFICATIONFOLDERSDELETED + 1 },
    { 264, CTR_JMAPNOTIFICATIONFOLDERSDELETED + 1 },
    { COUNTERS_SIZE, CTR_NUMFIELDS },
};

int counters_decode(struct counters *c, const char *base, size_t len)
{
    memset(c, 0, sizeof(*c));
    if (len < 8) return 0;

    uint32_t version = len == versions[0].size ? 0 : get_be32(base + 4);
    if (version >= array_size(versions) || versions[version].size != len)
        return IMAP_MAILBOX_BADFORMAT;
    if (crc32_map(base, len - 4) != get_be32(base + len - 4)) return IMAP_MAILBOX_CHECKSUM;

    c->generation = get_be32(base);
    for (int i = 0; i < versions[version].fields; i++)
        c->modseq[i] = get_be64(base + FIELDS_AT + 8 * i);
    c->uidvalidity = get_be32(base + len - 8);
    return 0;
}

void counters_encode(const struct counters *c, char out[COUNTERS_SIZE])
{
    put_be32(out, c->generation);
    put_be32(out + 4, COUNTERS_VERSION);
    for (int i = 0; i < CTR_NUMFIELDS; i++) put_be64(out + FIELDS_AT + 8 * i, c->modseq[i]);
    put_be32(out + COUNTERS_SIZE - 8, c->uidvalidity);
    put_be32(out + COUNTERS_SIZE - 4, crc32_map(out, COUNTERS_SIZE - 4));
}

/* ---- which fields a change moves ---- */

static const struct {
    enum counters_field items, deleted, folders, foldersdeleted;
} fields_of[] = {
    [CTRKIND_MAIL] = { CTR_MAIL, CTR_MAILDELETED, CTR_MAILFOLDERS, CTR_MAILFOLDERSDELETED },
    [CTRKIND_CALDAV] = { CTR_CALDAV, CTR_CALDAVDELETED, CTR_CALDAVFOLDERS,
                         CTR_CALDAVFOLDERSDELETED },
    [CTRKIND_CARDDAV] = { CTR_CARDDAV, CTR_CARDDAVDELETED, CTR_CARDDAVFOLDERS,
                          CTR_CARDDAVFOLDERSDELETED },
    [CTRKIND_NOTES] = { CTR_NOTES, CTR_NOTESDELETED, CTR_NOTESFOLDERS, CTR_NOTESFOLDERSDELETED },
    [CTRKIND_SUBMISSION] = { CTR_SUBMISSION, CTR_SUBMISSIONDELETED, CTR_SUBMISSIONFOLDERS,
                             CTR_SUBMISSIONFOLDERSDELETED },
    [CTRKIND_DAVNOTIFICATION] = { CTR_DAVNOTIFICATION, CTR_DAVNOTIFICATIONDELETED,
                                  CTR_DAVNOTIFICATIONFOLDERS, CTR_DAVNOTIFICATIONFOLDERSDELETED },
    [CTRKIND_JMAPNOTIFICATION] = { CTR_JMAPNOTIFICATION, CTR_JMAPNOTIFICATIONDELETED,
                                   CTR_JMAPNOTIFICATIONFOLDERS,
                                   CTR_JMAPNOTIFICATIONFOLDERSDELETED },
    [CTRKIND_SIEVE] = { CTR_SIEVE, CTR_SIEVEDELETED, CTR_SIEVEFOLDERS, CTR_SIEVEFOLDERSDELETED },
};

enum counters_kind counters_kind_of(const char *mboxname, uint32_t mbtype)
{
    struct names_config cfg;

    /* a collection counts as a notification folder by its type, but #drive and #jmap by name as
     * mail (seen with 3.6.1) */
    if (mboxname_isspecialfolder(mboxname, mbtype, MBTYPE_CALENDAR)) return CTRKIND_CALDAV;
    if (mboxname_isspecialfolder(mboxname, mbtype, MBTYPE_ADDRESSBOOK)) return CTRKIND_CARDDAV;
    if (mboxname_isspecialfolder(mboxname, mbtype, MBTYPE_JMAPSUBMIT)) return CTRKIND_SUBMISSION;
    if (mboxname_isspecialfolder(mboxname, mbtype, MBTYPE_SIEVE)) return CTRKIND_SIEVE;
    if (mbtype_isa(mbtype) == MBTYPE_COLLECTION) return CTRKIND_DAVNOTIFICATION;
    names_config_get(&cfg);
    if (mboxname_firstbox_is(mboxname, cfg.davnotificationsprefix)) return CTRKIND_DAVNOTIFICATION;
    if (mboxname_firstbox_is(mboxname, cfg.notesmailbox)) return CTRKIND_NOTES;
    return CTRKIND_MAIL;
}

/* Fields beside "highest"; how many (one or two). */
static int touched(enum counters_kind kind, unsigned flags, enum counters_field out[2])
{
    int n = 0;

    if (flags & (COUNTER_QUOTA | COUNTER_RACL)) {
        out[n++] = flags & COUNTER_QUOTA ? CTR_QUOTA : CTR_RACL;
        return n;
    }
    bool deleted = flags & COUNTER_DELETED;
    out[n++] = deleted ? fields_of[kind].deleted : fields_of[kind].items;
    if (flags & COUNTER_FOLDER)
        out[n++] = deleted ? fields_of[kind].foldersdeleted : fields_of[kind].folders;
    return n;
}

static bool raise_field(struct counters *c, enum counters_field f, modseq_t atleast)
{
    if (c->modseq[f] >= atleast) return false;
    c->modseq[f] = atleast;
    return true;
}

bool counters_raise(struct counters *c, enum counters_kind kind, unsigned flags, modseq_t last)
{
    enum counters_field f[2];
    int n = touched(kind, flags, f);
    bool changed = raise_field(c, CTR_HIGHEST, last);

    for (int i = 0; i < n; i++) changed |= raise_field(c, f[i], last);
    return changed;
}

modseq_t counters_advance(struct counters *c, enum counters_kind kind, unsigned flags,
                          modseq_t last)
{
    enum counters_field f[2];
    int n = touched(kind, flags, f);

    counters_raise(c, kind, flags, last);
    c->modseq[CTR_HIGHEST]++;
    for (int i = 0; i < n; i++) c->modseq[f[i]] = c->modseq[CTR_HIGHEST];
    return c->modseq[CTR_HIGHEST];
}

uint32_t counters_advance_uidvalidity(struct counters *c, uint32_t last)
{
    c->uidvalidity = cyr_max(c->uidvalidity, last) + 1;
    return c->uidvalidity;
}

bool counters_raise_uidvalidity(struct counters *c, uint32_t atleast)
{
    if (c->uidvalidity >= atleast) return false;
    c->uidvalidity = atleast;
    return true;
}
