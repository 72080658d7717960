/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_LMTP_SESSION_H
#define INCLUDED_LMTP_SESSION_H
/*
 * lmtp_session -- one LMTP conversation, between its rooms (handbook 04 §7; RFC 2033)
 *
 * The envelope lives from MAIL to the answers of DATA or of the last BDAT, or to RSET.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth.h"
#include "mbentry.h"
#include "buf.h"
#include "mboxname.h"
#include "namespace.h"
#include "prot.h"
#include "saslserver.h"
#include "service.h"
#include "tls.h"
#include "txn.h"

#define LMTP_TIMEOUT 360            /* seconds of silence after which a session ends */
#define LMTP_MAX_LINE 65536         /* bytes of a command line */
#define LMTP_MAX_RCPTS 50000        /* of one transaction */
#define LMTP_MAX_HEADER (32u << 20) /* bytes of a message's header */
#define LMTP_MEMORY (1u << 20) /* bytes of a body kept in memory; more go to a temporary file */

struct lmtp_rcpt {
    mbname_t *mbname; /* the folder asked for: of a user, or shared */
    char *userid;     /* NULL: shared */
    char *partition;  /* of the INBOX, or of what is shared */
    bool ignorequota;
    int result; /* imap_err code of the delivery; 0: delivered */
};

struct lmtp_session {
    const struct service_client *client;
    struct protstream *in, *out;
    struct saslserver *sasl;
    struct saslserver_policy policy;
    struct tls_ctx *tlsctx; /* borrowed; NULL: no TLS here */
    struct tls_session *tls;
    struct namespace ns;
    bool preauth; /* trusted by where it comes from */
    bool authenticated;
    int telemetry_fd;       /* -1: none */
    struct buf lhlo;         /* how the client calls itself */
    unsigned long *made_ids; /* how many this process has made: each has to be another */
    /* envelope */
    bool have_mail;
    struct buf return_path; /* "": the null sender */
    struct buf auth_id;     /* MAIL AUTH=, "" none */
    struct auth_state *auth;
    uint64_t size; /* MAIL SIZE=, 0: not told */
    struct lmtp_rcpt *rcpts;
    size_t nrcpts;
    struct lmtp_chunks *chunks; /* what BDAT has brought so far; NULL: nothing */
};

/* The conversation, from the greeting to the end. */
void lmtp_run(struct lmtp_session *session);
void lmtp_envelope_reset(struct lmtp_session *session);
/* The client is known: a trace of the session for this user begins, in place of an earlier one. */
void lmtp_trace(struct lmtp_session *session, const char *userid);

/* ---- lmtp_address.c ---- */
/*
 * "<[@route:]local[@domain]>" at *p: the address without brackets and route into addr ("": null), *p moves behind.
 * False: syntax. Bytes above 127 are refused, or with strict false become X.
 */
bool lmtp_parse_address(const char **p, bool strict, struct buf *addr);
/* RFC 3461 §4 xtext, as in AUTH=; false: syntax. */
bool lmtp_decode_xtext(const char *s, size_t len, struct buf *out);
/* The other way, appended. */
void lmtp_encode_xtext(const char *s, struct buf *out);

/* ---- lmtp_reply.c ---- */
/* The answer for one recipient; 0 is success. */
void lmtp_reply_result(struct protstream *out, int code);

/* ---- lmtp_message.c ---- */
/* A received message in the form in which it is stored. */
struct lmtp_message {
    struct buf header;      /* trace fields and the message's own, up to and with the blank line */
    struct buf body;        /* as long as it is small */
    int fd;                 /* temporary file with header and body; -1: all in memory */
    uint64_t size;          /* bytes of both */
    int error;              /* imap_err code: it can't be stored */
    struct buf map;         /* the whole, once read */
    struct buf msgid, date; /* values of the fields, for duplicate suppression */
};
/*
 * Reads up to the dot. False: the connection ended. Faults of the message are in ->error, and then the rest has been
 * read past.
 */
bool lmtp_message_read(struct lmtp_session *session, struct lmtp_message *message);
void lmtp_message_fini(struct lmtp_message *message);
/* The next bytes of a message that comes in chunks. False: the connection ended. */
bool lmtp_chunk_read(struct lmtp_session *session, uint64_t size);
/* That message, after a chunk; whole: it was the last one. It is borrowed until lmtp_chunks_free(), for which nothing is fine, too. */
struct lmtp_message *lmtp_chunks_message(struct lmtp_session *session, bool whole);
void lmtp_chunks_free(struct lmtp_session *session);

/* ---- lmtp_recipient.c ---- */
/* May mail for this address be accepted? Fills in rcpt. */
int lmtp_recipient_check(struct lmtp_session *session, const char *address, bool ignorequota,
                         struct lmtp_rcpt *rcpt);
/* The mailbox that a recipient's mail goes to now: the folder asked for, or the INBOX. */
int lmtp_recipient_mailbox(struct lmtp_session *session, const struct lmtp_rcpt *rcpt,
                           struct txn *txn, mbentry_t **entryp);
/* Over quota? size 0: only whether it is over already. */
int lmtp_quota_check(const char *name, struct txn *txn, uint64_t size);
void lmtp_rcpt_fini(struct lmtp_rcpt *rcpt);

/* ---- lmtp_deliver.c ---- */
/* Stores the message for every recipient; the results are in the recipients. */
void lmtp_deliver(struct lmtp_session *session, struct lmtp_message *message);

#endif
