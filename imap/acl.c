/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * acl -- rights letters and access control lists
 *
 * Reading skips what it does not know: an entry of a later version must not take
 * away the others. Writing keeps the order of the entries, because GETACL shows
 * it, and never makes an identifier that cyrus.header could only hold as a
 * literal, because 3.6.1 can't read such a file again (handbook 02 §2.2).
 */
#include <config.h>

#include "acl.h"

#include <stdlib.h>
#include <string.h>

#include "auth.h"
#include "buf.h"
#include "dlist.h"
#include "dlist_scan.h"
#include "imap_err.h"
#include "names_config.h"
#include "util.h"
#include "xmalloc.h"

static const char letters[] = "lrswipkxtean0123456789"; /* bit n is letters[n] */

static uint32_t letter_bit(char c)
{
    const char *p = c ? strchr(letters, c) : NULL;

    return p ? 1u << (p - letters) : 0;
}

/* Rights that the old letters c and d stand for; deleteright says which of them deletes
 * mailboxes. */
static uint32_t macro_c(char deleteright)
{
    return ACL_CREATE | (deleteright == 'c' ? ACL_DELETEMBOX : 0);
}

static uint32_t macro_d(char deleteright)
{
    return ACL_DELETEMSG | ACL_EXPUNGE | (deleteright == 'd' ? ACL_DELETEMBOX : 0);
}

/* True: all letters known. */
static bool parse_rights(const char *str, size_t len, uint32_t *mask, char *bad)
{
    char deleteright = names_deleteright();
    uint32_t plain = 0;
    bool c = false, d = false, known = true;

    for (size_t i = 0; i < len; i++) {
        uint32_t bit = letter_bit(str[i]);
        plain |= bit;
        if (str[i] == deleteright && str[i] != 'c' && str[i] != 'd') plain |= ACL_DELETEMBOX;
        if (str[i] == 'c')
            c = true;
        else if (str[i] == 'd')
            d = true;
        else if (!bit && str[i] != deleteright && known) {
            known = false;
            if (bad) *bad = str[i];
        }
    }
    *mask = plain;
    /* a macro says nothing where one of its members is named */
    if (c && !(plain & macro_c(deleteright))) *mask |= macro_c(deleteright);
    if (d && !(plain & macro_d(deleteright))) *mask |= macro_d(deleteright);
    return known;
}

bool cyrus_acl_strtomask(const char *str, uint32_t *mask, char *bad)
{
    return parse_rights(str, strlen(str), mask, bad);
}

uint32_t cyrus_acl_strtomask_lax(const char *str, size_t len)
{
    uint32_t mask;

    parse_rights(str, len, &mask, NULL);
    return mask;
}

static char *put_bits(char *p, uint32_t mask, uint32_t bits)
{
    for (size_t i = 0; letters[i]; i++) {
        if (mask & bits & (1u << i)) *p++ = letters[i];
    }
    return p;
}

const char *cyrus_acl_masktostr(uint32_t mask, char str[ACL_MAXSTR])
{
    char deleteright = names_deleteright();
    char *p = str;

    p = put_bits(p, mask,
                 ACL_LOOKUP | ACL_READ | ACL_SETSEEN | ACL_WRITE | ACL_INSERT | ACL_POST |
                     ACL_CREATE | ACL_DELETEMBOX | ACL_DELETEMSG | ACL_EXPUNGE);
    if (mask & (deleteright == 'c' ? ACL_CREATE | ACL_DELETEMBOX : ACL_CREATE)) *p++ = 'c';
    if (mask & (ACL_DELETEMSG | ACL_EXPUNGE)) *p++ = 'd';
    p = put_bits(p, mask, ACL_ADMIN | ACL_ANNOTATEMSG | (ACL_FULL & ~(uint32_t)ACL_ALL));
    *p = '\0';
    return str;
}

/* ---- walking ---- */

bool cyrus_acl_next(const char **p, struct acl_item *item)
{
    if (!*p || !**p) return false;

    item->identifier = *p;
    item->idlen = strcspn(*p, "\t");
    *p += item->idlen;
    if (**p) (*p)++;
    item->rights = *p;
    item->rightslen = strcspn(*p, "\t");
    *p += item->rightslen;
    if (**p) (*p)++;
    return true;
}

static bool is_identifier(const struct acl_item *item, const char *identifier)
{
    return strlen(identifier) == item->idlen && !memcmp(identifier, item->identifier, item->idlen);
}

uint32_t cyrus_acl_rights_of(const char *acl, const char *identifier)
{
    struct acl_item item;

    while (cyrus_acl_next(&acl, &item)) {
        if (is_identifier(&item, identifier))
            return cyrus_acl_strtomask_lax(item.rights, item.rightslen);
    }
    return 0;
}

uint32_t cyrus_acl_myrights(const struct auth_state *auth, const char *acl)
{
    struct acl_item item;
    uint32_t plus = 0, minus = 0;

    while (cyrus_acl_next(&acl, &item)) {
        bool negative = item.idlen && item.identifier[0] == '-';
        const char *id = item.identifier + negative;
        size_t len = item.idlen - negative;
        /* groups that could not be learned take rights, but never give any */
        bool feared = negative && len > 6 && !memcmp(id, "group:", 6) && auth_groups_unknown(auth);
        if (!feared && !auth_memberof_len(auth, id, len)) continue;
        *(negative ? &minus : &plus) |= cyrus_acl_strtomask_lax(item.rights, item.rightslen);
    }
    uint32_t rights = plus & ~minus;
    if ((rights & ACL_ADMIN) && names_acl_admin_implies_write())
        rights |= ACL_SETSEEN | ACL_WRITE | ACL_INSERT | ACL_DELETEMSG | ACL_EXPUNGE |
                  ACL_ANNOTATEMSG;
    return rights;
}

/* ---- editing ---- */

bool cyrus_acl_identifier_isvalid(const char *identifier)
{
    const char *p = identifier + (identifier[0] == '-');

    if (!*p || strlen(identifier) >= AUTH_IDMAX) return false;
    for (; *p; p++) {
        if ((unsigned char)*p < ' ' || (unsigned char)*p >= 0x7f || strchr("\"%\\", *p))
            return false;
    }
    return true;
}

static void append_entry(struct buf *out, const char *identifier, size_t idlen, uint32_t mask)
{
    char str[ACL_MAXSTR];

    buf_appendmap(out, identifier, idlen);
    buf_putc(out, '\t');
    buf_appendcstr(out, cyrus_acl_masktostr(mask, str));
    buf_putc(out, '\t');
}

/* *aclp with the rights of one identifier replaced; 0 removes the entry. Other entries keep their
 * bytes. */
static void replace_rights(char **aclp, const char *identifier, uint32_t mask)
{
    struct buf out = BUF_INITIALIZER;
    const char *p = *aclp;
    struct acl_item item;
    bool done = !mask;

    while (cyrus_acl_next(&p, &item)) {
        if (!is_identifier(&item, identifier)) {
            buf_appendmap(&out, item.identifier, item.idlen);
            buf_putc(&out, '\t');
            buf_appendmap(&out, item.rights, item.rightslen);
            buf_putc(&out, '\t');
        }
        else if (!done) {
            append_entry(&out, identifier, item.idlen, mask);
            done = true;
        }
    }
    if (!done) append_entry(&out, identifier, strlen(identifier), mask);
    buf_cstring(&out);
    free(*aclp);
    *aclp = buf_release(&out);
}

/* The owner's implicit rights, when the change is his or about him. */
static uint32_t implicit_for(const struct acl_owner *owner, const char *identifier)
{
    if (!owner || !owner->owner || strcmp(identifier, owner->owner)) return 0;
    return owner->implicit;
}

static void keep_owner(char **aclp, const char *identifier, const struct acl_owner *owner)
{
    if (!owner || !owner->owner || !owner->userid || strcmp(owner->userid, owner->owner)) return;
    if (!strcmp(identifier, owner->owner)) return; /* done already */
    uint32_t has = cyrus_acl_rights_of(*aclp, owner->owner);
    if ((has | owner->implicit) != has) replace_rights(aclp, owner->owner, has | owner->implicit);
}

int cyrus_acl_set(char **aclp, const char *identifier, enum acl_mode mode, uint32_t mask,
                  const struct acl_owner *owner)
{
    if (!cyrus_acl_identifier_isvalid(identifier)) return IMAP_INVALID_IDENTIFIER;

    uint32_t has = cyrus_acl_rights_of(*aclp, identifier);
    if (mode == ACL_MODE_ADD)
        mask = has | mask;
    else if (mode == ACL_MODE_REMOVE)
        mask = has & ~mask;
    replace_rights(aclp, identifier, (mask & ACL_FULL) | implicit_for(owner, identifier));
    keep_owner(aclp, identifier, owner);
    return 0;
}

int cyrus_acl_remove(char **aclp, const char *identifier, const struct acl_owner *owner)
{
    /* any identifier that is there may go, also one that could not be made here */
    replace_rights(aclp, identifier, implicit_for(owner, identifier));
    keep_owner(aclp, identifier, owner);
    return 0;
}

/* ---- forms ---- */

void cyrus_acl_print(const char *acl, struct buf *out)
{
    struct acl_item item;
    const char *sep = "";

    buf_appendcstr(out, "%(");
    while (cyrus_acl_next(&acl, &item)) {
        buf_appendcstr(out, sep);
        dlist_printstring(out, item.identifier, item.idlen, true);
        buf_putc(out, ' ');
        dlist_printstring(out, item.rights, item.rightslen, true);
        sep = " ";
    }
    buf_putc(out, ')');
}

bool cyrus_acl_scan(struct dlist_scan *sc, char **aclp)
{
    struct buf out = BUF_INITIALIZER;

    xzfree(*aclp);
    if (!dlist_scan_enter(sc, DLS_KVLIST)) return false;
    while (dlist_scan_key(sc)) {
        if (memchr(sc->s, '\t', sc->len) || memchr(sc->s, '\0', sc->len)) sc->failed = true;
        buf_appendmap(&out, sc->s, sc->len);
        buf_putc(&out, '\t');
        if (dlist_scan_next(sc) != DLS_STRING || memchr(sc->s, '\t', sc->len) ||
            memchr(sc->s, '\0', sc->len))
            sc->failed = true;
        buf_appendmap(&out, sc->s, sc->failed ? 0 : sc->len);
        buf_putc(&out, '\t');
    }
    if (!sc->failed) *aclp = xstrdup(buf_cstring(&out));
    buf_free(&out);
    return !sc->failed;
}

char *cyrus_acl_normalise(const char *acl, size_t len)
{
    struct buf out = BUF_INITIALIZER;
    bool ok = !memchr(acl, '\0', len);
    size_t tabs = 0;

    buf_setmap(&out, acl, len);
    if (len && acl[len - 1] != '\t') buf_putc(&out, '\t');
    const char *text = buf_cstring(&out);
    for (const char *p = text; *p; p++) {
        if (*p != '\t') continue;
        if (p == text || (p[-1] == '\t' && tabs % 2 == 0)) ok = false; /* an empty identifier */
        tabs++;
    }
    if (!ok || tabs % 2) {
        buf_free(&out);
        return NULL;
    }
    return buf_release(&out);
}
