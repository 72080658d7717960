/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyr_dbtool_decode -- records of the databases that are known, in a form to read
 *
 * One line a record: what it is of, then WORD=VALUE parts. Times are UTC. Bytes that are no printable ASCII are
 * written as \xNN. The codecs are those of the server, so what is told to be no record is none to the server either.
 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "annotation_codec.h"
#include "buf.h"
#include "conv_codec.h"
#include "counters_codec.h"
#include "cyr_dbtool.h"
#include "duplicate.h"
#include "imap_err.h"
#include "mbentry.h"
#include "quota_codec.h"
#include "seen_codec.h"
#include "sub_codec.h"
#include "sub_entry.h"
#include "times.h"
#include "user_codec.h"
#include "util.h"
#include "xmalloc.h"

struct record {
    const char *key, *val;
    size_t keylen, vallen;
    const char *userid; /* NULL: not known */
};

/* ---- text ---- */

static void put_text(struct buf *out, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (s[i] >= ' ' && s[i] < 0x7f && s[i] != '\\')
            buf_putc(out, s[i]);
        else
            buf_printf(out, "\\x%02X", (unsigned char)s[i]);
    }
}

static void put_word(struct buf *out, const char *word, const char *value)
{
    if (!value) return;
    buf_printf(out, " %s=", word);
    put_text(out, value, strlen(value));
}

static void put_number(struct buf *out, const char *word, uint64_t n)
{
    buf_printf(out, " %s=%" PRIu64, word, n);
}

static void put_time(struct buf *out, const char *word, time_t t)
{
    char text[64];

    time_to_rfc3339(t, text, sizeof(text));
    buf_printf(out, " %s=%s", word, text);
}

/* ---- mailboxes.db ---- */

static void put_entry(const mbentry_t *entry, struct buf *out)
{
    char type[MBTYPE_STRING_MAX];

    put_word(out, "name", entry->name);
    put_word(out, "type", mbtype_to_string(entry->mbtype, type));
    put_word(out, "uniqueid", entry->uniqueid);
    put_word(out, "server", entry->server);
    put_word(out, "partition", entry->partition);
    put_word(out, "acl", entry->acl);
    put_number(out, "uidvalidity", entry->uidvalidity);
    put_number(out, "createdmodseq", entry->createdmodseq);
    put_number(out, "foldermodseq", entry->foldermodseq);
    put_time(out, "mtime", entry->mtime);
    for (size_t i = 0; i < entry->nhistory; i++) put_word(out, "former", entry->history[i].name);
}

static int decode_mailbox(const struct record *rec, struct buf *out)
{
    mbentry_t *entry = NULL;
    char kind = rec->key[0];
    int r;

    if (kind == 'A' && rec->keylen >= 3 && rec->key[2] == '\x1e') {
        buf_appendcstr(out, "racl ");
        put_text(out, rec->key, rec->keylen);
        put_word(out, "rights", "");
        put_text(out, rec->val, rec->vallen);
        return 0;
    }
    if (kind == 'N')
        r = mbentry_parse_n(dbname_of(rec->key + 1, rec->keylen - 1), rec->val, rec->vallen, &entry);
    else if (kind == 'I')
        r = mbentry_parse_i(rec->key + 1, rec->keylen - 1, rec->val, rec->vallen, &entry);
    else
        r = mbentry_parse_old(syncname_of(rec->key, rec->keylen), rec->val, rec->vallen, &entry);
    if (r) return r;
    buf_appendcstr(out, kind == 'I' ? "identity" : "mailbox");
    put_entry(entry, out);
    mbentry_free(&entry);
    return 0;
}

/* ---- conversations ---- */

static int put_conversation(const struct record *rec, struct buf *out)
{
    struct conversation *conv = NULL;

    int r = conv_record_parse(rec->val, rec->vallen, &conv);
    if (r) return r;
    buf_appendcstr(out, "conversation ");
    put_text(out, rec->key + 1, rec->keylen - 1);
    put_number(out, "modseq", conv->modseq);
    put_number(out, "records", conv->num_records);
    put_number(out, "exists", conv->exists);
    put_number(out, "unseen", conv->unseen);
    put_number(out, "size", conv->size);
    put_word(out, "subject", conv->subject);
    for (size_t i = 0; i < conv->nfolders; i++)
        buf_printf(out, " folder%" PRIu32 "=%" PRIu32 "/%" PRIu32, conv->folders[i].number,
                   conv->folders[i].exists, conv->folders[i].unseen);
    conversation_free(&conv);
    return 0;
}

static int put_guidrec(const struct conv_guidrec *g, void *rock)
{
    struct buf *out = rock;
    char guid[MESSAGE_GUID_STRLEN], cid[CONV_ID_STRLEN];

    buf_printf(out, "guid %s", message_guid_encode(&g->guid, guid));
    put_number(out, "folder", g->foldernum);
    put_number(out, "uid", g->uid);
    if (*g->part) put_word(out, "part", g->part);
    put_word(out, "cid", conversation_id_encode(g->cid, cid));
    buf_printf(out, " flags=%08" PRIx32 "/%08" PRIx32, g->system_flags, g->internal_flags);
    put_time(out, "internaldate", g->internaldate);
    return 0;
}

static int put_guid(const struct record *rec, struct buf *out)
{
    struct conv_guidrec g;

    if (conv_guidrec_key_isold(rec->key, rec->keylen))
        return conv_guidrec_parse_old(rec->key, rec->keylen, rec->val, rec->vallen, put_guidrec,
                                      out);
    int r = conv_guidrec_parse(rec->key, rec->keylen, rec->val, rec->vallen, &g);
    return r ? r : put_guidrec(&g, out);
}

static int put_status(const struct record *rec, struct buf *out)
{
    struct conv_status s;

    int r = conv_status_parse(rec->val, rec->vallen, &s);
    if (r) return r;
    buf_appendcstr(out, "folder ");
    put_text(out, rec->key + 1, rec->keylen - 1);
    put_number(out, "modseq", s.threadmodseq);
    buf_printf(out, " threads=%" PRIu32 "/%" PRIu32 " emails=%" PRIu32 "/%" PRIu32, s.threadexists,
               s.threadunseen, s.emailexists, s.emailunseen);
    return 0;
}

static int put_conv_quota(const struct record *rec, struct buf *out)
{
    struct conv_quota q;

    int r = conv_quota_parse(rec->val, rec->vallen, &q);
    if (!r) buf_printf(out, "quota emails=%" PRId64 " bytes=%" PRId64, q.emails, q.storage);
    return r;
}

static int put_msgid(const struct record *rec, struct buf *out)
{
    struct conv_msgid m;
    char cid[CONV_ID_STRLEN];

    int r = conv_msgid_parse(rec->val, rec->vallen, &m);
    if (r) return r;
    buf_appendcstr(out, "message-id ");
    put_text(out, rec->key, rec->keylen);
    for (size_t i = 0; i < m.ncids; i++)
        put_word(out, "cid", conversation_id_encode(m.cids[i], cid));
    put_time(out, "stamp", m.stamp);
    conv_msgid_fini(&m);
    return 0;
}

static int put_plain(const struct record *rec, struct buf *out)
{
    put_text(out, rec->key, rec->keylen);
    buf_appendcstr(out, " value=");
    put_text(out, rec->val, rec->vallen);
    return 0;
}

static int decode_conversation(const struct record *rec, struct buf *out)
{
    static const struct {
        char letter;
        int (*put)(const struct record *rec, struct buf *out);
    } kinds[] = { { '$', put_plain },  { '<', put_msgid }, { 'B', put_conversation },
                  { 'F', put_status }, { 'G', put_guid },  { 'Q', put_conv_quota } };

    for (size_t i = 0; i < array_size(kinds); i++) {
        if (rec->key[0] == kinds[i].letter) return kinds[i].put(rec, out);
    }
    return IMAP_MAILBOX_BADFORMAT;
}

/* ---- the rest ---- */

static int decode_annotation(const struct record *rec, struct buf *out)
{
    struct annotation_key key;
    struct annotation_value value = { .value = BUF_INITIALIZER };

    int r = annotation_key_parse(rec->key, rec->keylen, &key);
    if (!r) r = annotation_value_parse(rec->val, rec->vallen, &value);
    if (r) return r;
    buf_appendcstr(out, "annotation");
    put_word(out, "scope", *key.scope ? key.scope : "server");
    put_word(out, "entry", key.entry);
    put_word(out, "user", *key.userid ? key.userid : "(shared)");
    put_number(out, "modseq", value.modseq);
    if (value.flags & ANNOTATION_FLAG_DELETED) buf_appendcstr(out, " deleted");
    buf_appendcstr(out, " value=");
    put_text(out, value.value.len ? value.value.s : "", value.value.len);
    return 0;
}

static int decode_quota(const struct record *rec, struct buf *out)
{
    struct quota q;
    char *root = xstrndup(rec->key, rec->keylen);

    quota_init(&q, root);
    int r = quota_decode(&q, rec->val, rec->vallen);
    if (!r) {
        buf_appendcstr(out, "quota");
        put_word(out, "root", root);
        for (int i = 0; i < QUOTA_NUMRESOURCES; i++) {
            buf_printf(out, " %s=%" PRId64 "/", quota_names[i], q.useds[i]);
            if (q.limits[i] == QUOTA_UNLIMITED)
                buf_appendcstr(out, "unlimited");
            else
                buf_printf(out, "%" PRId64, q.limits[i]);
        }
    }
    quota_free(&q);
    free(root);
    return r;
}

static int decode_seen(const struct record *rec, struct buf *out)
{
    struct seendata sd = SEENDATA_INITIALIZER;
    bool bad = false;

    int r = seen_decode(&sd, rec->val, rec->vallen, &bad);
    if (!r && bad) r = IMAP_MAILBOX_BADFORMAT;
    if (!r) {
        buf_appendcstr(out, "seen uniqueid=");
        put_text(out, rec->key, rec->keylen);
        put_time(out, "lastread", sd.lastread);
        put_number(out, "lastuid", sd.lastuid);
        put_time(out, "lastchange", sd.lastchange);
        put_word(out, "uids", sd.seenuids);
    }
    seen_freedata(&sd);
    return r;
}

static int decode_sub(const struct record *rec, struct buf *out)
{
    if (!memcmp_len(rec->key, rec->keylen, SUB_VERSION_KEY, strlen(SUB_VERSION_KEY)))
        return put_plain(rec, out);
    char *name = sub_key_parse(rec->key, rec->keylen, rec->userid ? rec->userid : "USER");
    if (!name) return IMAP_MAILBOX_BADFORMAT;
    buf_appendcstr(out, "subscription");
    put_word(out, "name", name);
    free(name);
    return 0;
}

static int decode_subhistory(const struct record *rec, struct buf *out)
{
    struct sub_entry e = { 0 };

    if (!memcmp_len(rec->key, rec->keylen, SUB_VERSION_KEY, strlen(SUB_VERSION_KEY)))
        return put_plain(rec, out);
    if (sub_entry_decode(rec->val, rec->vallen, &e)) return IMAP_MAILBOX_BADFORMAT;
    bool last = *rec->key == '\x1f';
    char *name = last ? NULL : sub_key_parse(rec->key, rec->keylen, rec->userid ? rec->userid : "USER");
    buf_appendcstr(out, last ? "last" : e.on ? "subscribed" : "unsubscribed");
    if (!last) put_word(out, "name", name);
    put_time(out, "at", (time_t)(e.stamp / 1000000));
    put_number(out, "stamp", e.stamp);
    if (e.uniqueid) put_word(out, "uniqueid", e.uniqueid);
    int r = last || name ? 0 : IMAP_MAILBOX_BADFORMAT;
    free(e.uniqueid);
    free(name);
    return r;
}

static int decode_duplicate(const struct record *rec, struct buf *out)
{
    struct duplicate_key key;
    time_t mark;
    uint64_t uid;

    if (!duplicate_decode(rec->key, rec->keylen, rec->val, rec->vallen, &key, &mark, &uid))
        return IMAP_MAILBOX_BADFORMAT;
    buf_appendcstr(out, "delivery");
    put_word(out, "id", key.id);
    put_word(out, "to", key.to);
    put_word(out, "date", key.date);
    put_time(out, "mark", mark);
    put_number(out, "uid", uid);
    return 0;
}

/* 8 bytes of expiry, least significant first, and the session (handbook 01 §7.9). */
static int decode_tls(const struct record *rec, struct buf *out)
{
    uint64_t expiry = 0;

    if (rec->vallen < 8) return IMAP_MAILBOX_BADFORMAT;
    for (int i = 7; i >= 0; i--) expiry = expiry << 8 | (unsigned char)rec->val[i];
    buf_appendcstr(out, "session ");
    for (size_t i = 0; i < rec->keylen; i++) buf_printf(out, "%02x", (unsigned char)rec->key[i]);
    put_time(out, "expires", (time_t)expiry);
    put_number(out, "bytes", rec->vallen - 8);
    return 0;
}

static int decode_userdeny(const struct record *rec, struct buf *out)
{
    char *text = xstrndup(rec->val, rec->vallen);
    strarray_t *fields = strarray_split(text, "\t", STRARRAY_KEEPEMPTY);
    const char *version = strarray_nth(fields, 0), *services = strarray_nth(fields, 1);
    int r = version && services && (!strcmp(version, "1") || !strcmp(version, "2"))
                ? 0
                : IMAP_MAILBOX_BADFORMAT;

    if (!r) {
        buf_appendcstr(out, "denied user=");
        put_text(out, rec->key, rec->keylen);
        put_word(out, "services", services);
        put_word(out, "message", strarray_nth(fields, 2));
    }
    strarray_free(fields);
    free(text);
    return r;
}

static int decode_user(const struct record *rec, struct buf *out)
{
    struct user_record *user = NULL;

    if (*rec->key == 'N' || *rec->key == 'M' || *rec->key == 'D') {
        buf_appendcstr(out, *rec->key == 'N' ? "name" : *rec->key == 'M' ? "moving-in" : "deleted");
        buf_appendcstr(out, " user=");
        put_text(out, rec->key + 1, rec->keylen - 1);
        if (rec->vallen) buf_appendcstr(out, " id=");
        put_text(out, rec->val, rec->vallen);
        return 0;
    }
    if (*rec->key != 'U' || user_record_decode(rec->key + 1, rec->keylen - 1, rec->val, rec->vallen, &user))
        return IMAP_MAILBOX_BADFORMAT;
    buf_appendcstr(out, "user");
    put_word(out, "id", user->id);
    put_word(out, "user", user->userid);
    put_word(out, "state", user_state_name(user->state));
    if (user->state == USER_DELETED) put_word(out, "before", user_state_name(user->before));
    put_word(out, "server", user->server);
    put_word(out, "reason", user->reason);
    if (user->created) put_time(out, "created", user->created);
    if (user->changed) put_time(out, "changed", user->changed);
    for (size_t i = 0; i < user->nformer; i++) put_word(out, "former", user->former[i].userid);
    for (size_t i = 0; i < user->nlimits; i++) put_word(out, "quotaroot", user->limits[i].root);
    for (int i = 0; i < strarray_size(&user->subscribed); i++)
        put_word(out, "subscribed", strarray_nth(&user->subscribed, i));
    user_record_free(&user);
    return 0;
}

static int decode_statuscache(const struct record *rec, struct buf *out)
{
    if (rec->vallen < 4 || (rec->val[0] != 'I' && rec->val[0] != 'S') || rec->val[1] != ' ')
        return IMAP_MAILBOX_BADFORMAT;
    buf_appendcstr(out, "status ");
    return put_plain(rec, out);
}

static const struct {
    const char *name, *file; /* the file has a name that ends so */
    int (*fn)(const struct record *rec, struct buf *out);
} kinds[] = {
    { "mailboxes", "mailboxes.db", decode_mailbox },
    { "conversations", "conversations.db", decode_conversation },
    { "conversations", ".conversations", decode_conversation },
    { "annotations", "annotations.db", decode_annotation },
    { "annotations", "cyrus.annotations", decode_annotation },
    { "quota", "quotas.db", decode_quota },
    { "seen", "seen.db", decode_seen },
    { "seen", ".seen", decode_seen },
    { "sub", "sub.db", decode_sub },
    { "sub", ".sub", decode_sub },
    { "subhistory", "subhistory.db", decode_subhistory },
    { "subhistory", ".subhistory", decode_subhistory },
    { "deliver", "deliver.db", decode_duplicate },
    { "tls_sessions", "tls_sessions.db", decode_tls },
    { "userdeny", "user_deny.db", decode_userdeny },
    { "users", "users.db", decode_user },
    { "statuscache", "statuscache.db", decode_statuscache },
};

int dbtool_find_kind(const char *name, const char *fname)
{
    size_t len = strlen(fname);

    for (size_t i = 0; i < array_size(kinds); i++) {
        size_t n = strlen(kinds[i].file);
        if (name ? !strcmp(kinds[i].name, name)
                 : len >= n && !strcmp(fname + len - n, kinds[i].file))
            return (int)i;
    }
    return -1;
}

bool dbtool_decode(const struct dbtool *tool, const char *key, size_t keylen, const char *val,
                   size_t vallen, struct buf *out)
{
    const struct record rec = { key, val, keylen, vallen, tool->userid };

    buf_reset(out);
    if (keylen && !kinds[tool->kind].fn(&rec, out)) return true;
    buf_setcstr(out, "undecodable ");
    put_plain(&rec, out);
    return false;
}
