/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lmtp_message -- read a message up to the dot, or in chunks (RFC 3030), and give it the form in which it is stored (handbook 04 §7.4)
 *
 * Dots are unstuffed (not of chunks), bare LFs become CRLF, bare CRs are dropped, a NUL is a fault. The header is collected, freed of
 * Return-Path, completed, and put behind the trace fields; the body follows as it comes, from a certain
 * size on into a temporary file without a name. A message that can't be stored is still read to its end, so that the
 * conversation goes on.
 *
 * The end is CRLF . CRLF. Bare LFs count as line ends there only while the client has sent no CRLF at
 * all, so that a message can't smuggle another one past its sender.
 */
#include <config.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "charset.h"
#include "diskio.h"
#include "global.h"
#include "imap_err.h"
#include "libconfig.h"
#include "lmtp_session.h"
#include "message_check.h"
#include "message_header.h"
#include "sessionid.h"
#include "times.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define TEMP_BUFFER 65536 /* bytes collected before they go to the temporary file */

struct reader {
    struct lmtp_session *session;
    struct lmtp_message *message;
    uint64_t max; /* bytes of a message; 0: any */
    bool in_body;
    bool line_start, prev_crlf; /* at the start of a line; how the last one ended */
    bool seen_crlf;
    size_t line_from; /* offset in the header where this line began */
    bool cr;          /* of a chunk: a CR was its last byte */
};

/* ---- storing ---- */

static void set_error(struct lmtp_message *message, int code)
{
    if (!message->error) message->error = code;
}

static void no_temp_file(struct lmtp_message *message, int err)
{
    xsyslog_errno(LOG_ERR, err, "IOERROR: can't write a temporary file", "path=<%s>",
                  config_getstring(IMAPOPT_TEMP_PATH));
    set_error(message, IMAP_NOSPACE);
}

static void open_temp(struct lmtp_message *message)
{
    struct buf path = BUF_INITIALIZER;

    buf_printf(&path, "%s/cyrus_lmtp_XXXXXX", config_getstring(IMAPOPT_TEMP_PATH));
    buf_cstring(&path);
    int fd = diskio_mkstemp(path.s);
    if (fd < 0)
        no_temp_file(message, fd);
    else
        (void)diskio_unlink(path.s);
    message->fd = fd < 0 ? -1 : fd;
    int r = fd < 0 ? 0 : diskio_write(fd, buf_base(&message->header), buf_len(&message->header));
    if (r) no_temp_file(message, r);
    buf_free(&path);
}

static void flush_body(struct lmtp_message *message)
{
    if (message->fd < 0 && !message->error) open_temp(message);
    if (!message->error) {
        int r = diskio_write(message->fd, buf_base(&message->body), buf_len(&message->body));
        if (r) no_temp_file(message, r);
    }
    buf_reset(&message->body);
}

static void add_body(struct reader *rd, const char *base, size_t len)
{
    struct lmtp_message *message = rd->message;

    message->size += len;
    if (rd->max && message->size > rd->max) set_error(message, IMAP_MESSAGE_TOO_LARGE);
    if (message->error) {
        buf_reset(&message->body);
        return;
    }
    buf_appendmap(&message->body, base, len);
    if (buf_len(&message->body) > (message->fd < 0 ? LMTP_MEMORY : TEMP_BUFFER))
        flush_body(message);
}

/* ---- the header ---- */

static void add_received(struct lmtp_session *session, struct buf *dst)
{
    char date[RFC5322_DATETIME_MAX];
    bool with_version = config_getenum(IMAPOPT_SERVERINFO) == IMAP_ENUM_SERVERINFO_ON;

    buf_printf(dst, "Received: from %s (%s)\r\n",
               buf_len(&session->lhlo) ? buf_cstring(&session->lhlo) : "unknown",
               session->client->clienthost);
    if (buf_len(&session->auth_id))
        buf_printf(dst, "\t (authenticated user=%s bits=%u)\r\n", buf_cstring(&session->auth_id),
                   saslserver_layer_ssf(session->sasl));
    buf_printf(dst, "\t by %s", config_servername);
    if (with_version) buf_printf(dst, " (Cyrus %s)", cyrus_version());
    buf_printf(dst, " with LMTP%s%s", session->tls ? "S" : "", session->authenticated ? "A" : "");
    if (session->tls)
        buf_printf(dst, "\r\n\t (version=%s cipher=%s bits=%u/%u verify=%s)",
                   tls_protocol(session->tls), tls_cipher(session->tls), tls_ssf(session->tls),
                   tls_ssf(session->tls), tls_peer_verified(session->tls) ? "YES" : "NO");
    time_to_rfc5322(time(NULL), date, sizeof(date));
    buf_printf(dst, ";\r\n\t %s\r\n", date);
    buf_printf(dst, "X-Cyrus-Session-Id: %s\r\n", session_id());
}

static void add_trace(struct lmtp_session *session, struct buf *dst)
{
    const char *path = buf_cstring(&session->return_path);
    bool complete = !*path || strchr(path, '@');

    buf_printf(dst, "Return-Path: <%s%s%s>\r\n", path, complete ? "" : "@",
               complete ? "" : config_servername);
    add_received(session, dst);
}

static bool has_field(const struct buf *raw, const char *name, struct buf *value)
{
    struct header_field field;

    buf_reset(value);
    if (!message_header_find(buf_base(raw), buf_len(raw), name, &field)) return false;
    message_header_unfold(field.value, value);
    return true;
}

/* Fields that every message has, at the end of the header. */
static void add_missing(struct lmtp_session *session, struct lmtp_message *message,
                        const struct buf *raw, struct buf *dst)
{
    if (!has_field(raw, "Message-ID", &message->msgid)) {
        buf_printf(&message->msgid, "<cmu-lmtpd-%d-%lld-%lu@%s>", (int)getpid(),
                   (long long)time(NULL), (*session->made_ids)++, config_servername);
        buf_printf(dst, "Message-ID: %s\r\n", buf_cstring(&message->msgid));
    }
    else {
        buf_trim(&message->msgid);
        if (!buf_len(&message->msgid)) set_error(message, IMAP_MESSAGE_BADHEADER);
    }
    if (!has_field(raw, "Date", &message->date)) {
        char date[RFC5322_DATETIME_MAX];
        time_to_rfc5322(time(NULL), date, sizeof(date));
        buf_setcstr(&message->date, date);
        buf_printf(dst, "Date: %s\r\n", date);
    }
}

/* The collected header becomes the one that is stored. */
static void finish_header(struct reader *rd, bool blank_line)
{
    struct lmtp_message *message = rd->message;
    struct buf raw = BUF_INITIALIZER;
    strarray_t dropped = STRARRAY_INITIALIZER;
    unsigned flags = MESSAGE_CHECK_LMTP;

    buf_move(&raw, &message->header);
    rd->in_body = true;
    if (message->error) goto done;
    if (config_getswitch(IMAPOPT_REJECT8BIT))
        flags |= MESSAGE_CHECK_REJECT8BIT;
    else if (config_getswitch(IMAPOPT_MUNGE8BIT) && buf_len(&raw))
        message_munge8bit(raw.s, buf_len(&raw));
    if (buf_len(&raw)) set_error(message, message_check(buf_base(&raw), buf_len(&raw), flags));
    add_trace(rd->session, &message->header);
    strarray_append(&dropped, "Return-Path");
    message_header_filter(buf_base(&raw), buf_len(&raw), &dropped, true, &message->header);
    add_missing(rd->session, message, &raw, &message->header);
    if (blank_line) buf_appendcstr(&message->header, "\r\n");
    message->size = buf_len(&message->header);
done:
    strarray_fini(&dropped);
    buf_free(&raw);
}

static void add_header(struct reader *rd, const char *base, size_t len)
{
    struct lmtp_message *message = rd->message;

    if (message->error) return;
    buf_appendmap(&message->header, base, len);
    if (buf_len(&message->header) <= LMTP_MAX_HEADER) return;
    set_error(message, IMAP_MESSAGE_BADHEADER);
    buf_free(&message->header);
}

/* ---- the stream ---- */

static void add(struct reader *rd, const char *base, size_t len)
{
    if (!len) return;
    if (memchr(base, '\0', len)) set_error(rd->message, IMAP_MESSAGE_CONTAINSNULL);
    if (rd->in_body)
        add_body(rd, base, len);
    else
        add_header(rd, base, len);
}

/* The line is complete; in the header an empty one ends it. */
static void end_line(struct reader *rd, bool crlf)
{
    bool blank = !rd->in_body && !rd->message->error &&
                 buf_len(&rd->message->header) == rd->line_from;

    if (blank)
        finish_header(rd, true);
    else
        add(rd, "\r\n", 2);
    if (!rd->in_body) rd->line_from = buf_len(&rd->message->header);
    rd->line_start = true;
    rd->prev_crlf = crlf;
    rd->seen_crlf |= crlf;
}

/* Takes bytes that mean nothing, beginning with c, up to the next CR or LF. -1: the stream ended. */
static int read_run(struct reader *rd, int c)
{
    struct protstream *in = rd->session->in;
    char run[4096];
    size_t n = 0;

    do run[n++] = (char)c;
    while (n < sizeof(run) && (c = prot_getc(in)) != EOF && c != '\r' && c != '\n');
    add(rd, run, n);
    if (c == EOF) return -1;
    if (c == '\r' || c == '\n') prot_ungetc(c, in);
    return 0;
}

/* A CR was taken: with an LF it ends the line, alone it is dropped. -1: the stream ended. */
static int after_cr(struct reader *rd)
{
    int c = prot_getc(rd->session->in);

    if (c == EOF) return -1;
    if (c == '\n')
        end_line(rd, true);
    else
        prot_ungetc(c, rd->session->in);
    return 0;
}

/* A dot at the start of a line was taken. 1: it was the end, -1: the stream ended. */
static int after_dot(struct reader *rd)
{
    struct protstream *in = rd->session->in;
    int c = prot_getc(in);

    if (c == EOF) return -1;
    if (c == '\r') {
        c = prot_getc(in);
        if (c == EOF) return -1;
        if (c == '\n' && (rd->prev_crlf || !rd->seen_crlf)) return 1;
        if (c == '\n')
            end_line(rd, true);
        else
            prot_ungetc(c, in);
        return 0;
    }
    if (c == '\n' && !rd->seen_crlf) return 1;
    prot_ungetc(c, in);
    return 0;
}

/* One step of the stream. 0: go on, 1: the end of the message, -1: the connection ended. */
static int read_some(struct reader *rd)
{
    int c = prot_getc(rd->session->in);

    if (c == EOF) return -1;
    bool at_start = rd->line_start;
    rd->line_start = false;
    if (at_start && c == '.') return after_dot(rd);
    if (c == '\n') {
        end_line(rd, false);
        return 0;
    }
    if (c == '\r') {
        int r = after_cr(rd);
        if (!rd->line_start) rd->line_start = at_start; /* nothing of the line has come yet */
        return r;
    }
    return read_run(rd, c);
}

static void map_message(struct lmtp_message *message)
{
    if (message->error) return;
    if (message->fd < 0) {
        buf_append(&message->header, &message->body);
        buf_init_ro(&message->map, buf_base(&message->header), buf_len(&message->header));
        return;
    }
    flush_body(message);
    if (message->error) return;
    int r = buf_init_mmap(&message->map, message->fd, 0, message->size);
    if (r) no_temp_file(message, r);
}

static void begin(struct reader *rd, struct lmtp_session *session, struct lmtp_message *message)
{
    int max = config_getint(IMAPOPT_MAXMESSAGESIZE);

    *rd = (struct reader){ .session = session,
                           .message = message,
                           .line_start = true,
                           .prev_crlf = true,
                           .max = max > 0 ? (uint64_t)max : 0 };
    *message = (struct lmtp_message){ .fd = -1 };
}

static void finish(struct reader *rd)
{
    if (!rd->in_body) finish_header(rd, false);
    map_message(rd->message);
}

bool lmtp_message_read(struct lmtp_session *session, struct lmtp_message *message)
{
    struct reader rd;
    int r;

    begin(&rd, session, message);
    while (!(r = read_some(&rd))) continue;
    if (r < 0) return false;
    finish(&rd);
    return true;
}

/* ---- chunks ---- */

struct lmtp_chunks {
    struct reader rd;
    struct lmtp_message message;
};

static void take(struct reader *rd, const char *p, const char *end)
{
    while (p < end) {
        bool cr = rd->cr;
        rd->cr = *p == '\r';
        if (*p == '\n') {
            end_line(rd, cr);
            p++;
        }
        else if (rd->cr)
            p++; /* alone it is dropped */
        else {
            const char *run = p;
            while (p < end && *p != '\r' && *p != '\n') p++;
            add(rd, run, (size_t)(p - run));
        }
    }
}

bool lmtp_chunk_read(struct lmtp_session *session, uint64_t size)
{
    char bytes[4096];

    if (!session->chunks) {
        session->chunks = xzmalloc(sizeof(*session->chunks));
        begin(&session->chunks->rd, session, &session->chunks->message);
    }
    while (size) {
        size_t n = prot_read(session->in, bytes, size < sizeof(bytes) ? (size_t)size : sizeof(bytes));
        if (!n) return false;
        take(&session->chunks->rd, bytes, bytes + n);
        size -= n;
    }
    return true;
}

struct lmtp_message *lmtp_chunks_message(struct lmtp_session *session, bool whole)
{
    if (whole) finish(&session->chunks->rd);
    return &session->chunks->message;
}

void lmtp_chunks_free(struct lmtp_session *session)
{
    if (session->chunks) lmtp_message_fini(&session->chunks->message);
    xzfree(session->chunks);
}

void lmtp_message_fini(struct lmtp_message *message)
{
    buf_free(&message->map);
    buf_free(&message->header);
    buf_free(&message->body);
    buf_free(&message->msgid);
    buf_free(&message->date);
    if (message->fd >= 0) (void)diskio_close(message->fd);
    message->fd = -1;
}
