/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conv_codec -- keys and values of a user's conversations database
 *
 * The small records: message-ids, folder lists, F, G and Q (B is in
 * conv_record.c). Bytes that are no record are IMAP_MAILBOX_BADFORMAT; the caller
 * knows the key and logs.
 */
#include <config.h>

#include "conv_codec.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "dlist.h"
#include "dlist_scan.h"
#include "imap_err.h"
#include "xmalloc.h"

#define MAXFOLDERS 1000000 /* slots of a folder list; more is garbage */
#define MAXCIDS 100000     /* conversations of one message-id */

/* ---- conversation ids ---- */

const char *conversation_id_encode(conversation_id_t cid, char out[CONV_ID_STRLEN])
{
    unsigned char be[8];

    put_be64(be, cid);
    bin_to_hex(be, sizeof(be), out);
    return out;
}

conversation_id_t conversation_id_from_guid(const struct message_guid *guid)
{
    conversation_id_t cid = get_be64(guid->value) ^ UINT64_C(0x91f3d9e10b690b12);

    return cid ? cid : 1;
}

bool conversation_id_decode(const char *s, size_t len, conversation_id_t *cid)
{
    unsigned char be[8];

    if (len != 16 || hex_to_bin(s, len, be)) return false;
    *cid = get_be64(be);
    return true;
}

static void append_cid(struct buf *out, conversation_id_t cid)
{
    char hex[CONV_ID_STRLEN];

    buf_appendcstr(out, conversation_id_encode(cid, hex));
}

static void append_guid(struct buf *out, const struct message_guid *guid)
{
    char hex[MESSAGE_GUID_STRLEN];

    buf_appendcstr(out, message_guid_encode(guid, hex));
}

/* ---- lists ---- */

int conv_folders_parse(const char *val, size_t len, strarray_t *folders)
{
    struct dlist_scan sc;
    enum dlist_token t;
    int n = 0;

    strarray_fini(folders);
    dlist_scan_init(&sc, val, len);
    bool ok = dlist_scan_enter(&sc, DLS_LIST);
    while (ok && (t = dlist_scan_next(&sc)) != DLS_CLOSE) {
        ok = t == DLS_STRING && n < MAXFOLDERS && !memchr(sc.s, '\0', sc.len);
        if (!ok) break;
        bool freeslot = dlist_scan_iskey(&sc, "-");
        strarray_setm(folders, n++, freeslot ? NULL : xstrndup(sc.s, sc.len));
    }
    ok = ok && dlist_scan_atend(&sc);
    dlist_scan_fini(&sc);
    if (!ok) strarray_fini(folders);
    return ok ? 0 : IMAP_MAILBOX_BADFORMAT;
}

void conv_folders_print(const strarray_t *folders, struct buf *out)
{
    buf_reset(out);
    buf_putc(out, '(');
    for (int i = 0; i < folders->count; i++) {
        const char *id = strarray_nth(folders, i);
        if (i) buf_putc(out, ' ');
        if (id)
            dlist_printstring(out, id, strlen(id), true);
        else
            buf_putc(out, '-');
    }
    buf_putc(out, ')');
}

int conv_counted_flags_parse(const char *val, size_t len, strarray_t *flags)
{
    strarray_fini(flags);
    if (len && memchr(val, '\0', len)) return IMAP_MAILBOX_BADFORMAT;
    strarray_t *words = strarray_nsplit(val, len, " ", 0);
    bool ok = words->count <= CONV_MAX_COUNTED_FLAGS;
    if (ok) strarray_cat(flags, words);
    strarray_free(words);
    return ok ? 0 : IMAP_MAILBOX_BADFORMAT;
}

void conv_counted_flags_print(const strarray_t *flags, struct buf *out)
{
    buf_reset(out);
    for (int i = 0; i < flags->count; i++) {
        if (i) buf_putc(out, ' ');
        buf_appendcstr(out, strarray_nth(flags, i));
    }
}

/* ---- message-id -> conversations: "0 CID,CID STAMP" ---- */

static bool parse_cids(struct conv_msgid *m, const char **p, const char *end)
{
    for (;;) {
        conversation_id_t cid;
        if (m->ncids == MAXCIDS || end - *p < 17 || !conversation_id_decode(*p, 16, &cid))
            return false;
        m->cids = xreallocarray(m->cids, m->ncids + 1, sizeof(*m->cids));
        m->cids[m->ncids++] = cid;
        *p += 17;
        if ((*p)[-1] == ' ') return true;
        if ((*p)[-1] != ',') return false;
    }
}

int conv_msgid_parse(const char *val, size_t len, struct conv_msgid *m)
{
    const char *p = val, *end = val + len;
    int64_t stamp;

    memset(m, 0, sizeof(*m));
    if (len >= 2 && !memcmp(p, "0 ", 2)) {
        p += 2;
        if (parse_cids(m, &p, end) && !parse_i64(p, (size_t)(end - p), &stamp)) {
            m->stamp = (time_t)stamp;
            return 0;
        }
    }
    conv_msgid_fini(m);
    return IMAP_MAILBOX_BADFORMAT;
}

void conv_msgid_print(const struct conv_msgid *m, struct buf *out)
{
    buf_reset(out);
    buf_appendcstr(out, "0 ");
    for (size_t i = 0; i < m->ncids; i++) {
        if (i) buf_putc(out, ',');
        append_cid(out, m->cids[i]);
    }
    buf_printf(out, " %lld", (long long)m->stamp);
}

void conv_msgid_fini(struct conv_msgid *m)
{
    free(m->cids);
    memset(m, 0, sizeof(*m));
}

/* ---- G ---- */

#define GUID_KEY_LEN 41 /* "G" and 40 digits */
#define VERSION_BIT 0x80

void conv_guidrec_key_prefix(const struct message_guid *guid, struct buf *out)
{
    buf_reset(out);
    buf_putc(out, 'G');
    append_guid(out, guid);
    buf_putc(out, ':');
}

void conv_guidrec_key(const struct conv_guidrec *g, struct buf *out)
{
    conv_guidrec_key_prefix(&g->guid, out);
    buf_printf(out, "%u:%u", g->foldernum, g->uid);
    if (*g->part) buf_printf(out, "[%s]", g->part);
}

bool conv_guidrec_key_isold(const char *key, size_t keylen)
{
    struct message_guid guid;

    return keylen == GUID_KEY_LEN && key[0] == 'G' && message_guid_decode(&guid, key + 1, 40);
}

/* "folder:uid" and maybe "[part]", all of p..end. */
static bool parse_item(const char *p, const char *end, struct conv_guidrec *g)
{
    if (scan_u32(&p, end, &g->foldernum) || p == end || *p++ != ':') return false;
    if (scan_u32(&p, end, &g->uid)) return false;
    g->part[0] = '\0';
    if (p == end) return true;

    if (*p++ != '[' || end - p < 2 || end[-1] != ']') return false;
    size_t len = (size_t)(end - 1 - p);
    if (len >= sizeof(g->part)) return false;
    for (size_t i = 0; i < len; i++) {
        if (!cyr_isdigit(p[i]) && p[i] != '.') return false;
    }
    memcpy(g->part, p, len);
    g->part[len] = '\0';
    return true;
}

static bool parse_guid_value(const char *val, size_t len, struct conv_guidrec *g)
{
    if (!len) return true;
    if (!((unsigned char)val[0] & VERSION_BIT)) return conversation_id_decode(val, len, &g->cid);
    if (len < CONV_GUIDREC_VALUE_SIZE) return false;

    g->version = (uint8_t)((unsigned char)val[0] & ~VERSION_BIT);
    g->cid = get_be64(val + 1);
    g->system_flags = get_be32(val + 9);
    g->internal_flags = get_be32(val + 13);
    g->internaldate = (time_t)get_be64(val + 17);
    return g->version == 1 || g->version == CONV_GUIDREC_VERSION;
}

int conv_guidrec_parse(const char *key, size_t keylen, const char *val, size_t vallen,
                       struct conv_guidrec *g)
{
    memset(g, 0, sizeof(*g));
    if (keylen < GUID_KEY_LEN + 4 || key[0] != 'G' || key[GUID_KEY_LEN] != ':' ||
        !message_guid_decode(&g->guid, key + 1, 40) ||
        !parse_item(key + GUID_KEY_LEN + 1, key + keylen, g) || !parse_guid_value(val, vallen, g))
        return IMAP_MAILBOX_BADFORMAT;
    return 0;
}

int conv_guidrec_parse_old(const char *key, size_t keylen, const char *val, size_t vallen,
                           int (*cb)(const struct conv_guidrec *g, void *rock), void *rock)
{
    struct conv_guidrec g = { .uid = 0 };
    const char *p = val, *end = val + vallen;

    if (!conv_guidrec_key_isold(key, keylen)) return IMAP_MAILBOX_BADFORMAT;
    message_guid_decode(&g.guid, key + 1, 40);
    while (p < end) {
        const char *stop = memchr(p, ',', (size_t)(end - p));
        if (!stop) stop = end;
        if (!parse_item(p, stop, &g)) return IMAP_MAILBOX_BADFORMAT;
        int r = cb(&g, rock);
        if (r) return r;
        p = stop + (stop < end);
    }
    return 0;
}

void conv_guidrec_value(const struct conv_guidrec *g, char out[CONV_GUIDREC_VALUE_SIZE])
{
    out[0] = (char)(VERSION_BIT | CONV_GUIDREC_VERSION);
    put_be64(out + 1, g->cid);
    put_be32(out + 9, g->system_flags);
    put_be32(out + 13, g->internal_flags);
    put_be64(out + 17, (uint64_t)g->internaldate);
}

/* ---- F: "0 (THREADMODSEQ THREADEXISTS THREADUNSEEN EMAILEXISTS EMAILUNSEEN)" ---- */

void conv_status_key(const char *uniqueid, struct buf *out)
{
    buf_reset(out);
    buf_putc(out, 'F');
    buf_appendcstr(out, uniqueid);
}

int conv_status_parse(const char *val, size_t len, struct conv_status *status)
{
    struct dlist_scan sc;
    uint32_t version;

    memset(status, 0, sizeof(*status));
    dlist_scan_init(&sc, val, len);
    bool ok = dlist_scan_u32(&sc, &version) && version == 0 && dlist_scan_enter(&sc, DLS_LIST) &&
              dlist_scan_u64(&sc, &status->threadmodseq) &&
              dlist_scan_u32(&sc, &status->threadexists) &&
              dlist_scan_u32(&sc, &status->threadunseen) &&
              dlist_scan_u32(&sc, &status->emailexists) &&
              dlist_scan_u32(&sc, &status->emailunseen) && dlist_scan_close(&sc) &&
              dlist_scan_atend(&sc);
    dlist_scan_fini(&sc);
    if (!ok) memset(status, 0, sizeof(*status));
    return ok ? 0 : IMAP_MAILBOX_BADFORMAT;
}

void conv_status_print(const struct conv_status *status, struct buf *out)
{
    buf_reset(out);
    buf_printf(out, "0 (%llu %u %u %u %u)", (unsigned long long)status->threadmodseq,
               status->threadexists, status->threadunseen, status->emailexists,
               status->emailunseen);
}

/* ---- Q: "1 %(E n S n)" ---- */

int conv_quota_parse(const char *val, size_t len, struct conv_quota *q)
{
    struct dlist_scan sc;
    uint32_t version;

    memset(q, 0, sizeof(*q));
    dlist_scan_init(&sc, val, len);
    bool ok = dlist_scan_u32(&sc, &version) && version == 1 && dlist_scan_enter(&sc, DLS_KVLIST);
    while (ok && dlist_scan_key(&sc)) {
        if (dlist_scan_iskey(&sc, "E"))
            ok = dlist_scan_i64(&sc, &q->emails);
        else if (dlist_scan_iskey(&sc, "S"))
            ok = dlist_scan_i64(&sc, &q->storage);
        else
            ok = dlist_scan_skip(&sc, dlist_scan_next(&sc));
    }
    ok = ok && dlist_scan_atend(&sc);
    dlist_scan_fini(&sc);
    if (!ok) memset(q, 0, sizeof(*q));
    return ok ? 0 : IMAP_MAILBOX_BADFORMAT;
}

void conv_quota_print(const struct conv_quota *q, struct buf *out)
{
    buf_reset(out);
    buf_printf(out, "1 %%(E %lld S %lld)", (long long)q->emails, (long long)q->storage);
}
