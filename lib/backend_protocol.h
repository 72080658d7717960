/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_BACKEND_PROTOCOL_H
#define INCLUDED_BACKEND_PROTOCOL_H
/*
 * backend_protocol -- what the start, the care and the end of a connection look like in one
 * protocol (handbook 06 §2.2, 03 §1.2, 04 §7.1, §7.8, 06 §1.2), and what the files of
 * backend share
 *
 * A prefix is compared without regard to case. NULL for a command: the protocol has none.
 */
#include <sys/types.h>

#include "backend.h"
#include "saslclient.h"

struct backend_capaname {
    const char *name;
    enum backend_capa capa;
    const char *param; /* counts only with this parameter; NULL: with any */
};

/* How a line of capabilities is built. */
enum backend_capaform {
    CAPAFORM_IMAP,   /* "* CAPABILITY A B=x C=y", or "[CAPABILITY ...]" in an OK */
    CAPAFORM_BANNER, /* "* NAME parameter ...", parameters perhaps quoted */
    CAPAFORM_EHLO,   /* "250-NAME parameter ...", the first line is none */
    CAPAFORM_POP3    /* "NAME parameter ...", up to "." */
};

struct backend_command {
    const char *text; /* without CRLF; may take the host name as %s */
    const char *ok;   /* prefix of the answer that means success */
    const char *fail; /* prefix of one that means refusal; NULL: any other line */
};

struct backend_protocol {
    const char *name; /* service name: of the port, and of SASL unless sasl_service says other */
    const char *sasl_service; /* NULL: name */
    const char *port;         /* number where the system does not know the name */
    const char *banner;       /* prefix of the greeting's last line */
    enum backend_capaform form;
    const struct backend_capaname *capas;
    bool banner_has_capas; /* the banner lists them, and comes again after STARTTLS */
    bool unix_trusted;     /* who comes through a unix socket need not authenticate */
    struct backend_command capability, starttls, compress, noop, logout;
    struct backend_command zstd; /* instead of compress, where both ends can; text NULL: not in this protocol */
    struct saslclient_protocol auth;
};


struct backend {
    const struct backend_protocol *protocol;
    int fd;
    struct protstream *in, *out;
    char *host; /* as in the certificate and to SASL */
    struct buf banner;
    uint64_t capa; /* bits, by enum backend_capa */
    struct buf params[BACKEND_NCAPAS];
    struct saslclient *sasl;
    struct tls_ctx *tls_ctx;
    struct tls_session *tls;
    unsigned tag;
    pid_t program, logger; /* 0: none */
    bool is_unix, tls_at_once, no_auth;
};

/* Set b->host and flags from args->server, connect within the time limit and set b->fd.
 * IMAP_BAD_SERVER, IMAP_SERVER_UNAVAILABLE; text gets the cause. */
int backend_open_socket(struct backend *b, const struct backend_args *args, struct buf *text);

/* The words of the program that is the connection, or NULL. */
const char *backend_program_of(const struct backend_args *args);
/* Start it, likewise. */
int backend_open_program(struct backend *b, const struct backend_args *args, struct buf *text);
/* No more is said: the program has to end, of itself or by force. how gets the words if it failed of itself. */
void backend_end_program(struct backend *b, struct buf *how);

void backend_capa_clear(struct backend *b);
/* Take what a line of that form says. */
void backend_capa_line(struct backend *b, const char *line);
/* "[CAPABILITY ...]" in an IMAP answer: true if there was one. */
bool backend_capa_code(struct backend *b, const char *answer);

/* Send the command and read up to its answer; other lines are dropped. 0, IMAP_REMOTE_DENIED,
 * IMAP_PROTOCOL_ERROR or IMAP_SERVER_UNAVAILABLE; text (may be NULL) gets the answer. */
int backend_command(struct backend *b, const struct backend_command *cmd, struct buf *text);
void backend_send(struct backend *b, const struct backend_command *cmd);
bool backend_prefix(const struct buf *line, const char *prefix);
/* What the streams say went wrong; never NULL. */
const char *backend_cause(const struct backend *b);

#endif
