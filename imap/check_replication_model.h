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

#include "hash.h"
#include "mailbox_index.h"
#include "strarray.h"
#include "sync_walk.h"

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
    bool seen, flagged_deleted;
    bool has_body;            /* --deep: it was fetched */
    struct message_guid body; /* of what was fetched */
};

struct check_mailbox {
    char *name, *uniqueid, *quotaroot; /* quotaroot "": none */
    struct check_pairs acl;            /* identifier: rights in order of the letters */
    struct check_pairs metadata;       /* "/shared/..." and the user's "/private/..." */
    struct check_pairs sync;           /* type, options ...: what the sync protocol tells */
    char *intname, *partition;         /* NULL: the server does not tell */
    char *history;                     /* former names, newest first; NULL: none, or not told */
    bool sealed; /* no session can examine it: kept under the deleted prefix, or not mail */
    bool opened; /* the facts below, and messages, can be learned */
    bool whole;  /* all messages are held, from GET FULLMAILBOX, with fewer facts */
    uint32_t exists, uidvalidity, uidnext;
    modseq_t highestmodseq, createdmodseq;
    uint32_t convexists, convunseen; /* conversations */
    modseq_t convmodseq;
    struct check_message *messages; /* rising UIDs: those that are held just now */
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
        bool deleted; /* \Deleted: no conversation counts it */
    } * copies;
    size_t alloc;
    struct check_part { /* a mailbox, in the order in which they were read */
        const char *name, *uniqueid; /* the mailbox's; uniqueid NULL: not known */
        uint64_t octets, messages;
    } * parts;
    size_t nparts, partalloc;
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
    hash_table byname; /* name: position + 1 */
    strarray_t subscriptions;
    struct check_pairs reads;   /* unique id of another's mailbox: "last UID, UIDs seen" */
    struct check_pairs scripts; /* Sieve: name: digest; the active one: "active" */
    struct check_quota *quotas;
    size_t nquotas;
};

void check_user_init(struct check_user *user, const char *userid);
void check_user_free(struct check_user *user);
/* A new element at the end; valid until the next one is added. */
struct check_mailbox *check_user_addmailbox(struct check_user *user, const char *name);
/* NULL: the user has none of that name. */
struct check_mailbox *check_user_find(const struct check_user *user, const char *name);
struct check_message *check_mailbox_addmessage(struct check_mailbox *mbox, uint32_t uid);
/* The quota root of that name, made if it is new. */
struct check_quota *check_user_quota(struct check_user *user, const char *root);
void check_quota_add(struct check_quota *quota, const char *name, uint64_t used, uint64_t limit);
/* Count the messages that are held just now for the quota root of the mailbox. */
void check_user_count(struct check_user *user, const struct check_mailbox *mbox);
void check_mailbox_dropmessages(struct check_mailbox *mbox);
/* Bring mailboxes, pairs, subscriptions and roots into order. */
void check_user_sort(struct check_user *user);

/* ---- what a server can tell ---- */

/* fact, word of CAPABILITY (or of FETCH, for CID) that stands for it, what can't be compared without it */
#define CHECK_FACT_TABLE(X)                                                                \
    X(CHECK_FACT_DIGEST, "DIGEST=SHA1", "message digests")                                 \
    X(CHECK_FACT_MODSEQ, "CONDSTORE", "message modseqs")                                   \
    X(CHECK_FACT_CREATED, "X-CREATEDMODSEQ", "created modseqs")                            \
    X(CHECK_FACT_SAVEDATE, "SAVEDATE", "save dates")                                       \
    X(CHECK_FACT_ANNOTATION, "ANNOTATE-EXPERIMENT-1", "message annotations")               \
    X(CHECK_FACT_CID, "FETCH CID", "conversation ids")                                     \
    X(CHECK_FACT_METADATA, "METADATA", "unique ids, special uses and mailbox annotations") \
    X(CHECK_FACT_ACL, "ACL", "ACLs")                                                       \
    X(CHECK_FACT_SUBSCRIBED, "LIST-EXTENDED", "subscriptions")                             \
    X(CHECK_FACT_QUOTA, "QUOTA", "quota roots, limits and usage")                          \
    X(CHECK_FACT_RAWQUOTA, "X-RAWQUOTA", "raw quota usage")                                \
    X(CHECK_FACT_META, "X-REPLICATION",                                                    \
      "seen state in others' mailboxes, Sieve scripts, types and options of mailboxes")    \
    X(CHECK_FACT_HISTORY, "X-NAMEHISTORY", "former names of mailboxes")

enum check_fact {
#define CHECK_FACT_CODE(code, capability, text) code,
    CHECK_FACT_TABLE(CHECK_FACT_CODE)
#undef CHECK_FACT_CODE
        CHECK_NFACTS
};
#define CHECK_FACT_BIT(fact) (1U << (fact))
const char *check_fact_name(enum check_fact fact);
const char *check_fact_capability(enum check_fact fact);

/* ---- differences ---- */

#define CHECK_WHAT_TABLE(X)                         \
    X(CHECK_USERS, "users")                         \
    X(CHECK_MAILBOXES, "mailboxes")                 \
    X(CHECK_STATE, "UIDVALIDITY, UIDNEXT, modseqs") \
    X(CHECK_ACL, "ACL entries")                     \
    X(CHECK_SPECIALUSE, "special uses")             \
    X(CHECK_METADATA, "mailbox annotations")        \
    X(CHECK_SUBSCRIPTIONS, "subscriptions")         \
    X(CHECK_READS, "seen in others' mailboxes")     \
    X(CHECK_SCRIPTS, "Sieve scripts")               \
    X(CHECK_QUOTAROOTS, "quota roots")              \
    X(CHECK_QUOTAS, "quota limits and usage")       \
    X(CHECK_RECOUNTS, "quota usage counted anew")   \
    X(CHECK_MESSAGES, "messages")                   \
    X(CHECK_CONTENTS, "sizes and digests")          \
    X(CHECK_DATES, "dates")                         \
    X(CHECK_FLAGS, "flags")                         \
    X(CHECK_SEEN, "seen")                           \
    X(CHECK_MODSEQS, "message modseqs")             \
    X(CHECK_CIDS, "conversation ids")               \
    X(CHECK_CONVERSATIONS, "conversation counts")   \
    X(CHECK_BODIES, "contents (--deep)")            \
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
    bool informational; /* told, but no reason to call the ends different */
};

/* Items looked at on each end, and differences found. */
struct check_count {
    uint64_t a, b, differ;
};

struct check_run {
    void (*report)(void *rock, const struct check_diff *diff);
    void *rock;
    const char *labels[2]; /* of A and B, for notes */
    unsigned facts[2];     /* CHECK_FACT_BITs: what each server can tell */
    struct check_count counts[CHECK_NWHATS];
    bool connected, deleted; /* facts are known; deleted mailboxes are compared too */
    bool deep;               /* bodies are compared */
    bool failed;             /* something could not be compared */
};

/* Mailboxes of both ends that belong together: by name, else by uniqueid. One side may be NULL. */
struct check_twins {
    struct check_mailbox *a, *b;
};
/* In order of the names; the caller frees. Both users are sorted. */
struct check_twins *check_pair_mailboxes(struct check_user *a, struct check_user *b, size_t *n);

/* Both servers can tell. */
bool check_run_knows(const struct check_run *run, enum check_fact fact);

/* Existence of the user, subscriptions, what was seen elsewhere, scripts. */
void check_compare_user(struct check_run *run, const struct check_user *a,
                        const struct check_user *b);
/* All facts of a pair of mailboxes but the messages. */
void check_compare_mailbox(struct check_run *run, const char *userid,
                           const struct check_twins *twins);
/* The messages of a pair; the records of the streams are the first members of check_messages.
 * All streams are read to their ends. 0, or the imap_err code of the stream *failed (0: A's). */
int check_compare_messages(struct check_run *run, const char *userid,
                           const struct check_twins *twins, struct sync_stream a,
                           struct sync_stream b, int *failed);
/* Quota roots, after the messages were counted; also whether each end's usage is that of its messages. */
void check_compare_quotas(struct check_run *run, struct check_user *a, struct check_user *b);

#endif
