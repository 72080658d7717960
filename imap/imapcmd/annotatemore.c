/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * GETANNOTATION, SETANNOTATION (draft-daboo-imap-annotatemore-08; handbook 04 §3.17 no. 7)
 *
 * The old names of METADATA: an entry without /shared or /private, and attributes that say which of its values is
 * meant. Refused unless annotation_enable_legacy_commands is on.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "glob.h"
#include "imap_err.h"
#include "imapcmd.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "message.h"
#include "metadata.h"
#include "xmalloc.h"

/* In the order in which what has no value is told. */
enum kind { PRIV, SHARED, NUM_KINDS };
static const char *const prefixes[] = { "/private", "/shared" };
static const char *const value_names[] = { "value.priv", "value.shared" };
static const char *const size_names[] = { "size.priv", "size.shared" };
static const char *const type_names[] = { "content-type.priv", "content-type.shared" };

static bool bad(struct imap_session *s, const char *text)
{
    imap_bad(s, "%s", text);
    return false;
}

/* Behind a blank: "string" or ("string" ...), into list. False: answered with `missing` or `unclosed`. */
static bool strings(struct imap_session *s, strarray_t *list, const char *missing, const char *unclosed)
{
    struct buf word = BUF_INITIALIZER;
    bool ok = s->c == ' ', many = ok && imap_arg_peek(s) == '(';

    if (many) prot_getc(s->in);
    while (ok) {
        s->c = getstring(s->in, s->out, &word);
        ok = s->c >= 0;
        if (ok) strarray_append(list, buf_cstring(&word));
        if (!ok || !many || s->c != ' ') break;
    }
    buf_free(&word);
    if (!ok) return bad(s, missing);
    if (!many) return true;
    if (s->c != ')') return bad(s, unclosed);
    s->c = prot_getc(s->in);
    return true;
}

/* ---- which mailboxes ---- */

static int found(const struct findall_data *data, void *rock)
{
    if (data->mbentry) strarray_append(rock, data->mbentry->name);
    return 0;
}

/* Internal names; none: the server. Nothing is worked on while the list of mailboxes is read. */
static int mailboxes(struct imap_session *s, extname_t name, strarray_t *list)
{
    mbentry_t *mbentry = NULL;
    int r = 0;

    if (extname_isempty(name)) return 0;
    if (extname_ispattern(name)) {
        r = mboxlist_findall(&s->ns, (extnames_t){ &name, 1 }, s->isadmin, s->userid, s->auth, found, list);
        return !r && !strarray_size(list) ? IMAP_MAILBOX_NONEXISTENT : r;
    }
    r = imap_lookup(s, name, ACL_LOOKUP, NULL, &mbentry);
    if (!r) strarray_append(list, mbentry->name);
    mbentry_free(&mbentry);
    return r;
}

/* Does the work for each of them. */
static int on_each(struct imap_session *s, extname_t name,
                   int (*work)(struct imap_session *, const mbentry_t *, void *), void *rock)
{
    strarray_t list = STRARRAY_INITIALIZER;

    int r = config_getswitch(IMAPOPT_ANNOTATION_ENABLE_LEGACY_COMMANDS) ? 0 : IMAP_PERMISSION_DENIED;
    if (!r) r = mailboxes(s, name, &list);
    if (!r && extname_isempty(name)) r = work(s, NULL, rock);
    for (int i = 0; !r && i < strarray_size(&list); i++) {
        mbentry_t *mbentry = NULL;
        r = mboxlist_lookup(strarray_nth(&list, i), &mbentry, NULL);
        if (!r) r = work(s, mbentry, rock);
        mbentry_free(&mbentry);
    }
    strarray_fini(&list);
    return r;
}

/* ---- GETANNOTATION ---- */

struct entry {
    char *name;
    bool told[NUM_KINDS], has[NUM_KINDS];
    struct buf values[NUM_KINDS];
};

struct get {
    strarray_t entries, attributes;
    bool value[NUM_KINDS], size[NUM_KINDS];
    struct entry *list; /* of the mailbox at hand */
    size_t n, alloc;
};

static struct entry *entry_of(struct get *get, const char *name)
{
    for (size_t i = 0; i < get->n; i++)
        if (!strcmp(get->list[i].name, name)) return &get->list[i];
    if (get->n == get->alloc) {
        get->alloc = get->alloc * 2 + 16;
        get->list = xreallocarray(get->list, get->alloc, sizeof(*get->list));
    }
    get->list[get->n] = (struct entry){ .name = xstrdup(name) };
    return &get->list[get->n++];
}

static void add_value(const char *full, const struct buf *value, void *rock)
{
    enum kind kind = strstarts(full, prefixes[SHARED]) ? SHARED : PRIV;
    struct entry *e = entry_of(rock, full + strlen(prefixes[kind]));

    e->told[kind] = true;
    e->has[kind] = value != NULL;
    if (value) buf_copy(&e->values[kind], value);
}

static void clear(struct get *get)
{
    for (size_t i = 0; i < get->n; i++) {
        free(get->list[i].name);
        for (enum kind k = 0; k < NUM_KINDS; k++) buf_free(&get->list[i].values[k]);
    }
    get->n = 0;
}

static void add_pair(struct buf *line, const char *name)
{
    if (buf_len(line)) buf_putc(line, ' ');
    buf_printf(line, "\"%s\" ", name);
}

static void add_kind(const struct get *get, const struct entry *e, enum kind kind, struct buf *line)
{
    const struct buf *value = &e->values[kind];

    if (!e->told[kind]) return;
    if (get->value[kind]) {
        add_pair(line, value_names[kind]);
        message_write_nstring(e->has[kind] ? value->s ? value->s : "" : NULL, value->len, line);
    }
    if (get->size[kind]) {
        add_pair(line, size_names[kind]);
        buf_printf(line, "\"%zu\"", value->len);
    }
}

/* What there is first, shared before private; then what there is not, the other way round. */
static void print_entry(struct imap_session *s, const struct get *get, const struct entry *e, extname_t mailbox)
{
    struct buf line = BUF_INITIALIZER, name = BUF_INITIALIZER;

    if (e->has[SHARED]) add_kind(get, e, SHARED, &line);
    if (e->has[PRIV]) add_kind(get, e, PRIV, &line);
    if (!e->has[PRIV]) add_kind(get, e, PRIV, &line);
    if (!e->has[SHARED]) add_kind(get, e, SHARED, &line);
    if (buf_len(&line)) {
        message_write_nstring(e->name, strlen(e->name), &name);
        prot_puts(s->out, "* ANNOTATION ");
        imap_print_mailbox(s, mailbox);
        prot_printf(s->out, " %s (", buf_cstring(&name));
        prot_putbuf(s->out, &line);
        prot_puts(s->out, ")\r\n");
    }
    buf_free(&line);
    buf_free(&name);
}

/* What is computed has one value alone; an entry that nobody knows may have both. */
static bool may_have(const mbentry_t *mbentry, const char *name, enum kind kind)
{
    const struct metadata_entry *entry = metadata_entry_find(mbentry ? METADATA_MAILBOX : METADATA_SERVER, name);

    return !entry || entry->indb || entry->isprivate == (kind == PRIV);
}

static int get_one(struct imap_session *s, const mbentry_t *mbentry, void *rock)
{
    const struct metadata_who who = imap_metadata_who(s);
    struct get *get = rock;
    strarray_t patterns = STRARRAY_INITIALIZER;

    for (int i = 0; i < strarray_size(&get->entries); i++) {
        const char *entry = strarray_nth(&get->entries, i);
        for (enum kind k = 0; k < NUM_KINDS; k++)
            if ((get->value[k] || get->size[k]) && may_have(mbentry, entry, k))
                strarray_appendm(&patterns, xasprintf("%s%s", prefixes[k], entry));
    }
    int r = strarray_size(&patterns) ? metadata_get(&who, mbentry, &patterns, add_value, get) : 0;
    extname_t name = mbentry ? imap_extname(s, mbentry->name) : extname_dup(extname_of(""));
    for (size_t i = 0; !r && i < get->n; i++) print_entry(s, get, &get->list[i], name);
    extname_free(&name);
    clear(get);
    strarray_fini(&patterns);
    return r == IMAP_PERMISSION_DENIED ? 0 : r;
}

/* "value" is both of them. */
static bool attribute_is(const struct glob *glob, const char *pattern, const char *name)
{
    size_t stem = strcspn(name, ".");

    return glob_test(glob, name, strlen(name)) || (strlen(pattern) == stem && !strncmp(pattern, name, stem));
}

static void choose(struct get *get)
{
    for (int i = 0; i < strarray_size(&get->attributes); i++) {
        const char *pattern = strarray_nth(&get->attributes, i);
        struct glob *glob = glob_init(pattern, '/', 0);
        for (enum kind k = 0; k < NUM_KINDS; k++) {
            get->value[k] |= attribute_is(glob, pattern, value_names[k]);
            get->size[k] |= attribute_is(glob, pattern, size_names[k]);
        }
        glob_free(&glob);
    }
}

void cmd_getannotation(struct imap_session *s)
{
    extname_t name = EXTNAME_NONE;
    struct get get = { 0 };

    if (imap_arg_mailbox(s, &name) && imap_arg_more(s) &&
        strings(s, &get.entries, "Missing annotation entry", "Missing close paren in annotation entry list ") &&
        strings(s, &get.attributes, "Missing annotation attribute(s)",
                "Missing close paren in annotation attribute list") &&
        imap_arg_end(s)) {
        choose(&get);
        imap_result(s, on_each(s, name, get_one, &get));
    }
    free(get.list);
    strarray_fini(&get.entries);
    strarray_fini(&get.attributes);
    extname_free(&name);
}

/* ---- SETANNOTATION ---- */

struct set {
    struct metadata_setting *list, **tail;
    bool denied; /* an attribute that nobody may set, or that is none */
};

/* What type a value has is nobody's affair any more: it is taken, and forgotten. */
static void take(struct set *set, const char *entry, const char *attribute, struct buf *value, bool nil)
{
    for (enum kind k = 0; k < NUM_KINDS; k++) {
        if (!strcmp(attribute, type_names[k])) return;
        if (strcmp(attribute, value_names[k])) continue;
        struct metadata_setting *setting = xzmalloc(sizeof(*setting));
        setting->entry = xasprintf("%s%s", prefixes[k], entry);
        setting->nil = nil;
        buf_move(&setting->value, value);
        *set->tail = setting;
        set->tail = &setting->next;
        if (*entry == '/' && !strpbrk(entry, "*%")) return;
    }
    set->denied = true;
}

/* ("attribute" value ...) behind a blank. False: answered. */
static bool values(struct imap_session *s, struct set *set, const char *entry)
{
    struct buf attribute = BUF_INITIALIZER, value = BUF_INITIALIZER;
    bool nil, ok = s->c == ' ' && (s->c = prot_getc(s->in)) == '(';

    if (!ok) bad(s, "Missing annotation attribute-values list");
    while (ok) {
        s->c = getstring(s->in, s->out, &attribute);
        ok = s->c >= 0 || bad(s, "Missing annotation attribute");
        if (!ok) break;
        s->c = s->c == ' ' ? getbnstring(s->in, s->out, &value, &nil) : IMPARSE_BAD;
        ok = s->c >= 0 || bad(s, "Missing annotation value");
        if (ok) take(set, entry, buf_cstring(&attribute), &value, nil);
        if (!ok || s->c != ' ') break;
    }
    if (ok) ok = s->c == ')' || bad(s, "Missing close paren in annotation attribute-values list");
    if (ok) s->c = prot_getc(s->in);
    buf_free(&attribute);
    buf_free(&value);
    return ok;
}

/* "entry" (...) ["entry" (...) ...], all of it in parentheses or not. False: answered. */
static bool entries(struct imap_session *s, struct set *set)
{
    struct buf entry = BUF_INITIALIZER;
    bool many = imap_arg_peek(s) == '(', ok;

    if (many) prot_getc(s->in);
    do {
        s->c = getstring(s->in, s->out, &entry);
        ok = s->c >= 0 || bad(s, "Missing annotation entry");
        if (ok) ok = values(s, set, buf_cstring(&entry));
    } while (ok && s->c == ' ');
    if (ok && many) {
        ok = s->c == ')' || bad(s, "Missing close paren in annotation entry list ");
        if (ok) s->c = prot_getc(s->in);
    }
    buf_free(&entry);
    return ok;
}

static int set_one(struct imap_session *s, const mbentry_t *mbentry, void *rock)
{
    const struct set *set = rock;

    return set->denied ? IMAP_PERMISSION_DENIED : imap_set_metadata(s, mbentry, set->list);
}

void cmd_setannotation(struct imap_session *s)
{
    extname_t name = EXTNAME_NONE;
    struct set set = { .tail = &set.list };

    if (imap_arg_mailbox(s, &name) && imap_arg_more(s) && entries(s, &set) && imap_arg_end(s))
        imap_result(s, on_each(s, name, set_one, &set));
    metadata_settings_free(set.list);
    extname_free(&name);
}
