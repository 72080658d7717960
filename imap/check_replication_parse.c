/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_replication_parse -- untagged IMAP responses into the model
 *
 * Values become dlist items: an atom NIL is nil, a list a list. Nesting is limited, and
 * nothing is read beyond the line. Sets are put into one order here (flags, rights,
 * annotations), so that comparing is comparing text.
 */
#include <config.h>

#include "check_replication_parse.h"

#include <stdlib.h>
#include <string.h>

#include "times.h"
#include "util.h"
#include "xmalloc.h"

#define MAXDEPTH 32

struct text {
    const char *p, *end;
    unsigned depth;
    bool bad;
};

/* ---- values ---- */

static void parse_quoted(struct text *t, struct dlist *list)
{
    struct buf buf = BUF_INITIALIZER;

    for (t->p++; t->p < t->end && *t->p != '"'; t->p++) {
        if (*t->p == '\\' && ++t->p == t->end) break;
        buf_putc(&buf, *t->p);
    }
    t->bad |= t->p == t->end;
    if (!t->bad) t->p++;
    buf_cstring(&buf);
    dlist_newmap(list, NULL, buf.s, buf.len);
    buf_free(&buf);
}

static void parse_literal(struct text *t, struct dlist *list)
{
    uint64_t n;

    t->p++;
    t->bad |= scan_u64(&t->p, t->end, &n) != 0;
    if (!t->bad && t->p < t->end && *t->p == '+') t->p++;
    t->bad |= t->end - t->p < 3 || memcmp(t->p, "}\r\n", 3);
    if (t->bad) return;
    t->p += 3;
    t->bad |= n > (uint64_t)(t->end - t->p);
    if (t->bad) return;
    dlist_newmap(list, NULL, t->p, (size_t)n);
    t->p += n;
}

/* Brackets hold what would end an atom elsewhere: BODY[HEADER.FIELDS (A B)]. */
static void parse_atom(struct text *t, struct dlist *list)
{
    const char *start = t->p;
    bool bracket = false;

    for (; t->p < t->end && (bracket || !strchr(" ()", *t->p)); t->p++) {
        if (*t->p == '[') bracket = true;
        if (*t->p == ']') bracket = false;
    }
    size_t len = (size_t)(t->p - start);
    t->bad |= !len;
    if (len == 3 && !memcmp(start, "NIL", 3))
        dlist_newatom(list, NULL, NULL);
    else
        dlist_newmap(list, NULL, start, len);
}

/* Up to ")", which is taken, or to the end of the line at the outermost level. */
static void parse_values(struct text *t, struct dlist *list)
{
    bool inner = t->depth++ > 0;

    t->bad |= t->depth > MAXDEPTH;
    while (!t->bad) {
        while (t->p < t->end && *t->p == ' ') t->p++;
        if (t->p == t->end) {
            t->bad |= inner;
            break;
        }
        if (*t->p == ')') {
            t->bad |= !inner;
            t->p++;
            break;
        }
        if (*t->p == '(') {
            t->p++;
            parse_values(t, dlist_newlist(list, NULL));
        }
        else if (*t->p == '"')
            parse_quoted(t, list);
        else if (*t->p == '{')
            parse_literal(t, list);
        else
            parse_atom(t, list);
    }
    t->depth--;
}

struct dlist *check_parse_response(const char *line, size_t len)
{
    struct text t = { .p = line, .end = line + len };
    struct dlist *list = dlist_newlist(NULL, NULL);

    parse_values(&t, list);
    if (t.bad) dlist_free(&list);
    return list;
}

static bool is_word(const struct dlist *item, const char *word)
{
    const char *s;

    return dlist_toatom(item, &s) && !cyr_strcasecmp(s, word);
}

static bool is_list(const struct dlist *item)
{
    return item && item->type == DL_LIST;
}

/* ---- names ---- */

void check_names_fini(struct check_names *names)
{
    free(names->userid);
    free(names->personal);
    free(names->others);
    free(names->shared);
    memset(names, 0, sizeof(*names));
}

/* (("prefix" "sep") ...) : the first one counts. */
static bool take_namespace(const struct dlist *item, char **prefix, char *sep)
{
    const char *p, *s;

    if (dlist_isnil(item)) return true;
    if (!is_list(item) || !is_list(item->head)) return false;
    if (!dlist_toatom(item->head->head, &p)) return false;
    if (!dlist_toatom(dlist_getchildn(item->head, 1), &s) || strlen(s) != 1) return false;
    free(*prefix);
    *prefix = xstrdup(p);
    *sep = *s;
    return true;
}

bool check_parse_namespace(struct check_names *names, const struct dlist *response)
{
    return take_namespace(dlist_getchildn(response, 1), &names->personal, &names->sep) &&
           take_namespace(dlist_getchildn(response, 2), &names->others, &names->sep) &&
           take_namespace(dlist_getchildn(response, 3), &names->shared, &names->sep) && names->sep;
}

/* "user." to "user/" and back; a name of our own has no other '/'. */
static char *with_separator(const char *prefix, const char *rest, char from, char to)
{
    char *name = xasprintf("%s%s", prefix, rest);

    for (char *p = name; *p; p++)
        if (*p == from) *p = to;
    return name;
}

static bool has_prefix(const char *name, const char *prefix)
{
    return prefix && strstarts(name, prefix);
}

char *check_canonical_name(const struct check_names *names, const char *name)
{
    struct buf own = BUF_INITIALIZER;
    const char *rest = name;

    if (!names->userid) return with_separator("", name, names->sep, '/');
    buf_printf(&own, "user/%s", names->userid);
    if (!cyr_strcasecmp(name, "INBOX")) return buf_release(&own);
    if (has_prefix(name, names->others) && *names->others) {
        rest = name + strlen(names->others);
        buf_setcstr(&own, "user/");
    }
    else if (has_prefix(name, names->shared) && *names->shared) {
        rest = name + strlen(names->shared);
        buf_reset(&own);
    }
    else if (has_prefix(name, names->personal)) {
        rest = name + strlen(names->personal);
        buf_putc(&own, '/');
    }
    else {
        buf_reset(&own); /* of the shared namespace without a prefix */
    }
    char *canonical = with_separator(buf_cstring(&own), rest, names->sep, '/');
    buf_free(&own);
    return canonical;
}

char *check_session_name(const struct check_names *names, const char *canonical)
{
    size_t len;

    if (!names->userid) return with_separator("", canonical, '/', names->sep);
    len = strlen("user/") + strlen(names->userid);
    if (!canonical[len]) return xstrdup("INBOX");
    /* the prefix has separators of its own already */
    char *rest = with_separator("", canonical + len + 1, '/', names->sep);
    char *name = xasprintf("%s%s", names->personal ? names->personal : "", rest);
    free(rest);
    return name;
}

/* ---- messages ---- */

/* Words in order, joined. */
static char *join_sorted(strarray_t *words, const char *sep)
{
    strarray_sort(words, NULL);
    char *text = strarray_join(words, sep);
    return text ? text : xstrdup("");
}

bool check_parse_flags(struct check_message *m, const struct dlist *list)
{
    strarray_t flags = STRARRAY_INITIALIZER;
    const char *flag;
    bool ok = is_list(list);

    for (const struct dlist *item = ok ? list->head : NULL; item; item = item->next) {
        if (dlist_isnil(item))
            flag = "NIL"; /* a keyword may be called so */
        else if (!dlist_toatom(item, &flag))
            ok = false;
        if (!ok) break;
        if (!cyr_strcasecmp(flag, "\\Seen"))
            m->seen = true;
        else if (cyr_strcasecmp(flag, "\\Recent"))
            strarray_append(&flags, flag);
        if (!cyr_strcasecmp(flag, "\\Deleted")) m->flagged_deleted = true;
    }
    free(m->flags);
    m->flags = join_sorted(&flags, " ");
    strarray_fini(&flags);
    return ok;
}

/* /comment (value.shared "x" value.priv NIL): values that are there. */
static bool take_annotation(strarray_t *lines, const char *entry, const struct dlist *attribs)
{
    const char *name, *value;
    size_t len;

    if (!is_list(attribs)) return false;
    for (const struct dlist *at = attribs->head; at; at = at->next->next) {
        if (!at->next || !dlist_toatom(at, &name)) return false;
        if (dlist_isnil(at->next)) continue;
        if (!dlist_tomap(at->next, &value, &len)) return false;
        struct buf line = BUF_INITIALIZER;
        buf_printf(&line, "%s %s ", entry, name);
        for (size_t i = 0; i < len; i++) {
            if (value[i] == '\n' || !value[i] || value[i] == '\\')
                buf_printf(&line, "\\%03o", (unsigned char)value[i]);
            else
                buf_putc(&line, value[i]);
        }
        strarray_append(lines, buf_cstring(&line));
        buf_free(&line);
    }
    return true;
}

static bool take_annotations(struct check_message *m, const struct dlist *list)
{
    strarray_t lines = STRARRAY_INITIALIZER;
    const char *entry;
    bool ok = is_list(list);

    for (const struct dlist *at = ok ? list->head : NULL; ok && at; at = at->next->next) {
        ok = at->next && dlist_toatom(at, &entry) && take_annotation(&lines, entry, at->next);
        if (!ok) break;
    }
    free(m->annotations);
    m->annotations = join_sorted(&lines, "\n");
    strarray_fini(&lines);
    return ok;
}

static bool take_date(const struct dlist *item, time_t *date)
{
    const char *s;
    size_t len;
    int off;

    *date = 0;
    if (dlist_isnil(item)) return true;
    return dlist_tomap(item, &s, &len) && !time_from_rfc3501(s, len, date, &off);
}

/* "(12)" */
static bool take_modseq(const struct dlist *item, modseq_t *modseq)
{
    return is_list(item) && dlist_tonum64(item->head, modseq);
}

static bool take_cid(const struct dlist *item, conversation_id_t *cid)
{
    *cid = 0;
    return dlist_isnil(item) || dlist_tohex64(item, cid);
}

static bool take_item(struct check_message *m, const char *name, const struct dlist *value)
{
    struct index_record *rec = &m->rec;

    if (!cyr_strcasecmp(name, "FLAGS")) return check_parse_flags(m, value);
    if (!cyr_strcasecmp(name, "UID")) return dlist_tonum32(value, &rec->uid);
    if (!cyr_strcasecmp(name, "DIGEST.SHA1")) return dlist_toguid(value, &rec->guid);
    if (!cyr_strcasecmp(name, "INTERNALDATE")) return take_date(value, &rec->internaldate);
    if (!cyr_strcasecmp(name, "SAVEDATE")) return take_date(value, &rec->savedate);
    if (!cyr_strcasecmp(name, "RFC822.SIZE")) return dlist_tonum32(value, &rec->size);
    if (!cyr_strcasecmp(name, "MODSEQ")) return take_modseq(value, &rec->modseq);
    if (!cyr_strcasecmp(name, "CREATEDMODSEQ")) return take_modseq(value, &rec->createdmodseq);
    if (!cyr_strcasecmp(name, "CID")) return take_cid(value, &rec->cid);
    if (!cyr_strcasecmp(name, "ANNOTATION")) return take_annotations(m, value);
    return true;
}

const struct dlist *check_find_item(const struct dlist *list, const char *name)
{
    for (const struct dlist *at = list->head; at && at->next; at = at->next->next)
        if (is_word(at, name)) return at->next;
    return NULL;
}

bool check_parse_fetch(struct check_mailbox *mbox, const struct dlist *response)
{
    const struct dlist *list = dlist_getchildn(response, 2);
    const char *name;

    if (!is_list(list)) return false;
    /* news of other messages may come at any time */
    if (!check_find_item(list, "UID") || !check_find_item(list, "RFC822.SIZE")) return true;
    struct check_message *m = check_mailbox_addmessage(mbox, 0);
    m->flags = xstrdup("");
    m->annotations = xstrdup("");
    for (const struct dlist *at = list->head; at; at = at->next->next)
        if (!at->next || !dlist_toatom(at, &name) || !take_item(m, name, at->next)) return false;
    return m->rec.uid != 0;
}

/* ---- mailboxes ---- */

/* Entries that say where and how the mailbox is kept, or that are compared as something else. */
static bool is_own_business(const char *entry)
{
    static const char *const suffixes[] = { "/partition", "/server", "/lastupdate", "/uniqueid",
                                            "/userrawquota" };
    const char *p = strstr(entry, "/vendor/cmu/cyrus-imapd/");

    if (!p) return false;
    p += strlen("/vendor/cmu/cyrus-imapd");
    for (size_t i = 0; i < array_size(suffixes); i++)
        if (!strcmp(p, suffixes[i])) return true;
    return false;
}

static void take_entry(struct check_mailbox *mbox, const char *entry, const char *value)
{
    static const char uniqueid[] = "/shared/vendor/cmu/cyrus-imapd/uniqueid";

    if (!strcmp(entry, uniqueid)) {
        free(mbox->uniqueid);
        mbox->uniqueid = xstrdup(value);
    }
    else if (!is_own_business(entry)) {
        check_pairs_add(&mbox->metadata, entry, value);
    }
}

bool check_parse_metadata(struct check_mailbox *mbox, const struct dlist *response,
                          const char *prefix)
{
    const struct dlist *list = dlist_getchildn(response, 2);
    const char *entry, *value;
    size_t len;

    if (!is_list(list)) return false;
    for (const struct dlist *at = list->head; at; at = at->next->next) {
        if (!at->next || !dlist_toatom(at, &entry)) return false;
        if (!strstarts(entry, prefix) || dlist_isnil(at->next)) continue;
        if (!dlist_tomap(at->next, &value, &len)) return false;
        take_entry(mbox, entry, value);
    }
    return true;
}

static int by_letter(const void *a, const void *b)
{
    return *(const unsigned char *)a - *(const unsigned char *)b;
}

/* ACL mailbox identifier rights ... */
bool check_parse_acl(struct check_mailbox *mbox, const struct dlist *response)
{
    const char *id, *rights;

    if (!dlist_getchildn(response, 1)) return false;
    for (const struct dlist *at = dlist_getchildn(response, 2); at; at = at->next->next) {
        if (!at->next || !dlist_toatom(at, &id) || !dlist_toatom(at->next, &rights)) return false;
        char *sorted = xstrdup(rights);
        qsort(sorted, strlen(sorted), 1, by_letter);
        check_pairs_add(&mbox->acl, id, sorted);
        free(sorted);
    }
    return true;
}

static bool take_code(const char *line, const char *name, uint64_t *value)
{
    size_t len = strlen(name);
    const char *p = strchr(line, '['), *end = line + strlen(line);

    if (!p || cyr_strncasecmp(p + 1, name, len) || p[1 + len] != ' ') return false;
    p += len + 2;
    return !scan_u64(&p, end, value) && *p == ']';
}

void check_parse_okcode(struct check_mailbox *mbox, const char *line)
{
    uint64_t n;

    if (take_code(line, "UIDVALIDITY", &n)) mbox->uidvalidity = (uint32_t)n;
    if (take_code(line, "UIDNEXT", &n)) mbox->uidnext = (uint32_t)n;
    if (take_code(line, "HIGHESTMODSEQ", &n)) mbox->highestmodseq = n;
}
