/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mbname_ext -- mailbox names as clients spell them (handbook 02 §1.3)
 *
 * A name that no mailbox can have in this namespace is NULL: the caller answers
 * "Invalid mailbox name". A mailbox that has no name in it, or whose name would
 * be read as that of another one, has none: the caller does not show it.
 *
 * Who is meant by the first component depends on the namespace; the domain comes
 * from the end of the whole name (admin), from the component that names the owner
 * or, in the alternate namespace, the shared tree (crossdomains), or from the
 * session. A deleted name of an admin ends in its time, with the domain behind it.
 *
 * A session of UTF-8 spells the same name in UTF-8: it is converted before it is read and after it
 * is written, so that all else knows modified UTF-7 alone.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "mbname_internal.h"
#include "utf7.h"
#include "util.h"
#include "xmalloc.h"

struct session {
    struct names_config cfg;
    const struct namespace *ns;
    mbname_t *user; /* the session's own INBOX; no parts for nobody */
};

static void session_init(struct session *s, const struct namespace *ns, const char *userid)
{
    names_config_get(&s->cfg);
    s->ns = ns;
    s->user = mbname_from_userid(userid);
}

static bool domain_in_name(const struct session *s)
{
    return s->cfg.virtdomains != VIRTDOMAINS_OFF && s->ns->isadmin;
}

static bool domain_in_component(const struct session *s)
{
    return s->cfg.virtdomains != VIRTDOMAINS_OFF && s->cfg.crossdomains && !s->ns->isadmin;
}

/* ---- reading ---- */

/* Components as the parts have them; false for a byte that no component can hold. */
static bool split_external(strarray_t *parts, const char *base, size_t len, char sep)
{
    bool slash = sep == '/';

    if (memchr(base, slash ? '^' : '/', len)) return false;
    mbname_split(parts, base, len, sep, slash ? '\0' : '^', '.');
    return true;
}

/* Take "@domain" off the first of the components that remain. */
static void take_component_domain(const struct session *s, mbname_t *m, strarray_t *parts)
{
    if (!domain_in_component(s) || !parts->count) return;

    char *part = strarray_shift(parts);
    char *at = strrchr(part, '@');
    if (at) {
        mbname_set_domain(m, at + 1);
        *at = '\0';
    }
    else {
        mbname_set_domain(m, s->cfg.crossdomains_onlyother ? s->user->domain : NULL);
    }
    if (*part) strarray_unshift(parts, part);
    free(part);
}

static void be_own(const struct session *s, mbname_t *m, const strarray_t *boxes)
{
    mbname_set_localpart(m, s->user->localpart);
    mbname_set_domain(m, s->user->domain);
    mbname_set_boxes(m, boxes);
}

/* parts: localpart and boxes of another user. */
static bool be_other(const struct session *s, mbname_t *m, strarray_t *parts)
{
    take_component_domain(s, m, parts);
    if (!parts->count) return false;
    char *localpart = strarray_shift(parts);
    mbname_set_localpart(m, localpart);
    mbname_set_boxes(m, parts);
    free(localpart);
    return true;
}

/* In the standard namespace the shared tree is that of the session's domain (seen with 3.6.1). */
static bool be_shared(const struct session *s, mbname_t *m, strarray_t *parts)
{
    if (s->ns->isalt) take_component_domain(s, m, parts);
    mbname_set_boxes(m, parts);
    return parts->count > 0;
}

static bool first_is(const strarray_t *parts, const char *word)
{
    return parts->count && !strcmp(strarray_nth(parts, 0), word);
}

static bool first_is_inbox(const strarray_t *parts)
{
    return parts->count && !cyr_strcasecmp(strarray_nth(parts, 0), INBOX);
}

static bool from_standard(const struct session *s, mbname_t *m, strarray_t *parts)
{
    if (first_is_inbox(parts)) {
        if (!s->user->localpart) return false;
        free(strarray_shift(parts));
        be_own(s, m, parts);
        return true;
    }
    if (s->ns->isadmin && first_is(parts, s->cfg.deletedprefix)) {
        /* a person may type the time in lower case */
        mbname_take_components(m, parts, DELETED_ANYCASE);
        return true;
    }
    if (first_is(parts, "user") && parts->count > 1) {
        free(strarray_shift(parts));
        return be_other(s, m, parts);
    }
    return be_shared(s, m, parts);
}

static bool from_alternate(const struct session *s, mbname_t *m, strarray_t *parts)
{
    if (first_is(parts, s->ns->userprefix)) {
        free(strarray_shift(parts));
        if (parts->count) return be_other(s, m, parts);
        strarray_append(parts, "user");
        mbname_set_boxes(m, parts);
        return true;
    }
    if (first_is(parts, s->ns->sharedprefix)) {
        free(strarray_shift(parts));
        return be_shared(s, m, parts);
    }
    if (!s->user->localpart || !parts->count) return false;
    if (first_is(parts, s->ns->altprefix)) {
        free(strarray_shift(parts));
        if (!parts->count) return false;
    }
    else if (first_is_inbox(parts)) {
        if (parts->count == 1)
            free(strarray_shift(parts));
        else
            strarray_set(parts, 0, INBOX);
    }
    be_own(s, m, parts);
    return true;
}

/* An admin's name may end in "@domain". */
static size_t take_name_domain(const struct session *s, mbname_t *m, const char *extname)
{
    const char *at = domain_in_name(s) ? strrchr(extname, '@') : NULL;

    mbname_set_domain(m, s->user->domain);
    if (!at) return strlen(extname);
    mbname_set_domain(m, at + 1);
    return (size_t)(at - extname);
}

/* 3.6.1 lets an admin put the domain in front, as it stands in the internal name. NULL: not even that. */
static void read_leading_domain(mbname_t **mp)
{
    const char *intname = mbname_intname(*mp);

    if (!intname || mbname_issound(*mp)) return;
    mbname_t *m = mbname_from_sync(syncname_of(intname, strlen(intname)));
    mbname_free(mp);
    *mp = m;
}

static mbname_t *from_utf7(const char *text, const struct namespace *ns, const char *userid)
{
    struct session s;
    strarray_t parts = STRARRAY_INITIALIZER;

    mbname_t *m = mbname_new();
    session_init(&s, ns, userid);
    size_t len = take_name_domain(&s, m, text);
    bool ok = split_external(&parts, text, len, ns->hier_sep) && parts.count &&
              (ns->isalt ? from_alternate(&s, m, &parts) : from_standard(&s, m, &parts));
    if (ok && domain_in_name(&s)) read_leading_domain(&m);
    if (!ok || !m || !mbname_issound(m)) mbname_free(&m);
    strarray_fini(&parts);
    mbname_free(&s.user);
    return m;
}

mbname_t *mbname_from_extname(extname_t extname, const struct namespace *ns, const char *userid)
{
    struct buf utf7 = BUF_INITIALIZER;
    mbname_t *m = NULL;

    if (extname_isnone(extname)) return NULL;
    if (!ns->utf8) return from_utf7(extname.ext, ns, userid);
    if (!utf8_to_utf7(extname.ext, strlen(extname.ext), &utf7)) m = from_utf7(buf_cstring(&utf7), ns, userid);
    buf_free(&utf7);
    return m;
}

/* ---- writing ---- */

static void add(const struct session *s, struct buf *out, const char *part)
{
    char sep = s->ns->hier_sep;

    if (out->len) buf_putc(out, sep);
    mbname_append_component(out, part, '.', sep == '/' ? '.' : '^');
}

static void add_boxes(const struct session *s, struct buf *out, const mbname_t *m, int from)
{
    for (int i = from; i < m->boxes.count; i++) add(s, out, strarray_nth(&m->boxes, i));
}

/* "@domain" behind the component that was written last, as part of it. */
static void add_component_domain(const struct session *s, struct buf *out, const mbname_t *m)
{
    bool plain = !strcmpnull(m->domain, s->user->domain) && s->cfg.crossdomains_onlyother;

    /* one that holds an '@' would be taken for a domain */
    if (!domain_in_component(s) || (plain && !memchr(out->s, '@', out->len))) return;
    buf_putc(out, '@');
    mbname_append_component(out, m->domain ? m->domain : s->cfg.defaultdomain, '.',
                            s->ns->hier_sep == '/' ? '.' : '^');
}

/*
 * An admin sees every domain; the default one is left out unless his own is another, or an '@' in
 * the name would be taken for the one in front of the domain.
 */
static void add_name_domain(const struct session *s, struct buf *out, const mbname_t *m, bool own)
{
    bool other = !own && (m->domain || s->user->domain);

    if (!domain_in_name(s) || (!other && !memchr(out->s, '@', out->len))) return;
    buf_putc(out, '@');
    buf_appendcstr(out, m->domain ? m->domain : s->cfg.defaultdomain);
}

static void add_other(const struct session *s, struct buf *out, const mbname_t *m)
{
    add(s, out, m->localpart);
    add_component_domain(s, out, m);
    add_boxes(s, out, m, 0);
}

static void add_shared(const struct session *s, struct buf *out, const mbname_t *m)
{
    add(s, out, strarray_nth(&m->boxes, 0));
    if (s->ns->isalt) add_component_domain(s, out, m);
    add_boxes(s, out, m, 1);
}

static bool is_own(const struct session *s, const mbname_t *m)
{
    return s->user->localpart && mbname_same_userid(s->user, m);
}

static bool to_standard(const struct session *s, struct buf *out, const mbname_t *m)
{
    if (m->deleted) {
        add(s, out, s->cfg.deletedprefix);
    }
    else if (is_own(s, m)) {
        add(s, out, INBOX);
        add_boxes(s, out, m, 0);
        add_name_domain(s, out, m, true);
        return true;
    }
    if (m->localpart) {
        add(s, out, "user");
        add_other(s, out, m);
    }
    else {
        add_shared(s, out, m);
    }
    if (m->deleted) {
        struct buf hex = BUF_INITIALIZER;
        buf_printf(&hex, "%lX", (unsigned long)m->deleted);
        add(s, out, buf_cstring(&hex));
        buf_free(&hex);
    }
    add_name_domain(s, out, m, false);
    return true;
}

/* Own boxes whose first component means something else on the wire are shown below altprefix. */
static bool needs_altprefix(const struct session *s, const mbname_t *m)
{
    const char *first = strarray_nth(&m->boxes, 0);

    if (!first) return false;
    if (!strcmp(first, INBOX)) return m->boxes.count == 1;
    return !cyr_strcasecmp(first, INBOX) || !strcmp(first, s->ns->altprefix) ||
           !strcmp(first, s->ns->userprefix) || !strcmp(first, s->ns->sharedprefix);
}

static bool to_alternate(const struct session *s, struct buf *out, const mbname_t *m)
{
    if (m->deleted) return false;
    if (is_own(s, m)) {
        if (!m->boxes.count)
            add(s, out, INBOX);
        else if (needs_altprefix(s, m))
            add(s, out, s->ns->altprefix);
        add_boxes(s, out, m, 0);
    }
    else if (m->localpart) {
        add(s, out, s->ns->userprefix);
        add_other(s, out, m);
    }
    else if (m->boxes.count == 1 && !strcmp(strarray_nth(&m->boxes, 0), "user")) {
        add(s, out, s->ns->userprefix);
    }
    else {
        add(s, out, s->ns->sharedprefix);
        add_shared(s, out, m);
    }
    return true;
}

/* May the session see names of this domain at all? */
static bool domain_visible(const struct session *s, const mbname_t *m)
{
    if (!strcmpnull(m->domain, s->user->domain)) return true;
    return domain_in_name(s) || (domain_in_component(s) && (s->ns->isalt || m->localpart));
}

/* Only these can be spelled as another mailbox is. */
static bool may_mislead(const struct session *s, const mbname_t *m)
{
    const char *first = strarray_nth(&m->boxes, 0);

    if (m->deleted) return true;
    return !m->localpart && (!cyr_strcasecmp(first, INBOX) || !strcmp(first, "user") ||
                             !strcmp(first, s->cfg.deletedprefix));
}

static bool means(extname_t ext, const mbname_t *m, const struct namespace *ns, const char *userid)
{
    mbname_t *back = mbname_from_extname(ext, ns, userid);
    bool same = back && !strcmpnull(mbname_intname(back), mbname_intname(m));

    mbname_free(&back);
    return same;
}

/* False: what is there is no modified UTF-7, so it is no text. */
static bool become_utf8(struct buf *name)
{
    struct buf utf7 = BUF_INITIALIZER;

    buf_move(&utf7, name);
    bool ok = !utf7_to_utf8(utf7.s, utf7.len, name);
    buf_free(&utf7);
    return ok;
}

extname_t mbname_extname(const mbname_t *m, const struct namespace *ns, const char *userid)
{
    struct session s;
    struct buf *out = (struct buf *)(uintptr_t)&m->extname;

    if (!m->localpart && !m->boxes.count) return EXTNAME_NONE;
    session_init(&s, ns, userid);
    buf_reset(out);
    bool ok = domain_visible(&s, m) &&
              (ns->isalt ? to_alternate(&s, out, m) : to_standard(&s, out, m)) &&
              (!ns->utf8 || become_utf8(out));
    extname_t ext = ok ? extname_of(buf_cstring(out)) : EXTNAME_NONE;
    if (ok && may_mislead(&s, m) && !means(ext, m, ns, userid)) ext = EXTNAME_NONE;
    mbname_free(&s.user);
    return ext;
}

/* ---- LIST order ---- */

enum mbname_category mbname_category(const mbname_t *m, const struct namespace *ns,
                                     const char *userid)
{
    struct session s;

    if (!m->localpart && !m->boxes.count) return MBNAME_NONE;
    session_init(&s, ns, userid);
    bool own = is_own(&s, m);
    bool alt = own && ns->isalt && needs_altprefix(&s, m);
    const char *first = strarray_nth(&m->boxes, 0);
    mbname_free(&s.user);

    if (m->deleted)
        return own            ? MBNAME_OWNERDELETED
               : m->localpart ? MBNAME_OTHERDELETED
                              : MBNAME_SHAREDDELETED;
    if (!m->localpart) return MBNAME_SHARED;
    if (!own) return MBNAME_OTHERUSER;
    if (!first) return MBNAME_INBOX;
    if (alt) return cyr_strcasecmp(first, INBOX) ? MBNAME_ALTPREFIX : MBNAME_ALTINBOX;
    if (!ns->isalt || !strcmp(first, INBOX)) return MBNAME_INBOXSUB;
    return MBNAME_OWNER;
}
