/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_CHECK_REPLICATION_MODEL_H
#define INCLUDED_CHECK_REPLICATION_MODEL_H
/*
 * check_replication_model -- what one server says of one user, and what differs between two such
 *
 * A model is filled by check_replication_fetch, or by hand in a test, and compared without a
 * connection. Names are canonical: "user/anna/Work" in modified UTF-7 whatever the separator
 * and the namespace of the server. Lists are brought into order before they are compared.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mailbox_index.h"
#include "strarray.h"

/* ---- one server's view ---- */

/* Keys in byte order; a value is never NULL. */
struct check_pair {
    char *key, *value;
};
struct check_pairs {
    struct check_pair *v;
    size_t n, alloc;
};
void check_pairs_add(struct check_pairs *pairs, const char *key, const char *value);
void check_pairs_sort(struct check_pairs *pairs);
void check_pairs_free(struct check_pairs *pairs);

struct check_message {
    struct index_record rec; /* first, for the walk: uid, dates, size, guid, modseqs, cid */
    char *flags;             /* in order, blank-separated, without \Recent and \Seen */
    char *annotations;       /* in order: "entry attribute value" a line; "" for none */
    bool seen;
};

struct check_mailbox {
    char *name, *uniqueid, *quotaroot; /* quotaroot "": none */
    struct check_pairs acl;            /* identifier: rights in order of the letters */
    struct check_pairs metadata;       /* "/shared/..." and the user's "/private/..." */
    bool opened;     /* the facts below, and messages, were learned */
    bool has_cids;   /* the server keeps conversations */
    uint32_t uidvalidity, uidnext;
    modseq_t highestmodseq, createdmodseq;
    struct check_message *messages; /* rising UIDs */
    size_t nmessages, alloc;
};

struct check_resource {
    char *name; /* "STORAGE", "X-RAW-STORAGE", ... */
    uint64_t used, limit;
};

/* What the messages below a quota root add up to. */
struct check_usage {
    uint64_t octets, messages; /* every copy counts */
    struct check_copy {
        struct message_guid guid;
        uint32_t size;
    } *copies;
    size_t alloc;
    bool incomplete; /* not all messages were seen */
};

struct check_quota {
    char *root;
    struct check_resource *resources;
    size_t n;
    struct check_usage usage;
};

struct check_user {
    char *userid;
    bool exists; /* has an INBOX */
    struct check_mailbox *mailboxes;
    size_t nmailboxes, mboxalloc;
    strarray_t subscriptions;
    struct check_quota *quotas;
    size_t nquotas;
};

void check_user_init(struct check_user *user, const char *userid);
void check_user_free(struct check_user *user);
/* A new element at the end; valid until the next one is added. */
struct check_mailbox *check_user_addmailbox(struct check_user *user, const char *name);
struct check_message *check_mailbox_addmessage(struct check_mailbox *mbox, uint32_t uid);
/* The quota root of that name, made if it is new. */
struct check_quota *check_user_quota(struct check_user *user, const char *root);
void check_quota_add(struct check_quota *quota, const char *name, uint64_t used, uint64_t limit);
/* Count the messages of the mailbox for its quota root. */
void check_user_count(struct check_user *user, const struct check_mailbox *mbox);
void check_mailbox_dropmessages(struct check_mailbox *mbox);
/* Bring mailboxes, pairs, subscriptions and roots into order. */
void check_user_sort(struct check_user *user);

/* ---- differences ---- */

#define CHECK_WHAT_TABLE(X)                    \
    X(CHECK_USERS, "users")                    \
    X(CHECK_MAILBOXES, "mailboxes")            \
    X(CHECK_STATE, "UIDVALIDITY, UIDNEXT, modseqs") \
    X(CHECK_ACL, "ACL entries")                \
    X(CHECK_SPECIALUSE, "special uses")        \
    X(CHECK_METADATA, "mailbox annotations")   \
    X(CHECK_SUBSCRIPTIONS, "subscriptions")    \
    X(CHECK_QUOTAROOTS, "quota roots")         \
    X(CHECK_QUOTAS, "quota limits and usage")  \
    X(CHECK_MESSAGES, "messages")              \
    X(CHECK_CONTENTS, "sizes and digests")     \
    X(CHECK_DATES, "dates")                    \
    X(CHECK_FLAGS, "flags")                    \
    X(CHECK_SEEN, "seen")                      \
    X(CHECK_MODSEQS, "message modseqs")        \
    X(CHECK_CIDS, "conversation ids")          \
    X(CHECK_ANNOTATIONS, "message annotations")

enum check_what {
#define CHECK_WHAT_CODE(code, text) code,
    CHECK_WHAT_TABLE(CHECK_WHAT_CODE)
#undef CHECK_WHAT_CODE
    CHECK_NWHATS
};
const char *check_what_name(enum check_what what);

/* NULL for a or b: that end does not have it. */
struct check_diff {
    enum check_what what;
    const char *user, *mailbox; /* mailbox NULL: a matter of the user */
    uint32_t uid;               /* 0: a matter of the mailbox */
    const char *field;
    const char *a, *b;
    const char *note; /* what is known of the cause, or NULL */
};

/* Items looked at on each end, and differences found. */
struct check_count {
    uint64_t a, b, differ;
};

struct check_run {
    void (*report)(void *rock, const struct check_diff *diff);
    void *rock;
    const char *labels[2]; /* of A and B, for notes */
    struct check_count counts[CHECK_NWHATS];
    bool failed; /* something could not be compared */
};

/* Mailboxes of both ends that belong together: by name, else by uniqueid. One side may be NULL. */
struct check_twins {
    struct check_mailbox *a, *b;
};
/* In order of the names; the caller frees. Both users are sorted. */
struct check_twins *check_pair_mailboxes(struct check_user *a, struct check_user *b, size_t *n);

/* Existence of the user, subscriptions. */
void check_compare_user(struct check_run *run, const struct check_user *a,
                        const struct check_user *b);
/* All facts of a pair of mailboxes but the messages. */
void check_compare_mailbox(struct check_run *run, const char *userid,
                           const struct check_twins *twins);
/* The messages of a pair. 0, or an imap_err code when one end's are out of order. */
int check_compare_messages(struct check_run *run, const char *userid,
                           const struct check_twins *twins);
/* Quota roots, after the messages were counted. */
void check_compare_quotas(struct check_run *run, struct check_user *a, struct check_user *b);

#endif
