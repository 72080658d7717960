/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_IMAP_SESSION_H
#define INCLUDED_IMAP_SESSION_H
/*
 * imap_session -- one IMAP connection: who it is, what it has selected, how it answers
 *
 * imapd.c makes the session and reads commands; each command is a function of
 * imapcmd/ that parses its arguments with the imap_arg functions, works, and ends with
 * exactly one tagged answer. Everything a command needs is in struct imap_session.
 *
 * Mailbox names are external (what the client typed) until imap_intname() has made
 * them internal. Nothing is sent while a lock is held.
 *
 * Handbook 04 §1, §2.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth.h"
#include "buf.h"
#include "imparse.h"
#include "mbentry.h"
#include "namespace.h"
#include "prot.h"
#include "saslserver.h"

struct index_state;
struct service_client;
struct tls_ctx;
struct tls_session;
struct imap_command;

/* Options of the program, the same for all sessions. */
struct imap_options {
    bool tls_at_once;  /* -s */
    bool nopassword;   /* -N */
    bool ignorequota;  /* -q */
    unsigned extssf;   /* -p */
    int idle_poll;     /* seconds, imapidlepoll; 0: no IDLE */
    int idle_timeout;  /* seconds */
    int timeout;       /* seconds */
    bool readonly;
    bool conversations;
    uint64_t maxmessagesize; /* bytes; 0: none */
};

struct imap_session {
    const struct imap_options *options;
    const struct service_client *client;
    struct protstream *in, *out;
    struct saslserver *sasl;
    struct saslserver_policy policy;
    struct tls_ctx **tls_ctx; /* the process's; *tls_ctx NULL until the first STARTTLS */
    struct tls_session *tls;  /* NULL: none */
    bool compressed;
    int telemetry_fd; /* -1: none */

    /* who; userid NULL: not logged in */
    char *userid;
    struct auth_state *auth;
    bool isadmin, isproxyadmin;
    bool list_subscribed, list_dav; /* imapmagicplus: user+, user+dav */
    struct namespace ns;

    /* what */
    struct index_state *index; /* NULL: none selected */
    bool condstore, qresync;   /* told once: MODSEQ in FETCH; VANISHED */
    bool id_told;

    /* the command that is running */
    const struct imap_command *command;
    struct buf tag;
    struct buf cmdname;   /* "Fetch"; "Uid" for all UID commands: generic errors */
    const char *modname;  /* "Fetch", "UID Fetch": errors of modifiers */
    bool usinguid;
    int c;                /* last byte taken from `in`, or a negative imparse_result */
    bool answered;        /* a tagged answer was given */
    bool closing;         /* end the session after this command */
    double cpu_start, start; /* seconds */
};

/* ---- life (imap_session.c) ---- */
void imap_session_init(struct imap_session *s, const struct imap_options *options, const struct service_client *client,
                       struct protstream *in, struct protstream *out, struct tls_ctx **tls_ctx);
void imap_session_fini(struct imap_session *s);
/* Back to the not-authenticated state: closes the mailbox, forgets who it was. */
void imap_session_logout(struct imap_session *s);
/* After authentication: identity from s->sasl. 0, or IMAP_INVALID_USER and the like. */
int imap_session_login(struct imap_session *s);
/* Closes the selected mailbox (autoexpunge included). */
void imap_session_unselect(struct imap_session *s);
/* The proc file: user, mailbox and command as they are now. */
void imap_session_register(struct imap_session *s, const char *cmd);

/* ---- the dispatcher (imap_dispatch.c) ---- */
/* Greeting, then commands until the end. */
void imap_session_run(struct imap_session *s);
/* One command. False: the session is over. */
bool imap_session_command(struct imap_session *s);

enum {
    CMD_AUTH = 1 << 0,     /* needs a login */
    CMD_SELECTED = 1 << 1, /* needs a selected mailbox */
    CMD_ADMIN = 1 << 2,    /* unknown to all but admins */
    CMD_WRITE = 1 << 3,    /* refused with `readonly` */
    CMD_EXPUNGES = 1 << 4, /* expunges of others are told at its end */
    CMD_QUIET = 1 << 5,    /* nothing of the selected mailbox is told at its end */
    CMD_UID = 1 << 6,      /* also behind UID */
    CMD_ONLYUID = 1 << 7,  /* only behind UID (none yet) */
    CMD_NOAUTH = 1 << 8,   /* looked at before login */
};
struct imap_command {
    const char *name; /* upper case */
    void (*run)(struct imap_session *s);
    unsigned flags;
};
/* By name, any case; NULL: unknown. The table is imapcmd/commands.c. */
const struct imap_command *imap_command_find(const char *name);

/* ---- arguments (imap_args.c): on false the answer has been given ---- */
/* The command goes on with a blank. BAD Missing required argument. */
bool imap_arg_more(struct imap_session *s);
/* SP astring / word / string of digits into buf. */
bool imap_arg_astring(struct imap_session *s, struct buf *buf);
bool imap_arg_word(struct imap_session *s, struct buf *buf);
/* SP sequence-set. BAD Invalid sequence. */
bool imap_arg_sequence(struct imap_session *s, struct buf *buf);
/* The line ends here. BAD Unexpected extra arguments. */
bool imap_arg_end(struct imap_session *s);
/* The next byte without taking it. */
int imap_arg_peek(struct imap_session *s);
/* s->c is the end of the line (the LF of a CRLF is taken). */
bool imap_at_eol(struct imap_session *s);

/* ---- answers (imap_answer.c) ---- */
/* Skips the rest of the line and answers BAD; where s->c tells of something worse: NO [TOOBIG], BYE. Without format: as s->c says. */
void imap_bad(struct imap_session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Changes of the selected mailbox, then the tagged line. */
void imap_ok(struct imap_session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void imap_no(struct imap_session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* OK Completed, or NO with the text of the error. */
void imap_result(struct imap_session *s, int r);
/* BYE, and the session ends. */
void imap_bye(struct imap_session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Skips the rest of the command line after an error that leaves it unread (literals too). */
void imap_skip(struct imap_session *s);
/* Tells what is new in the selected mailbox (imap_report.c). quiet (may be NULL): UIDs whose new flags up to
 * quiet_modseq the client knows. */
struct seqset;
void imap_report(struct imap_session *s, bool expunges, const struct seqset *quiet, uint64_t quiet_modseq);
struct index_message;
void imap_print_flags(struct imap_session *s, const struct index_message *msg);
void imap_print_flaglists(struct imap_session *s); /* FLAGS and PERMANENTFLAGS */
/* "* OK [HIGHESTMODSEQ n] CONDSTORE enabled by WHAT", once. */
void imap_enable_condstore(struct imap_session *s, const char *what);
/* "IMAP4rev1 LITERAL+ ...": all (CAPABILITY) or those of the greeting (imap_capability.c). */
void imap_capabilities(struct imap_session *s, bool all, struct buf *out);

/* ---- names and rights (imap_names.c) ---- */
/* Internal name of what the client typed, the caller frees; NULL: IMAP_MAILBOX_BADNAME. */
char *imap_intname(const struct imap_session *s, const char *extname);
/* External name for the client, the caller frees. */
char *imap_extname(const struct imap_session *s, const char *intname);
/* Rights of this session, with what admins have implicitly (handbook 04 §5.2). */
uint32_t imap_rights(const struct imap_session *s, const mbentry_t *mbentry);
bool imap_is_owner(const struct imap_session *s, const char *intname);
/*
 * Looks an external name up and checks that the session has all rights of `need`: else IMAP_PERMISSION_DENIED, or
 * IMAP_MAILBOX_NONEXISTENT when it may not even see it. *intname (may be NULL) and *mbentry are the caller's.
 */
int imap_lookup(const struct imap_session *s, const char *extname, uint32_t need, char **intname, mbentry_t **mbentry);
/* The answer to a missing target: "[TRYCREATE] " in front if this session may create it. */
void imap_no_target(struct imap_session *s, const char *intname, int r);

#endif
