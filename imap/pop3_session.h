/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_POP3_SESSION_H
#define INCLUDED_POP3_SESSION_H
/*
 * pop3_session -- one POP3 connection, between its rooms (RFC 1939, 2449, 2595, 5034; handbook 04 §7.8)
 *
 * pop3d.c makes the session; pop3_session_run() reads commands until the end. A session without
 * maildrop is in the AUTHORIZATION state, one with it in the TRANSACTION state. Each command ends with
 * exactly one answer, "+OK" or "-ERR".
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth.h"
#include "buf.h"
#include "namespace.h"
#include "prot.h"
#include "saslserver.h"

#define POP3_MAX_LINE 8192 /* octets of a command without CRLF; RFC 2449 §4 asks for 255 */

struct maildrop;
struct service_client;
struct tls_ctx;
struct tls_session;

/* Options of the program, the same for all sessions. */
struct pop3_options {
    bool tls_at_once; /* -s */
    unsigned extssf;  /* -p */
    int timeout;      /* seconds, poptimeout */
};

struct pop3_session {
    const struct pop3_options *options;
    const struct service_client *client;
    struct protstream *in, *out;
    struct saslserver *sasl;
    struct saslserver_policy policy;
    struct tls_ctx **tls_ctx; /* the process's; *tls_ctx NULL until the first STLS */
    struct tls_session *tls;  /* NULL: none */
    int telemetry_fd;         /* -1: none */
    struct buf challenge;     /* of APOP, from the greeting; "": no APOP */
    struct buf user;          /* told by USER, "": none */

    /* popsubfolders: the name before '+' and the folder behind it, of the last name seen */
    struct buf folder_user, folder;

    /* who and what, after login */
    char *userid;
    time_t refusal_asked; /* user_record_refuses_now() */
    struct auth_state *auth;
    struct namespace ns;
    char *mboxname; /* internal */
    struct maildrop *drop;

    bool closing;
    unsigned retr, top, dele; /* how many, for the log */
};

/* ---- life (pop3_session.c) ---- */
/* Zeroes *s and makes its SASL state; pop3_session_fini() in any case. */
int pop3_session_init(struct pop3_session *s, const struct pop3_options *options,
                      const struct service_client *client, struct protstream *in,
                      struct protstream *out, struct tls_ctx **tls_ctx);
void pop3_session_fini(struct pop3_session *s);
/* Greeting, then commands until the end. */
void pop3_session_run(struct pop3_session *s);
/* The proc file: user and mailbox as they are now. */
void pop3_session_register(struct pop3_session *s);

/* ---- the command line (pop3_parse.c) ---- */
struct pop3_line {
    const char *verb; /* as typed */
    const char *args; /* behind the first blank; NULL: no blank */
};
/* Takes the line apart, in place. False: it holds a NUL, and so no command. */
bool pop3_parse_line(struct buf *line, struct pop3_line *parsed);
/*
 * The number at *p, in decimal, behind blanks; *p moves behind it. False: no digit there, or more than 32
 * bits.
 */
bool pop3_parse_number(const char **p, uint32_t *number);

/* ---- commands ---- */
enum {
    POP3_BEFORE = 1 << 0, /* allowed before login */
    POP3_AFTER = 1 << 1,  /* allowed after login */
};
enum pop3_args {
    POP3_ARGS_NONE,
    POP3_ARGS_ANY,      /* perhaps */
    POP3_ARGS_REQUIRED, /* at least one, behind one blank */
};
struct pop3_command {
    const char *name; /* upper case */
    unsigned states;
    enum pop3_args args;
    /* args: what stands behind the command, without leading blanks but for PASS; "": nothing */
    void (*run)(struct pop3_session *s, const char *args);
};
/* Any case; NULL: there is none of that name. The table is in pop3_session.c. */
const struct pop3_command *pop3_command_find(const char *name);

/* pop3_login.c */
void pop3_cmd_user(struct pop3_session *s, const char *args);
void pop3_cmd_pass(struct pop3_session *s, const char *args);
void pop3_cmd_apop(struct pop3_session *s, const char *args);
void pop3_cmd_auth(struct pop3_session *s, const char *args);
/* policy.canonify with popsubfolders: "user+folder" is user, the folder is kept. rock is the session. */
int pop3_canonify(void *rock, const char *name, size_t len, struct buf *out);

/* pop3_start.c */
void pop3_greet(struct pop3_session *s);
void pop3_cmd_capa(struct pop3_session *s, const char *args);
void pop3_cmd_stls(struct pop3_session *s, const char *args);
/* TLS from here on; false: nothing more can be said. */
bool pop3_starttls(struct pop3_session *s);

/* pop3_messages.c */
void pop3_cmd_stat(struct pop3_session *s, const char *args);
void pop3_cmd_list(struct pop3_session *s, const char *args);
void pop3_cmd_uidl(struct pop3_session *s, const char *args);
void pop3_cmd_retr(struct pop3_session *s, const char *args);
void pop3_cmd_top(struct pop3_session *s, const char *args);
void pop3_cmd_dele(struct pop3_session *s, const char *args);
void pop3_cmd_rset(struct pop3_session *s, const char *args);
void pop3_cmd_noop(struct pop3_session *s, const char *args);
void pop3_cmd_quit(struct pop3_session *s, const char *args);

/* ---- answers ---- */
/* "-ERR text". */
void pop3_err(struct pop3_session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "+OK text", "" for none. */
void pop3_ok(struct pop3_session *s, const char *text);
/* ---- messages on the wire (pop3_send.c) ---- */
/* Octets of the header with its blank line and `lines` lines of the body. */
size_t pop3_top_length(const char *base, size_t len, uint32_t lines);
/* Dot-stuffed, with a CRLF behind the last line, and the dot. */
void pop3_send_message(struct protstream *out, const char *base, size_t len);

#endif
