/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_replication_sync -- what only the sync protocol tells (handbook 03 §4)
 *
 * Lines are "NAME %(KEY value ...)", read as IMAP values: "%" is an atom before the list. They
 * bring what no IMAP command has (types, options, partitions, others' seen state, Sieve scripts),
 * and the records of mailboxes that no session can examine: deleted ones, and those that are not mail.
 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "check_replication_ask.h"
#include "imap_err.h"
#include "mbtype.h"
#include "util.h"
#include "xmalloc.h"

static bool is_list(const struct dlist *item)
{
    return item && item->type == DL_LIST;
}

/* The list of "NAME %(KEY value ...)"; NULL. */
static const struct dlist *pairs_of(const struct dlist *response)
{
    const struct dlist *list = dlist_getchildn(response, 2);

    return is_list(list) ? list : NULL;
}

/* The text of a key; "" for a number that is 0 or a key that is missing. */
static const char *text_of(const struct dlist *list, const char *key)
{
    const char *value = "";

    if (!list || !dlist_toatom(check_find_item(list, key), &value)) return "";
    return value;
}

bool check_parse_seen(struct check_user *user, const struct dlist *response)
{
    const struct dlist *list = pairs_of(response);
    const char *id = text_of(list, "UNIQUEID");

    if (!*id) return false;
    char *value = xasprintf("%s up to %s", text_of(list, "SEENUIDS"), text_of(list, "LASTUID"));
    check_pairs_add(&user->reads, id, value);
    free(value);
    return true;
}

/* The active script has a second line, whose name ends in ".bc". */
bool check_parse_sieve(struct check_user *user, const struct dlist *response)
{
    const struct dlist *list = pairs_of(response);
    const char *name = text_of(list, "FILENAME");
    bool active = !strcmp(text_of(list, "ISACTIVE"), "1");

    if (!*name) return false;
    check_pairs_add(&user->scripts, name, active ? "active" : text_of(list, "GUID"));
    return true;
}

/* ---- mailboxes ---- */

/* "user/anna/Work" of an internal name; in names with '/' a '^' stands for the '.' of the client. */
static char *canonical_of_internal(const char *name, char sep)
{
    const char *rest = strchr(name, '!');
    char *canonical = rest ? xasprintf("%s@%.*s", rest + 1, (int)(rest - name), name) : xstrdup(name);
    char *end = rest ? strrchr(canonical, '@') : canonical + strlen(canonical);

    for (char *p = canonical; p < end; p++) {
        if (*p == '.')
            *p = '/';
        else if (*p == '^' && sep == '/')
            *p = '.';
    }
    return canonical;
}

static struct check_mailbox *find_internal(const struct check_user *user, char sep, const char *name)
{
    char *canonical = canonical_of_internal(name, sep);
    struct check_mailbox *mbox = check_user_find(user, canonical);

    free(canonical);
    return mbox;
}

static const struct {
    const char *key, *field;
} compared_keys[] = {
    { "OPTIONS", "options" },
    { "FOLDERMODSEQ", "FOLDERMODSEQ" },
    { "POP3_SHOW_AFTER", "POP3_SHOW_AFTER" },
};

/* Where its files lie is each server's own business, so the type is told without it. */
static bool take_type(struct check_mailbox *mbox, const char *text)
{
    uint32_t mbtype;
    char name[MBTYPE_STRING_MAX];

    if (mbtype_from_string(text, &mbtype)) return false;
    if (mbtype_isa(mbtype) != MBTYPE_EMAIL) mbox->sealed = true;
    check_pairs_add(&mbox->sync, "type", mbtype_to_string(mbtype & ~(uint32_t)MBTYPE_LEGACY_DIRS, name));
    return true;
}

bool check_parse_syncmailbox(struct check_user *user, char sep, const struct dlist *response)
{
    const struct dlist *list = pairs_of(response);
    const char *name = text_of(list, "MBOXNAME");

    if (!*name) return false;
    struct check_mailbox *mbox = find_internal(user, sep, name);
    /* an intermediate name has no UIDVALIDITY, and no mailbox */
    if (!mbox || !*text_of(list, "UIDVALIDITY")) return true;
    if (mbox->intname) return false; /* told twice */
    mbox->intname = xstrdup(name);
    mbox->partition = xstrdup(text_of(list, "PARTITION"));
    if (!*mbox->uniqueid) {
        free(mbox->uniqueid);
        mbox->uniqueid = xstrdup(text_of(list, "UNIQUEID"));
    }
    for (size_t i = 0; i < array_size(compared_keys); i++)
        check_pairs_add(&mbox->sync, compared_keys[i].field, text_of(list, compared_keys[i].key));
    return take_type(mbox, text_of(list, "MBOXTYPE"));
}

/* NAMES %(UNIQUEID id MBOXNAME name HISTORY (older oldest)) */
bool check_parse_names(struct check_user *user, char sep, const struct dlist *response)
{
    const struct dlist *list = pairs_of(response), *history;
    struct buf text = BUF_INITIALIZER;
    const char *name;

    if (!list || !is_list(history = check_find_item(list, "HISTORY"))) return false;
    struct check_mailbox *mbox = find_internal(user, sep, text_of(list, "MBOXNAME"));
    if (!mbox) return true; /* none that is compared */
    for (const struct dlist *item = history->head; item; item = item->next)
        if (dlist_toatom(item, &name)) buf_printf(&text, "%s%s", text.len ? " " : "", name);
    free(mbox->history);
    mbox->history = buf_release(&text);
    return true;
}

static bool take_record(struct check_mailbox *mbox, const struct dlist *list)
{
    const struct dlist *flags = check_find_item(list, "FLAGS");
    const char *flag;
    uint64_t date;

    for (const struct dlist *item = is_list(flags) ? flags->head : NULL; item; item = item->next)
        if (dlist_toatom(item, &flag) && !cyr_strcasecmp(flag, "\\Expunged")) return true;

    struct check_message *m = check_mailbox_addmessage(mbox, 0);
    struct index_record *rec = &m->rec;
    m->flags = xstrdup("");
    m->annotations = xstrdup("");
    mbox->exists++;
    if (!dlist_tonum32(check_find_item(list, "UID"), &rec->uid) ||
        !dlist_tonum64(check_find_item(list, "MODSEQ"), &rec->modseq) ||
        !dlist_tonum64(check_find_item(list, "INTERNALDATE"), &date) ||
        !dlist_tonum32(check_find_item(list, "SIZE"), &rec->size) ||
        !dlist_toguid(check_find_item(list, "GUID"), &rec->guid) || !check_parse_flags(m, flags))
        return false;
    rec->internaldate = (time_t)date;
    return rec->uid != 0;
}

bool check_parse_fullmailbox(struct check_mailbox *mbox, const struct dlist *response)
{
    const struct dlist *list = pairs_of(response), *records;
    uint32_t last;

    if (!list || !dlist_tonum32(check_find_item(list, "UIDVALIDITY"), &mbox->uidvalidity) ||
        !dlist_tonum32(check_find_item(list, "LAST_UID"), &last) ||
        !dlist_tonum64(check_find_item(list, "HIGHESTMODSEQ"), &mbox->highestmodseq) ||
        !is_list(records = check_find_item(list, "RECORD")))
        return false;
    mbox->uidnext = last + 1;
    for (const struct dlist *item = records->head; item; item = item->next)
        if (is_list(item) && !take_record(mbox, item)) return false;
    return true;
}

/* ---- asking ---- */

static void take_seen(struct check_ask *ask, const struct dlist *response, const char *line)
{
    (void)line;
    if (!check_parse_seen(ask->user, response)) ask->bad = true;
}

static void take_sieve(struct check_ask *ask, const struct dlist *response, const char *line)
{
    (void)line;
    if (!check_parse_sieve(ask->user, response)) ask->bad = true;
}

static void take_mailbox(struct check_ask *ask, const struct dlist *response, const char *line)
{
    (void)line;
    if (!check_parse_syncmailbox(ask->user, ask->end->admin_names.sep, response)) ask->bad = true;
}

static void take_names(struct check_ask *ask, const struct dlist *response, const char *line)
{
    (void)line;
    if (!check_parse_names(ask->user, ask->end->admin_names.sep, response)) ask->bad = true;
}

int check_fetch_sync(struct check_end *end, struct check_user *user)
{
    static const struct check_take facts[] = { { "MAILBOX", take_mailbox },
                                               { "SEEN", take_seen },
                                               { "SIEVE", take_sieve },
                                               { NULL, NULL } };
    static const struct check_take names[] = { { "NAMES", take_names }, { NULL, NULL } };
    struct check_ask ask = { .end = end, .user = user };
    int r = 0;

    if (end->facts & CHECK_FACT_BIT(CHECK_FACT_META))
        r = check_ask_mailbox(&ask, end->admin, "SYNCGET USER", user->userid, "", facts);
    if (!r && (end->facts & CHECK_FACT_BIT(CHECK_FACT_HISTORY)))
        r = check_ask_mailbox(&ask, end->admin, "SYNCGET NAMES", user->userid, "", names);
    return r;
}

static void take_full(struct check_ask *ask, const struct dlist *response, const char *line)
{
    (void)line;
    if (!check_parse_fullmailbox(ask->mbox, response)) ask->bad = true;
}

int check_fetch_full(struct check_end *end, struct check_mailbox *mbox)
{
    static const struct check_take takes[] = { { "MAILBOX", take_full }, { NULL, NULL } };
    struct check_ask ask = { .end = end, .mbox = mbox };

    check_mailbox_dropmessages(mbox);
    mbox->exists = 0;
    mbox->opened = false;
    if (!mbox->intname) return 0; /* the server does not speak the protocol */
    int r = check_ask_mailbox(&ask, end->admin, "SYNCGET FULLMAILBOX", mbox->intname, "", takes);
    mbox->opened = mbox->whole = !r;
    return r;
}
