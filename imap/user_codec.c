/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * user_codec -- records of users.db: what is known of a user as a whole (doc/users.md)
 *
 *     U<id>               %(V 1 U anna S disabled C 1795665643 M 1795665700 R "unpaid" H (%(U ann M 1795665650)))
 *     N<userid>           the id of who has this name
 *     M<userid>           the same, of who is moving in or out
 *     A<userid>           the same, of who has a home
 *     D<userid> 0x1F <id> nothing: a tombstone with this name
 */
#include <config.h>

#include "user_codec.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "dlist.h"
#include "dlist_scan.h"
#include "imap_err.h"
#include "mboxname.h"
#include "xmalloc.h"

#define USER_VERSION 1
#define MAXKEPT 1000000 /* subscriptions of a tombstone */

static const char *const state_names[] = { "active", "disabled", "moving-in", "moved", "deleted", "moving-out" };

const char *user_state_name(enum user_state state)
{
    return state_names[state];
}

bool user_state_is_hidden(enum user_state state)
{
    return state == USER_MOVING_IN || state == USER_MOVING_OUT;
}

bool user_state_parse(const char *text, enum user_state *state)
{
    for (size_t i = 0; i < array_size(state_names); i++) {
        if (strcmp(state_names[i], text)) continue;
        *state = (enum user_state)i;
        return true;
    }
    return false;
}

bool user_text_isvalid(const char *text, size_t max)
{
    size_t len = strlen(text);

    if (!len || len > max) return false;
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f) return false;
    return true;
}

/* ---- records ---- */

void user_record_set_text(char **field, const char *text)
{
    char *copy = xstrdupnull(text);

    free(*field);
    *field = copy;
}

struct user_record *user_record_new(const char *id, const char *userid, enum user_state state)
{
    struct user_record *rec = xzmalloc(sizeof(*rec));

    rec->id = xstrdupnull(id);
    rec->userid = xstrdupnull(userid);
    rec->state = state;
    strarray_init(&rec->subscribed);
    return rec;
}

void user_record_drop_kept(struct user_record *rec)
{
    for (size_t i = 0; i < rec->nlimits; i++) free(rec->limits[i].root);
    free(rec->limits);
    rec->limits = NULL;
    rec->nlimits = 0;
    strarray_fini(&rec->subscribed);
    strarray_init(&rec->subscribed);
}

void user_record_free(struct user_record **recp)
{
    struct user_record *rec = *recp;

    *recp = NULL;
    if (!rec) return;
    user_record_drop_kept(rec);
    strarray_fini(&rec->subscribed);
    for (size_t i = 0; i < rec->nformer; i++) free(rec->former[i].userid);
    free(rec->former);
    free(rec->id);
    free(rec->userid);
    free(rec->server);
    free(rec->reason);
    free(rec->home);
    free(rec);
}

static struct user_limits *more_limits(struct user_record *rec, const char *root)
{
    rec->limits = xrealloc(rec->limits, (rec->nlimits + 1) * sizeof(*rec->limits));
    struct user_limits *l = &rec->limits[rec->nlimits++];
    l->root = xstrdupnull(root);
    for (int i = 0; i < QUOTA_NUMRESOURCES; i++) l->limits[i] = QUOTA_UNLIMITED;
    return l;
}

static struct user_former *insert_former(struct user_record *rec, size_t at)
{
    rec->former = xrealloc(rec->former, (rec->nformer + 1) * sizeof(*rec->former));
    memmove(rec->former + at + 1, rec->former + at, (rec->nformer - at) * sizeof(*rec->former));
    rec->nformer++;
    rec->former[at] = (struct user_former){ NULL, 0 };
    return &rec->former[at];
}

void user_record_add_limits(struct user_record *rec, const struct quota *q)
{
    struct user_limits *l = more_limits(rec, q->root);

    memcpy(l->limits, q->limits, sizeof(l->limits));
}

void user_record_set_userid(struct user_record *rec, const char *userid, time_t now)
{
    if (rec->userid && !strcmp(rec->userid, userid)) return;
    if (rec->userid) {
        struct user_former *f = insert_former(rec, 0);
        f->userid = rec->userid;
        f->until = now;
        rec->userid = NULL;
        if (rec->nformer > USER_MAXFORMER) free(rec->former[--rec->nformer].userid);
    }
    rec->userid = xstrdup(userid);
}

void user_record_set_home(struct user_record *rec, const char *server, uint64_t epoch, time_t since)
{
    user_record_set_text(&rec->home, server);
    rec->epoch = server ? epoch : 0;
    rec->home_since = server ? since : 0;
}

struct user_record *user_record_dup(const struct user_record *rec)
{
    struct user_record *copy = user_record_new(rec->id, rec->userid, rec->state);

    copy->before = rec->before;
    copy->server = xstrdupnull(rec->server);
    copy->reason = xstrdupnull(rec->reason);
    copy->created = rec->created;
    copy->changed = rec->changed;
    user_record_set_home(copy, rec->home, rec->epoch, rec->home_since);
    for (size_t i = 0; i < rec->nformer; i++) {
        struct user_former *f = insert_former(copy, i);
        f->userid = xstrdup(rec->former[i].userid);
        f->until = rec->former[i].until;
    }
    for (size_t i = 0; i < rec->nlimits; i++)
        memcpy(more_limits(copy, rec->limits[i].root)->limits, rec->limits[i].limits, sizeof(rec->limits[i].limits));
    strarray_cat(&copy->subscribed, &rec->subscribed);
    return copy;
}

/* ---- keys ---- */

static void key(char letter, const char *text, struct buf *out)
{
    buf_reset(out);
    buf_putc(out, letter);
    buf_appendcstr(out, text);
}

void user_key_record(const char *id, struct buf *out)
{
    key('U', id, out);
}

void user_key_name(const char *userid, struct buf *out)
{
    key('N', userid, out);
}

void user_key_hidden(const char *userid, struct buf *out)
{
    key('M', userid, out);
}

void user_key_home(const char *userid, struct buf *out)
{
    key('A', userid, out);
}

void user_key_deleted(const char *userid, const char *id, struct buf *out)
{
    key('D', userid, out);
    buf_putc(out, USER_KEY_SEP);
    if (id) buf_appendcstr(out, id);
}

/* ---- writing ---- */

static void print_text(struct buf *out, const char *name, const char *value)
{
    if (!value) return;
    buf_appendcstr(out, name);
    dlist_printstring(out, value, strlen(value), true);
}

static void print_time(struct buf *out, const char *name, time_t t)
{
    if (t) buf_printf(out, "%s%lld", name, (long long)t);
}

static void print_former(const struct user_record *rec, struct buf *out)
{
    for (size_t i = 0; i < rec->nformer; i++) {
        buf_appendcstr(out, i ? " %(U " : " H (%(U ");
        dlist_printstring(out, rec->former[i].userid, strlen(rec->former[i].userid), true);
        print_time(out, " M ", rec->former[i].until);
        buf_putc(out, ')');
    }
    if (rec->nformer) buf_putc(out, ')');
}

static void print_limits(const struct user_record *rec, struct buf *out)
{
    for (size_t i = 0; i < rec->nlimits; i++) {
        buf_appendcstr(out, i ? " (" : " Q ((");
        dlist_printstring(out, rec->limits[i].root, strlen(rec->limits[i].root), true);
        for (int n = 0; n < QUOTA_NUMRESOURCES; n++)
            buf_printf(out, " %lld", (long long)rec->limits[i].limits[n]);
        buf_putc(out, ')');
    }
    if (rec->nlimits) buf_putc(out, ')');
}

static void print_subscribed(const struct user_record *rec, struct buf *out)
{
    for (int i = 0; i < strarray_size(&rec->subscribed); i++)
        print_text(out, i ? " " : " L (", strarray_nth(&rec->subscribed, i));
    if (strarray_size(&rec->subscribed)) buf_putc(out, ')');
}

void user_record_encode(const struct user_record *rec, struct buf *out)
{
    buf_reset(out);
    buf_printf(out, "%%(V %d", USER_VERSION);
    print_text(out, " U ", rec->userid);
    print_text(out, " S ", user_state_name(rec->state));
    if (rec->state == USER_DELETED) print_text(out, " B ", user_state_name(rec->before));
    print_time(out, " C ", rec->created);
    print_time(out, " M ", rec->changed);
    print_text(out, " T ", rec->server);
    print_text(out, " R ", rec->reason);
    print_text(out, " A ", rec->home);
    if (rec->home) buf_printf(out, " E %" PRIu64, rec->epoch);
    print_time(out, " W ", rec->home_since);
    print_former(rec, out);
    print_limits(rec, out);
    print_subscribed(rec, out);
    buf_putc(out, ')');
}

/* ---- reading ---- */

static bool fail(struct dlist_scan *sc)
{
    sc->failed = true;
    return false;
}

static bool scan_text(struct dlist_scan *sc, char **text, size_t max)
{
    return dlist_scan_str(sc, text) && *text && user_text_isvalid(*text, max) ? true : fail(sc);
}

static bool scan_time(struct dlist_scan *sc, time_t *t)
{
    int64_t v;

    if (!dlist_scan_i64(sc, &v) || v < 0) return fail(sc);
    *t = (time_t)v;
    return true;
}

static bool scan_state(struct dlist_scan *sc, enum user_state *state)
{
    char *text = NULL;
    bool ok = dlist_scan_str(sc, &text) && text && user_state_parse(text, state);

    free(text);
    return ok ? true : fail(sc);
}

static bool scan_version(struct dlist_scan *sc)
{
    uint32_t version;

    return dlist_scan_u32(sc, &version) && version == USER_VERSION ? true : fail(sc);
}

static bool scan_epoch(struct dlist_scan *sc, uint64_t *epoch)
{
    int64_t v;

    if (!dlist_scan_i64(sc, &v) || v < 1) return fail(sc);
    *epoch = (uint64_t)v;
    return true;
}

static bool scan_former(struct dlist_scan *sc, struct user_record *rec)
{
    enum dlist_token t;

    if (!dlist_scan_enter(sc, DLS_LIST)) return false;
    while ((t = dlist_scan_next(sc)) == DLS_KVLIST) {
        if (rec->nformer == USER_MAXFORMER) return fail(sc);
        struct user_former *f = insert_former(rec, rec->nformer);
        while (dlist_scan_key(sc)) {
            bool ok = dlist_scan_iskey(sc, "U")   ? scan_text(sc, &f->userid, USER_MAXUSERID)
                      : dlist_scan_iskey(sc, "M") ? scan_time(sc, &f->until)
                                                  : dlist_scan_skip(sc, dlist_scan_next(sc));
            if (!ok) return fail(sc);
        }
        if (!f->userid) return fail(sc);
    }
    return t == DLS_CLOSE;
}

/* An internal name that can be trusted as one. */
static bool scan_name(const struct dlist_scan *sc, char **name)
{
    char *text = xstrndup(sc->s, sc->len);

    *name = strlen(text) == sc->len ? mboxname_from_sync(syncname_of(text, sc->len)) : NULL;
    free(text);
    return *name != NULL;
}

static bool scan_limits(struct dlist_scan *sc, struct user_record *rec)
{
    enum dlist_token t;

    if (!dlist_scan_enter(sc, DLS_LIST)) return false;
    while ((t = dlist_scan_next(sc)) == DLS_LIST) {
        if (rec->nlimits == MAXKEPT || dlist_scan_next(sc) != DLS_STRING) return fail(sc);
        struct user_limits *l = more_limits(rec, NULL);
        if (!scan_name(sc, &l->root)) return fail(sc);
        for (int n = 0; n < QUOTA_NUMRESOURCES; n++)
            if (!dlist_scan_i64(sc, &l->limits[n]) || l->limits[n] < QUOTA_UNLIMITED) return fail(sc);
        if (dlist_scan_next(sc) != DLS_CLOSE) return fail(sc);
    }
    return t == DLS_CLOSE;
}

static bool scan_subscribed(struct dlist_scan *sc, struct user_record *rec)
{
    enum dlist_token t;
    char *name = NULL;

    if (!dlist_scan_enter(sc, DLS_LIST)) return false;
    while ((t = dlist_scan_next(sc)) == DLS_STRING) {
        if (strarray_size(&rec->subscribed) == MAXKEPT || !scan_name(sc, &name)) return fail(sc);
        strarray_appendm(&rec->subscribed, name);
    }
    return t == DLS_CLOSE;
}

static bool scan_member(struct dlist_scan *sc, struct user_record *rec)
{
    if (dlist_scan_iskey(sc, "V")) return scan_version(sc);
    if (dlist_scan_iskey(sc, "U")) return scan_text(sc, &rec->userid, USER_MAXUSERID);
    if (dlist_scan_iskey(sc, "S")) return scan_state(sc, &rec->state);
    if (dlist_scan_iskey(sc, "B")) return scan_state(sc, &rec->before);
    if (dlist_scan_iskey(sc, "C")) return scan_time(sc, &rec->created);
    if (dlist_scan_iskey(sc, "M")) return scan_time(sc, &rec->changed);
    if (dlist_scan_iskey(sc, "T")) return scan_text(sc, &rec->server, USER_MAXUSERID);
    if (dlist_scan_iskey(sc, "R")) return scan_text(sc, &rec->reason, USER_MAXREASON);
    if (dlist_scan_iskey(sc, "A")) return scan_text(sc, &rec->home, USER_MAXUSERID);
    if (dlist_scan_iskey(sc, "E")) return scan_epoch(sc, &rec->epoch);
    if (dlist_scan_iskey(sc, "W")) return scan_time(sc, &rec->home_since);
    if (dlist_scan_iskey(sc, "H")) return scan_former(sc, rec);
    if (dlist_scan_iskey(sc, "Q")) return scan_limits(sc, rec);
    if (dlist_scan_iskey(sc, "L")) return scan_subscribed(sc, rec);
    return dlist_scan_skip(sc, dlist_scan_next(sc));
}

int user_record_decode(const char *id, size_t idlen, const char *val, size_t len, struct user_record **recp)
{
    struct user_record *rec = user_record_new(NULL, NULL, USER_ACTIVE);
    struct dlist_scan sc;

    *recp = NULL;
    rec->id = xstrndup(id, idlen);
    dlist_scan_init(&sc, val, len);
    bool ok = dlist_scan_enter(&sc, DLS_KVLIST);
    while (ok && dlist_scan_key(&sc)) ok = scan_member(&sc, rec);
    ok = ok && dlist_scan_atend(&sc) && rec->userid && user_text_isvalid(rec->id, USER_MAXUSERID);
    if (ok && rec->before == USER_DELETED) ok = false;
    if (ok && (rec->home != NULL) != (rec->epoch != 0)) ok = false;
    dlist_scan_fini(&sc);
    if (ok)
        *recp = rec;
    else
        user_record_free(&rec);
    return ok ? 0 : IMAP_MAILBOX_BADFORMAT;
}
