/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_BACKEND_H
#define INCLUDED_BACKEND_H
/*
 * backend -- client connections to other servers (IMAP, LMTP, csync, POP3, MUPDATE)
 *
 * Opens a connection with a time limit, reads the banner and the capabilities,
 * starts TLS and authenticates as handbook 06 §2.2 and 03 §1.9 describe, and
 * leaves two streams to speak on. What differs between the protocols is a table
 * (struct backend_protocol).
 *
 * Errors: IMAP_SERVER_UNAVAILABLE (no connection, or it broke), IMAP_BAD_SERVER
 * (name cannot be understood), IMAP_PROTOCOL_ERROR (not the protocol),
 * IMAP_SASL_FAIL, IMAP_SASL_PROTERR, IMAP_IOERROR (TLS). Logged once, here.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "prot.h"

struct backend;
struct saslclient;
struct tls_session;

/* Capabilities the code acts on. */
enum backend_capa {
    BACKEND_CAPA_AUTH,
    BACKEND_CAPA_STARTTLS,
    BACKEND_CAPA_COMPRESS,
    BACKEND_CAPA_SASLIR,
    BACKEND_CAPA_IDLE,
    BACKEND_CAPA_MUPDATE,
    BACKEND_CAPA_MULTIAPPEND,
    BACKEND_CAPA_METADATA,
    BACKEND_CAPA_LISTEXTENDED,
    BACKEND_CAPA_REPLICATION,    /* X-REPLICATION */
    BACKEND_CAPA_SIEVEMAILBOX,   /* SIEVE-MAILBOX, X-SIEVE-MAILBOX */
    BACKEND_CAPA_LITERALPLUS,
    BACKEND_CAPA_PIPELINING,
    BACKEND_CAPA_IGNOREQUOTA,
    BACKEND_CAPA_8BITMIME,
    BACKEND_CAPA_SIZE,
    BACKEND_CAPA_QUOTARAW,       /* the raw quota extension (handbook 04 §4.7) */
    BACKEND_CAPA_SUBHISTORY,     /* histories of subscriptions (doc/sync-extensions.md) */
    BACKEND_CAPA_RENAMES,        /* several renames in one transaction (the same) */
    BACKEND_CAPA_USERSTATE,      /* states of users (the same) */
    BACKEND_CAPA_RANGES,         /* digests of ranges of messages (the same) */
    BACKEND_CAPA_XPIPELINE,      /* commands before the answers to others (the same) */
    BACKEND_CAPA_ROLE,           /* primary and replica of a pair (the same) */
    BACKEND_CAPA_USAGE,          /* usage as it was counted there (the same) */
    BACKEND_CAPA_SIEVEFILES,     /* scripts that are files beside those of a mailbox (the same) */
    BACKEND_CAPA_FOLDERS,        /* a digest of the names of a user's folders (the same) */
    BACKEND_CAPA_CLOCK,          /* the time there, at the banner (the same) */
    BACKEND_CAPA_XLEASE,         /* one stream at a user (the same) */
    BACKEND_CAPA_ZSTD,           /* COMPRESS ZSTD (the same) */
    BACKEND_CAPA_NAMEHISTORY,    /* former names of mailboxes (the same) */
    BACKEND_CAPA_INSTANCE,       /* which life of its store it is, at the banner (the same) */
    BACKEND_CAPA_HOME,           /* homes of users (the same) */
    BACKEND_CAPA_TOGETHER,       /* several mailboxes in one transaction (the same) */
    BACKEND_CAPA_UNMAILBOXES,    /* mailboxes are removed by their unique ids (the same) */
    BACKEND_CAPA_LEAVE,          /* a user is kept still there (the same) */
    BACKEND_NCAPAS
};

struct backend_protocol; /* backend_protocol.h: banner, capability, STARTTLS, AUTH, COMPRESS, NOOP, LOGOUT of one protocol */
extern const struct backend_protocol backend_imap, backend_lmtp, backend_csync, backend_pop3, backend_mupdate;

struct backend_args {
    const char *server;     /* "host", "host:port", "[v6]:port", "host:port/tls/noauth", "/path" of a socket, or "exec:WORDS" (program) */
    const char *program;    /* words, separated by blanks, of a program that is the connection; server is then only a name. NULL: a socket */
    const char *port;       /* number or service name when server has none; NULL: the protocol's own */
    const struct backend_protocol *protocol;
    const char *userid;     /* authorisation id, "" or NULL: that of authname */
    const char *authname, *realm, *password; /* NULL: proxy_authname, proxy_realm, <label>_password or proxy_password */
    const char *mechs;      /* cut the offered mechanisms down to these; NULL: <label>_mechs, force_sasl_client_mech */
    const char *ca_file;    /* verifies the server; NULL: tls_server_ca_file */
    int connect_timeout;    /* seconds per address and for each step of the start; 0: client_timeout */
    int timeout;            /* seconds of silence afterwards; 0: none */
    bool no_auth;           /* do not authenticate (a unix socket peer is trusted) */
    const char *certificate; /* fingerprint (tls.h) of the certificate that the server has to show, whoever has signed it: no login without; NULL: any */
    bool prefer_tls;        /* TLS before the login if the server has it */
    bool require_tls;       /* fail if TLS cannot be started and verified */
    bool compress;          /* COMPRESS ZSTD or DEFLATE if offered */
    int logfd;              /* -1, or telemetry for the whole connection */
};

/* Connect, up to the authenticated state. text, if not NULL, gets the words of the server or the cause on failure. */
int backend_connect(const struct backend_args *args, struct backend **bp, struct buf *text);
/* Say good-bye if the connection still works, and free. */
void backend_disconnect(struct backend **bp);
/* NOOP and its answer: 0, or IMAP_SERVER_UNAVAILABLE. */
int backend_ping(struct backend *b);
/* Start to compress now. IMAP_REMOTE_DENIED if refused. */
int backend_compress(struct backend *b);
/* Ask for the capabilities again. */
int backend_recapa(struct backend *b);

struct protstream *backend_in(struct backend *b);
struct protstream *backend_out(struct backend *b);
const char *backend_host(const struct backend *b);          /* name as connected to */
const char *backend_banner(const struct backend *b);        /* last line of the greeting */
bool backend_has(const struct backend *b, enum backend_capa capa);
/* Words of all that the code knows and the server has, with blanks between them. */
void backend_capa_list(const struct backend *b, struct buf *out);
const char *backend_mech(const struct backend *b); /* of the login; "": there was none */
const char *backend_param(const struct backend *b, enum backend_capa capa); /* words after the capability, or NULL */
unsigned backend_layer_ssf(const struct backend *b);
struct tls_session *backend_tls(const struct backend *b);   /* NULL: none */
void backend_settimeout(struct backend *b, int seconds);

/* ---- lines ---- */

/* Next line without its end, at most 64 KB. IMAP_SERVER_UNAVAILABLE. */
int backend_getline(struct backend *b, struct buf *line);
/* IMAP: send "TAG command" CRLF and read up to the tagged answer. Untagged lines (with "* " removed) go to cb (NULL: ignored).
 * 0 for OK, IMAP_REMOTE_DENIED for NO, IMAP_PROTOCOL_ERROR for BAD, IMAP_SERVER_UNAVAILABLE; text gets the words. Lines that
 * end in a literal are joined with the literal's bytes, up to 1 MB. */
typedef void backend_untagged(void *rock, const char *line, size_t len);
int backend_imapcmd(struct backend *b, backend_untagged *cb, void *rock, struct buf *text, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* LMTP: send the command (NULL: nothing) and read one reply, its lines joined by LF; *code is the three digits. */
int backend_smtpcmd(struct backend *b, int *code, struct buf *text, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
