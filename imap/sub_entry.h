/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SUB_ENTRY_H
#define INCLUDED_SUB_ENTRY_H
/*
 * sub_entry -- who wrote a subscription last: records of subhistory, and how two histories become one
 *
 * An entry says of a name whether it is subscribed, and when that was said last (doc/subhistory.md). Of two entries the
 * one with the greater stamp holds; with equal stamps "subscribed" does. So histories can be merged in
 * any order, any number of times, with the same result.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

struct sub_entry {
    char *name; /* internal */
    bool on;
    uint64_t stamp; /* microseconds since the epoch, or more: it only grows */
    char *uniqueid; /* of the mailbox that had the name when this was said; NULL: none, or not known */
};
#define SUB_STAMP_MAX (UINT64_MAX / 4) /* a greater one is refused, so that a greater one can always be found */

/* ---- the value of a record: "1 on 1795665643123456 UNIQUEID" ---- */
void sub_entry_encode(const struct sub_entry *e, struct buf *out);
/* e->name is not touched; the old uniqueid is freed. IMAP_MAILBOX_BADFORMAT. */
int sub_entry_decode(const char *val, size_t len, struct sub_entry *e);
/* Could it be the uniqueid of a mailbox: printable, without blanks, not too long? */
bool sub_uniqueid_isvalid(const char *uniqueid);

/* ---- which holds ---- */
/* < 0: b holds; > 0: a does; 0: they say the same. Names are not looked at. */
int sub_entry_cmp(const struct sub_entry *a, const struct sub_entry *b);

/* ---- lists, in byte order of the names, each once ---- */
struct sub_list {
    struct sub_entry *v;
    size_t n, alloc;
};
#define SUB_LIST_INITIALIZER { NULL, 0, 0 }
const struct sub_entry *sub_list_find(const struct sub_list *list, const char *name);
/* Sets what is said of e->name (copied), whatever was said before. */
void sub_list_set(struct sub_list *list, const struct sub_entry *e);
/* The same, if e holds against what was said. */
bool sub_list_merge(struct sub_list *list, const struct sub_entry *e);
void sub_list_fini(struct sub_list *list);

/* ---- comparing two ends ----
 * Names fall into 16 classes; the digest has 16 hex digits for each. Two ends have the same history if their digests are
 * equal, else they differ in the classes whose digits do. */
#define SUB_CLASSES 16
#define SUB_CLASS_DIGITS 16
#define SUB_DIGEST_LEN ((size_t)SUB_CLASSES * SUB_CLASS_DIGITS)
unsigned sub_class(const char *name);
/* Replace *out. */
void sub_list_digest(const struct sub_list *list, struct buf *out);
/* Bit n: class n differs. False: one is no digest. */
bool sub_digest_differ(const char *a, const char *b, unsigned *classes);

/*
 * What each end must be told: theirs is their history in these classes. *take: what holds of theirs, *give: what
 * holds of ours. Empty lists come in.
 */
void sub_list_compare(const struct sub_list *ours, const struct sub_list *theirs, unsigned classes,
                      struct sub_list *take, struct sub_list *give);

/*
 * Both ends have spoken of one mailbox, under two names, since they met: one has renamed it, or seen it under its new name. Who
 * spoke last is heard: the name that the mailbox has now gets what was said last, other names are
 * given up. now() is the name of a uniqueid, malloc'ed, or NULL. stamp: greater than all known.
 * Changes go into merged (what both will have) and both lists.
 */
typedef char *sub_name_now(const char *uniqueid, void *rock);
void sub_list_follow(struct sub_list *merged, struct sub_list *take, struct sub_list *give, uint64_t stamp,
                     sub_name_now *now, void *rock);

#endif
