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
 * Mailbox names are external (what the client typed: extname_t) until imap_intname() has made
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
#include "mbname_forms.h"
#include "namespace.h"
#include "prot.h"
#include "saslserver.h"

struct index_state;
struct service_client;
struct tls_ctx;
struct tls_session;
struct imap_command;
struct synccmd_session;

/* Options of the program, the same for all sessions. */
struct imap_options {
    bool tls_at_once; /* -s */
    bool nopassword;  /* -N */
    bool ignorequota; /* -q */
    unsigned extssf;  /* -p */
    int idle_poll;    /* seconds, imapidlepoll; 0: no IDLE */
    int idle_timeout; /* seconds */
    int timeout;      /* seconds */
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
    time_t refusal_asked; /* user_record_refuses_now() */
    bool by_admin;        /* somebody of admins acts as userid: he may read at a server that is not the user's home */
    struct auth_state *auth;
    bool isadmin, isproxyadmin;
    bool list_subscribed; /* imapmagicplus: user+ */
    struct namespace ns;  /* ns.dav: user+dav */

    /* what */
    struct index_state *index; /* NULL: none selected */
    bool condstore, qresync;   /* told once: MODSEQ in FETCH; VANISHED */
    bool utf8accept;           /* RFC 6855; ns.utf8 is this or rev2 */
    bool rev2;                 /* RFC 9051 */
    bool uidonly;              /* no message numbers in either direction (RFC 9586) */
    struct imap_notify *notify;    /* what is told of other mailboxes, and between commands (RFC 5465); NULL: nothing */
    bool between_commands;     /* what is told now is told for NOTIFY */
    struct imap_context *contexts; /* searches that go on (RFC 5267) */
    struct seqset *saved;      /* what "$" means: UIDs of the selected mailbox (RFC 5182); NULL: none */
    bool id_told;
    struct synccmd_session *sync; /* SYNC commands; NULL: none yet */

    /* the command that is running */
    const struct imap_command *command;
    struct buf tag;
    struct buf cmdname; /* "Fetch"; "Uid" for all UID commands: generic errors */
    struct buf modname; /* "Fetch", "UID Fetch": errors of modifiers */
    bool usinguid;
    int c;                   /* last byte taken from `in`, or a negative imparse_result */
    bool answered;           /* a tagged answer was given */
    bool reported;           /* the changes of the mailbox were told already */
    bool closing;            /* end the session after this command */
    bool no_farewell;        /* without a BYE */
    double cpu_start, start; /* seconds */
    double progress_told;    /* when imap_progress() spoke last, or s->start */
};

/* ---- life (imap_session.c) ---- */
/* Zeroes *s and makes its SASL state; imap_session_fini() in any case. */
int imap_session_init(struct imap_session *s, const struct imap_options *options,
                      const struct service_client *client, struct protstream *in,
                      struct protstream *out, struct tls_ctx **tls_ctx);
void imap_session_fini(struct imap_session *s);
/* Back to the not-authenticated state: closes the mailbox, forgets who it was. */
void imap_session_logout(struct imap_session *s);
/* After authentication: identity from s->sasl. 0, or IMAP_INVALID_USER and the like. */
int imap_session_login(struct imap_session *s);
/* TLS from here on (imapcmd/starttls.c). IMAP_INTERNAL: not set up; IMAP_IOERROR: the handshake failed, nothing can be said. */
int imap_session_starttls(struct imap_session *s);
/* Closes the selected mailbox (autoexpunge included). */
void imap_session_unselect(struct imap_session *s);
/* Looks again whether the user has an INBOX by now, and makes one if autocreate says so. */
void imap_session_check_inbox(struct imap_session *s);
/* What the SYNC commands have reserved goes (imapcmd/sync.c). */
void imap_session_end_sync(struct imap_session *s);
/* Another command than the replica's: the peer has done with the users it was at. */
void imap_session_leave_sync(struct imap_session *s);
/* Is it at some user yet? Not, when it has been silent for long. */
bool imap_session_is_syncing(struct imap_session *s);
/* The client is silent: memory, mapped files and idle databases are given back until it speaks again. */
void imap_session_rest(struct imap_session *s);
/* The proc file: user, mailbox and command as they are now. */
void imap_session_register(struct imap_session *s, const char *cmd);

/* ---- the dispatcher (imap_dispatch.c) ---- */
/* Greeting, then commands until the end. */
void imap_session_run(struct imap_session *s);
/* BYE [ALERT] when the administrator has closed the service or denied it to this user. True: said. */
bool imap_session_alert(struct imap_session *s);
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
    CMD_NUMBERS = 1 << 9,  /* takes or gives message numbers, without UID */
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
/* SP astring that names a mailbox: replaces *name, which the caller frees. */
bool imap_arg_mailbox(struct imap_session *s, extname_t *name);
/* SP sequence-set or "$". BAD Invalid sequence. */
bool imap_arg_sequence(struct imap_session *s, struct buf *buf);
/* What such a text means now: message numbers; UIDs. "*" is the last message. The caller frees. */
struct seqset *imap_sequence_msgnos(const struct imap_session *s, const char *text);
bool imap_sequence_is_saved(const char *text); /* "$": valid, even if it matches nothing */
/* Replaces what "$" means; takes the set over. NULL: nothing. */
void imap_session_save(struct imap_session *s, struct seqset *uids);
/* "1:100" or "-1:-100", counted from the end (RFC 9394). As given: first may be the greater one. */
struct imap_range {
    int64_t first, last;
};
/* SP range. False: there is none, nothing answered. */
bool imap_get_range(struct imap_session *s, struct imap_range *range);
/* The places [from, to) of n that it means. */
void imap_range_of(const struct imap_range *range, size_t n, size_t *from, size_t *to);
/* The line ends here. BAD Unexpected extra arguments. */
bool imap_arg_end(struct imap_session *s);
/* s->c closes a list of the command or modifier called name; takes the byte behind it. BAD Missing close parenthesis. */
bool imap_arg_close(struct imap_session *s, struct buf *name);
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
/* OK Completed, or NO with the text of the error (and OVERQUOTA, RFC 9208 §4.4; with IMAP4rev2 the codes of RFC 5530). */
void imap_result(struct imap_session *s, int r);
/* BYE, and the session ends. */
void imap_bye(struct imap_session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Skips the rest of the command line after an error that leaves it unread (literals too). */
void imap_skip(struct imap_session *s);
/* Changes that the client knows already, because the command told it or it asked for silence. */
struct seqset;
struct imap_known {
    const struct seqset *uids;
    uint64_t modseq;  /* up to this */
    bool modseq_told; /* else MODSEQ is told with CONDSTORE all the same (RFC 7162 §3.1.3) */
};
/* Tells what is new in the selected mailbox (imap_report.c); known may be NULL. */
void imap_report(struct imap_session *s, bool expunges, const struct imap_known *known);
struct index_message;
/* "* n FETCH (", with UIDONLY "* uid UIDFETCH (". */
void imap_begin_fetch(struct imap_session *s, uint32_t msgno, uint32_t uid);
extern const char imap_uidonly_text[];
/* BAD [UIDREQUIRED]: the command names messages by number. */
void imap_uid_required(struct imap_session *s);
void imap_print_flags(struct imap_session *s, const struct index_message *msg);
void imap_print_exists(struct imap_session *s);    /* EXISTS and RECENT */
void imap_print_flaglists(struct imap_session *s); /* FLAGS and PERMANENTFLAGS */
void imap_print_mailbox(struct imap_session *s, extname_t name); /* as an astring; UTF-8 in quotes */
/* "* LIST (attributes) "/" name"; with OLDNAME when oldname is there and another (RFC 9051 §6.3.9.7, RFC 5465 §5.4). */
void imap_print_list(struct imap_session *s, const char *attributes, extname_t name, extname_t oldname);
/* The same of an internal name, for the client that named it so. */
void imap_print_named(struct imap_session *s, const char *intname, extname_t typed);
/* "* OK [HIGHESTMODSEQ n] CONDSTORE enabled by WHAT", once. */
void imap_enable_condstore(struct imap_session *s, const char *what);
/* "* OK [INPROGRESS ("tag" done total)]" when imap_progress_interval has passed; rock is the session (RFC 9585). */
void imap_progress(void *rock, uint32_t done, uint32_t total);
/* "IMAP4rev1 LITERAL+ ...": all (CAPABILITY) or those of the greeting (imap_capability.c). */
void imap_capabilities(struct imap_session *s, bool all, struct buf *out);
/* Bytes that a message may have (RFC 7889). */
uint64_t imap_appendlimit(const struct imap_session *s);

/* ---- names and rights (imap_names.c) ---- */
/* From here on quoted strings and mailbox names are UTF-8, or they are not. */
void imap_session_set_utf8(struct imap_session *s, bool on);
/* Internal name of what the client typed, the caller frees; NULL: IMAP_MAILBOX_BADNAME. In UTF-8 a name of no mailbox
 * becomes the one of RFC 5198: composed characters, no control characters. */
char *imap_intname(const struct imap_session *s, extname_t extname);
/* External name for the client, the caller frees; one that this session cannot be told is spelled as it is inside. */
extname_t imap_extname(const struct imap_session *s, const char *intname);
/* The same for the text of an answer, which is ASCII but with IMAP4rev2 (RFC 9051 §7.1). */
extname_t imap_extname_in_text(const struct imap_session *s, const char *intname);
/* Rights of this session, with what admins have implicitly (handbook 04 §5.2). */
uint32_t imap_rights(const struct imap_session *s, const mbentry_t *mbentry);
bool imap_is_owner(const struct imap_session *s, const char *intname);
/*
 * Looks an external name up and checks that the session has all rights of `need`: else IMAP_PERMISSION_DENIED, or
 * IMAP_MAILBOX_NONEXISTENT when it may not even see it. *intname (may be NULL) and *mbentry are the caller's.
 */
int imap_lookup(const struct imap_session *s, extname_t extname, uint32_t need, char **intname,
                mbentry_t **mbentry);
/* The answer to a missing target: "[TRYCREATE] " in front if this session may create it. */
void imap_no_target(struct imap_session *s, const char *intname, int r);

#endif
