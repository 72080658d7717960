/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_USER_CODEC_H
#define INCLUDED_USER_CODEC_H
/*
 * user_codec -- records of users.db: what is known of a user as a whole (doc/users.md)
 *
 * Values are dlists. Reading is liberal (any key order, unknown keys), writing is exact.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "quota_codec.h"
#include "strarray.h"

struct buf;

enum user_state {
    USER_ACTIVE,
    USER_DISABLED,  /* nobody logs in; mail is delivered as configured */
    USER_MOVING_IN, /* replication fills it; clients don't see it */
    USER_MOVED,     /* lives on another server */
    USER_DELETED,   /* a tombstone */
    USER_MOVING_OUT, /* his mailboxes are here, but another server has them now, or in a moment (move_user) */
};

/* A quota root that went with the user. */
struct user_limits {
    char *root; /* internal name */
    int64_t limits[QUOTA_NUMRESOURCES];
};

/* A name that he had. */
struct user_former {
    char *userid;
    time_t until;
};

struct user_record {
    char *id;     /* uniqueid of the INBOX: the key */
    char *userid; /* now; of a tombstone: when he was deleted */
    enum user_state state;
    enum user_state before;    /* USER_DELETED: the state until then */
    char *server;              /* USER_MOVED, USER_MOVING_OUT: where to; NULL: not known */
    char *reason;              /* USER_DISABLED: told to who tries to log in; NULL: none */
    char *home;                /* the server of a pair that is primary for him (user_home.h); NULL: none is */
    uint64_t epoch;            /* how often that was said: only grows */
    time_t home_since;
    time_t created;            /* 0: before there were records */
    time_t changed;            /* of state, name or reason */
    struct user_former *former; /* newest first */
    size_t nformer;
    /* of a tombstone, for undelete */
    struct user_limits *limits;
    size_t nlimits;
    strarray_t subscribed; /* internal names */
};

#define USER_MAXFORMER 64    /* older names are forgotten */
#define USER_MAXREASON 512   /* bytes */
#define USER_MAXUSERID 1024  /* bytes */

struct user_record *user_record_new(const char *id, const char *userid, enum user_state state);
struct user_record *user_record_dup(const struct user_record *rec);
void user_record_free(struct user_record **recp);
void user_record_set_text(char **field, const char *text);
/* Forgets what only a tombstone has. */
void user_record_drop_kept(struct user_record *rec);
void user_record_add_limits(struct user_record *rec, const struct quota *q);
/* server NULL: no home. */
void user_record_set_home(struct user_record *rec, const char *server, uint64_t epoch, time_t since);
/* Another name from now on; the present one becomes a former one. */
void user_record_set_userid(struct user_record *rec, const char *userid, time_t now);

const char *user_state_name(enum user_state state);
/* Only admins see the mailboxes of such users. */
bool user_state_is_hidden(enum user_state state);
bool user_state_parse(const char *text, enum user_state *state);
/* No controls, no SEPARATOR of keys, not too long. */
bool user_text_isvalid(const char *text, size_t max);

/* ---- keys (replace *out) ---- */
#define USER_KEY_SEP '\x1f'
void user_key_record(const char *id, struct buf *out);                     /* "U" id */
void user_key_name(const char *userid, struct buf *out);                   /* "N" userid: the id of who has the name */
void user_key_hidden(const char *userid, struct buf *out);                 /* "M" userid: the same, if he is hidden */
void user_key_home(const char *userid, struct buf *out);                   /* "A" userid: the same, if he has a home */
void user_key_deleted(const char *userid, const char *id, struct buf *out); /* "D" userid 0x1F id; id NULL: the prefix */

/* ---- values ---- */
void user_record_encode(const struct user_record *rec, struct buf *out);
/* The id is that of the key. IMAP_MAILBOX_BADFORMAT. */
int user_record_decode(const char *id, size_t idlen, const char *val, size_t len, struct user_record **recp);

#endif
