/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mboxname -- questions about internal names, and which names are allowed
 *
 * Where the answer lies in the first bytes it is read there; else the name is
 * taken apart with mbname. Functions that return names give malloc'ed strings.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "mbname_internal.h"
#include "mbtype.h"
#include "util.h"
#include "xmalloc.h"

/* ---- which names are allowed (handbook 02 §1.4) ---- */

#define GOOD_CHARS \
    " #$'()*+,-.0123456789:=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_abcdefghijklmnopqrstuvwxyz~"
#define BASE64_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,"

/*
 * One encoded run "&...-"; *p is behind the '&' and moves behind the '-'. Units
 * are 16 bits, none below 0x80 (that stands for itself); the bits left over are 0.
 */
static bool utf7_run_ok(const char **p)
{
    uint32_t bits = 0;
    unsigned nbits = 0, units = 0;

    for (; **p != '-'; (*p)++) {
        const char *digit = **p ? strchr(BASE64_CHARS, **p) : NULL;
        if (!digit) return false;
        bits = (bits << 6 | (uint32_t)(digit - BASE64_CHARS)) & 0xffffff;
        nbits += 6;
        if (nbits < 16) continue;
        nbits -= 16;
        units++;
        if (((bits >> nbits) & 0xffff) < 0x80) return false;
    }
    (*p)++;
    return units && nbits < 6 && !(bits & ((1u << nbits) - 1));
}

static bool chars_ok(const char *name)
{
    while (*name) {
        if (*name != '&') {
            if (!strchr(GOOD_CHARS, *name)) return false;
            name++;
        }
        else if (name[1] == '-') {
            name += 2;
        }
        else {
            name++;
            if (!utf7_run_ok(&name)) return false;
            if (*name == '&' && name[1] != '-') return false; /* two runs that should be one */
        }
    }
    return true;
}

static bool reserved(const char *name)
{
    return !strcmp(name, "user") || !strcmp(name, "user.anyone") ||
           !strcmp(name, "user.anonymous") || strstarts(name, "user.%");
}

/* Bytes that would break a path, a log line or a database key wherever they stand. */
static bool harmful(const char *name)
{
    for (; *name; name++) {
        if ((unsigned char)*name < 0x20 || *name == 0x7f || *name == '/') return true;
    }
    return false;
}

int mboxname_policycheck(const char *name)
{
    struct names_config cfg;
    size_t len = strlen(name);

    if (name[0] == '$' || harmful(name)) return IMAP_MAILBOX_BADNAME;
    if (mboxname_isdeletedmailbox(name, NULL))
        return len < MAX_MAILBOX_BUFFER ? 0 : IMAP_MAILBOX_BADNAME;
    if (len > MAX_MAILBOX_NAME) return IMAP_MAILBOX_BADNAME;

    const char *mark = strchr(name, '!');
    if (mark) {
        names_config_get(&cfg);
        if (cfg.virtdomains == VIRTDOMAINS_OFF || mark == name) return IMAP_MAILBOX_BADNAME;
        name = mark + 1;
        len = strlen(name);
    }
    if (!len || name[0] == '.' || name[0] == '~' || name[len - 1] == '.' || strstr(name, "..") ||
        reserved(name))
        return IMAP_MAILBOX_BADNAME;
    return chars_ok(name) ? 0 : IMAP_MAILBOX_BADNAME;
}

/* ---- questions ---- */

static const char *skip_domain(const char *name)
{
    const char *mark = strchr(name, '!');

    return mark ? mark + 1 : name;
}

bool mboxname_isusermailbox(const char *name, bool isinbox)
{
    const char *p = skip_domain(name);

    if (!strstarts(p, INTUSER_PREFIX) || !p[5]) return false;
    return !isinbox || !strchr(p + 5, '.');
}

bool mboxname_isdeletedmailbox(const char *name, time_t *when)
{
    const char *p = skip_domain(name);

    if (when) *when = 0;
    if (!strstarts(p, names_deletedprefix())) return false;

    mbname_t *m = mbname_from_intname(name);
    time_t t = mbname_isdeleted(m);
    mbname_free(&m);
    if (when) *when = t;
    return t != 0;
}

/* Folders known by the name of their first box, whatever their type. */
static const struct special {
    uint32_t mbtype;
    size_t option; /* offset of the name in struct names_config */
} specials[] = {
    { MBTYPE_CALENDAR, offsetof(struct names_config, calendarprefix) },
    { MBTYPE_ADDRESSBOOK, offsetof(struct names_config, addressbookprefix) },
    { MBTYPE_COLLECTION, offsetof(struct names_config, davdriveprefix) },
    { MBTYPE_COLLECTION, offsetof(struct names_config, davnotificationsprefix) },
    { MBTYPE_COLLECTION, offsetof(struct names_config, jmapuploadfolder) },
    { MBTYPE_JMAPSUBMIT, offsetof(struct names_config, jmapsubmissionfolder) },
    { MBTYPE_JMAPPUSHSUB, offsetof(struct names_config, jmappushsubscriptionfolder) },
    { MBTYPE_SIEVE, offsetof(struct names_config, sieve_folder) },
};

static const char *option_of(const struct names_config *cfg, const struct special *sp)
{
    const char *value;

    memcpy(&value, (const char *)cfg + sp->option, sizeof(value));
    return value;
}

/* First box of a name, malloc'ed; NULL: none. */
static char *first_box(const char *name)
{
    mbname_t *m = mbname_from_intname(name);
    char *first = m->boxes.count ? strarray_shift(&m->boxes) : NULL;

    mbname_free(&m);
    return first;
}

bool mboxname_firstbox_is(const char *name, const char *box)
{
    char *first = first_box(name);
    bool is = first && box && !strcmp(first, box);

    free(first);
    return is;
}

/* The table has the first box for this type, or, with any, for some type. */
static bool firstbox_is_special(const char *name, uint32_t wanttype, bool any)
{
    struct names_config cfg;
    char *first = first_box(name);
    bool is = false;

    if (!first) return false;
    names_config_get(&cfg);
    for (size_t i = 0; i < array_size(specials) && !is; i++) {
        const char *box = option_of(&cfg, &specials[i]);
        is = box && (any || specials[i].mbtype == wanttype) && !strcmp(first, box);
    }
    free(first);
    return is;
}

bool mboxname_isspecialfolder(const char *name, uint32_t mbtype, uint32_t wanttype)
{
    return mbtype_isa(mbtype) == wanttype || firstbox_is_special(name, wanttype, false);
}

bool mboxname_isnonimapmailbox(const char *name, uint32_t mbtype)
{
    if (mbtype_isa(mbtype) != MBTYPE_EMAIL && mbtype_isa(mbtype) != MBTYPE_NETNEWS) return true;
    return firstbox_is_special(name, 0, true);
}

bool mboxname_issubmissionmailbox(const char *name, uint32_t mbtype)
{
    return mboxname_isspecialfolder(name, mbtype, MBTYPE_JMAPSUBMIT);
}

bool mboxname_userownsmailbox(const char *userid, const char *name)
{
    mbname_t *m = mbname_from_intname(name);
    const char *owner = mbname_userid(m);
    bool owns = userid && owner && !strcmp(owner, userid);

    mbname_free(&m);
    return owns;
}

bool mboxname_same_userid(const char *name1, const char *name2)
{
    mbname_t *a = mbname_from_intname(name1), *b = mbname_from_intname(name2);
    bool same = mbname_same_userid(a, b);

    mbname_free(&a);
    mbname_free(&b);
    return same;
}

bool mboxname_isindeletedtree(const char *name)
{
    mbname_t *m = mbname_from_intname(name);
    const char *first = strarray_nth(&m->boxes, 0);
    bool is = m->deleted || (!m->localpart && first && !strcmp(first, names_deletedprefix()));

    mbname_free(&m);
    return is;
}

bool mboxname_cut(char *name)
{
    char *local = name + (skip_domain(name) - name), *dot = strrchr(local, '.');

    if (dot)
        *dot = '\0';
    else if (local > name && *local)
        *local = '\0';
    else
        return false;
    return true;
}

bool mboxname_is_prefix(const char *child, const char *parent)
{
    size_t len = strlen(parent);

    return !strncmp(child, parent, len) && (!child[len] || child[len] == '.');
}

static unsigned char db_byte(char c, bool *indomain)
{
    if (c == '!' && *indomain) {
        *indomain = false;
        return (unsigned char)DB_DOMAINSEP_CHAR;
    }
    if (*indomain) return (unsigned char)c;
    if (c == '.') return (unsigned char)DB_HIERSEP_CHAR;
    return c == '^' ? '.' : (unsigned char)c;
}

int mboxname_cmp(const char *a, const char *b)
{
    bool da = strchr(a, '!') != NULL, db = strchr(b, '!') != NULL;

    for (;; a++, b++) {
        unsigned char ca = db_byte(*a, &da), cb = db_byte(*b, &db);
        if (ca != cb) return ca < cb ? -1 : 1;
        if (!ca) return 0;
    }
}

/* ---- names from names ---- */

static char *take(mbname_t *m, const char *(*spelling)(const mbname_t *))
{
    char *name = xstrdupnull(spelling(m));

    mbname_free(&m);
    return name;
}

char *mboxname_to_userid(const char *name)
{
    return take(mbname_from_intname(name), mbname_userid);
}

char *mboxname_user_mbox(const char *userid, const char *subfolder)
{
    mbname_t *m = mbname_from_userid(userid);

    if (!m->localpart) {
        mbname_free(&m);
        return NULL;
    }
    if (subfolder) mbname_split(&m->boxes, subfolder, strlen(subfolder), '.', '^', '.');
    return take(m, mbname_intname);
}

dbname_t mboxname_to_dbname(const char *name)
{
    mbname_t *m = mbname_from_intname(name);
    dbname_t kept = mbname_dbname(m);
    dbname_t dbname = dbname_of(xstrdupnull(kept.key), kept.keylen);

    mbname_free(&m);
    return dbname;
}

char *mboxname_from_dbname(dbname_t dbname)
{
    mbname_t *m = mbname_from_dbkey(dbname);

    return m ? take(m, mbname_intname) : NULL;
}

char *mboxname_from_sync(syncname_t name)
{
    mbname_t *m = mbname_from_sync(name);

    return m ? take(m, mbname_intname) : NULL;
}

char *mboxname_parent(const char *name)
{
    mbname_t *m = mbname_from_intname(name);

    free(mbname_pop_boxes(m));
    /* INBOX of the alternate namespace is no mailbox */
    bool magic = m->localpart && m->boxes.count == 1 && !strcmp(strarray_nth(&m->boxes, 0), INBOX);
    if (magic) free(mbname_pop_boxes(m));
    char *parent = m->localpart || m->boxes.count ? xstrdup(mbname_intname(m)) : NULL;
    mbname_free(&m);
    if (parent && !strcmp(parent, name)) xzfree(parent); /* nothing above an INBOX */
    return parent;
}

char *mboxname_todeleted(const char *name, time_t when)
{
    mbname_t *m = mbname_from_intname(name);

    mbname_set_isdeleted(m, when);
    return take(m, mbname_intname);
}

char *mboxname_deletedtree(const char *name)
{
    char *tree = mboxname_todeleted(name, 1);

    *strrchr(tree, '.') = '\0'; /* the time */
    return tree;
}

char *mboxname_from_external(extname_t extname, const struct namespace *ns, const char *userid)
{
    mbname_t *m = mbname_from_extname(extname, ns, userid);

    return m ? take(m, mbname_intname) : NULL;
}

extname_t mboxname_to_external(const char *name, const struct namespace *ns, const char *userid)
{
    mbname_t *m = mbname_from_intname(name);
    extname_t ext = extname_dup(mbname_extname(m, ns, userid));

    mbname_free(&m);
    return ext;
}

extname_t mboxname_to_shown(const char *name, const struct namespace *ns, const char *userid)
{
    extname_t ext = mboxname_to_external(name, ns, userid);

    return extname_isnone(ext) ? extname_dup(extname_of(name)) : ext;
}

char *mboxname_renamed(const char *name, const char *oldparent, const char *newparent)
{
    if (!mboxname_is_prefix(name, oldparent)) return NULL;
    return xasprintf("%s%s", newparent, name + strlen(oldparent));
}
