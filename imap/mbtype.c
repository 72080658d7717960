/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mbtype -- mailbox types and their letters
 *
 * One table each for types and for flags serves both directions. A letter that
 * is in neither, or a second type, is an error of that text: it comes from a
 * file or from a peer, and must not end the process. Only "f" may follow an "e":
 * it was a flag once (handbook 02 §1.6).
 */
#include <config.h>

#include "mbtype.h"

#include <string.h>

#include "imap_err.h"

static const struct letter {
    char letter;
    uint32_t value;
} types[] = {
    { 'e', MBTYPE_EMAIL },
    { 'n', MBTYPE_NETNEWS },
    { 's', MBTYPE_JMAPSUBMIT },
    { 'p', MBTYPE_JMAPPUSHSUB },
    { 'f', MBTYPE_SIEVE },
    { 'b', MBTYPE_COLLECTION },
    { 'c', MBTYPE_CALENDAR },
    { 'a', MBTYPE_ADDRESSBOOK },
    { 0, 0 },
}, flags[] = {
    /* in the order of the text */
    { 'd', MBTYPE_DELETED },
    { 'm', MBTYPE_MOVING },
    { 'r', MBTYPE_REMOTE },
    { 'z', MBTYPE_RESERVE },
    { 'i', MBTYPE_INTERMEDIATE },
    { 'l', MBTYPE_LEGACY_DIRS },
    { 0, 0 },
};

static const struct letter *find_letter(const struct letter *table, char c)
{
    for (const struct letter *l = table; l->letter; l++) {
        if (l->letter == c) return l;
    }
    return NULL;
}

const char *mbtype_to_string(uint32_t mbtype, char buf[MBTYPE_STRING_MAX])
{
    char *p = buf;

    *p = 'e';
    for (const struct letter *l = types; l->letter; l++) {
        if (l->value == mbtype_isa(mbtype)) *p = l->letter;
    }
    p++;
    for (const struct letter *l = flags; l->letter; l++) {
        if (mbtype & l->value) *p++ = l->letter;
    }
    *p = '\0';
    return buf;
}

int mbtype_from_string(const char *s, uint32_t *mbtype)
{
    uint32_t value = 0;
    bool typed = false;

    for (; *s; s++) {
        const struct letter *l = find_letter(types, *s);
        if (l && typed && (l->value != MBTYPE_SIEVE || mbtype_isa(value)))
            return IMAP_MAILBOX_BADTYPE;
        if (l)
            typed = true;
        else
            l = find_letter(flags, *s);
        if (!l) return IMAP_MAILBOX_BADTYPE;
        value |= l->value;
    }
    *mbtype = value;
    return 0;
}
