/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protocol streams: memory and sockets, limits of time, wait procs, logs, layers.
 */
#include <config.h>

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef HAVE_ZSTD
#include <zstd.h>
#endif

#include "buf.h"
#include "prot.h"
#include "prot_layer.h"
#include "signals.h"
#include "testutil.h"
#include "util.h"
#include "xmalloc.h"

/* Two ends of a socket: in reads what `there` sends. */
static struct protstream *in, *out;
static int here, there;

static void setup(void)
{
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    here = fds[0];
    there = fds[1];
    in = prot_new(here, false);
    out = prot_new(here, true);
}

static void teardown(void)
{
    prot_free(in);
    prot_free(out);
    close(here);
    if (there >= 0) close(there);
}

static void they_send(const char *text)
{
    ck_assert_int_eq(write(there, text, strlen(text)), (ssize_t)strlen(text));
}

static void hang_up(void)
{
    close(there);
    there = -1;
}

/* All that has arrived at the other end. */
static const char *they_got(void)
{
    static char text[70000];
    ssize_t n = recv(there, text, sizeof(text) - 1, MSG_DONTWAIT);

    text[n < 0 ? 0 : n] = '\0';
    return text;
}

START_TEST(memory)
{
    struct protstream *r = prot_readmap("ab\ncd", 5);
    struct buf b = BUF_INITIALIZER;
    char line[8];

    ck_assert_int_eq(prot_getc(r), 'a');
    ck_assert_int_eq(prot_peek(r), 'b');
    ck_assert_int_eq(prot_ungetc('a', r), 'a');
    ck_assert_str_eq(prot_fgets(line, sizeof(line), r), "ab\n");
    ck_assert(prot_ready(r));
    ck_assert_str_eq(prot_fgets(line, 2, r), "c");
    ck_assert_uint_eq(prot_bytes(r), 4);
    ck_assert_int_eq(prot_readbuf(r, &b, 2), EOF);
    ck_assert(prot_is_eof(r));
    ck_assert_str_eq(prot_error(r), PROT_EOF_STRING);
    ck_assert_ptr_null(prot_fgets(line, sizeof(line), r));
    prot_free(r);

    buf_reset(&b);
    struct protstream *w = prot_writebuf(&b);
    prot_putc('x', w);
    prot_printf(w, "%d %s", 5, "five");
    ck_assert_str_eq(buf_cstring(&b), "x5 five");
    prot_printf(w, "%0*d", 5000, 1);
    ck_assert_uint_eq(b.len, 5007);
    ck_assert_int_eq(prot_fd(w), -1);
    ck_assert_int_eq(prot_setcompress(w), EOF);
    ck_assert_int_eq(prot_flush(w), 0);
    prot_free(w);
    prot_free(NULL);
    buf_free(&b);
}
END_TEST

START_TEST(lines)
{
    struct buf b = BUF_INITIALIZER;

    they_send("one\r\ntwo\nth\rree\r\n\r\n12345\r\n123456\r\n");
    ck_assert_int_eq(prot_getline(in, &b, 5), 0);
    ck_assert_str_eq(b.s, "one");
    ck_assert_int_eq(prot_getline(in, &b, 5), 0);
    ck_assert_str_eq(b.s, "two");
    ck_assert_int_eq(prot_getline(in, &b, 7), 0);
    ck_assert_str_eq(b.s, "th\rree");
    ck_assert_int_eq(prot_getline(in, &b, 5), 0);
    ck_assert_str_eq(b.s, "");
    ck_assert_int_eq(prot_getline(in, &b, 5), 0);
    ck_assert_str_eq(b.s, "12345");
    ck_assert_int_eq(prot_getline(in, &b, 5), EOF);
    ck_assert_str_eq(prot_error(in), "line too long");
    ck_assert_int_eq(prot_getc(in), EOF);
    buf_free(&b);
}
END_TEST

START_TEST(end_of_input)
{
    struct buf b = BUF_INITIALIZER;

    they_send("part");
    hang_up();
    ck_assert_int_eq(prot_getline(in, &b, 100), EOF);
    ck_assert(prot_is_eof(in));
    ck_assert(!prot_is_timeout(in));
    ck_assert_int_eq(prot_errno(in), 0);
    buf_free(&b);
}
END_TEST

START_TEST(pieces)
{
    struct buf b = BUF_INITIALIZER;
    const char *base;
    char two[2];

    they_send("0123456789");
    ck_assert_int_eq(prot_wait(in, 0), 1);
    ck_assert_uint_eq(prot_readview(in, &base, 3), 3);
    ck_assert(!memcmp(base, "012", 3));
    ck_assert_int_eq(prot_skip(in, 2), 0);
    ck_assert_uint_eq(prot_read(in, two, 2), 2);
    ck_assert(!memcmp(two, "56", 2));
    they_send("ab");
    ck_assert_int_eq(prot_readbuf(in, &b, 5), 0);
    ck_assert_str_eq(buf_cstring(&b), "789ab");
    prot_markcommand(in);
    they_send("xyz");
    prot_getc(in);
    prot_getc(in);
    ck_assert_uint_eq(prot_commandbytes(in), 2);
    ck_assert_uint_eq(prot_discardinput(in), 1);
    ck_assert_int_eq(prot_wait(in, 0), 0);
    buf_free(&b);
}
END_TEST

START_TEST(silence)
{
    prot_settimeout(in, 1);
    int before = (int)time(NULL);
    ck_assert_int_eq(prot_getc(in), EOF);
    ck_assert_int_ge((int)time(NULL), before + 1);
    ck_assert(prot_is_timeout(in));
    ck_assert_str_eq(prot_error(in), PROT_TIMEOUT_STRING);
    they_send("too late");
    ck_assert_int_eq(prot_getc(in), EOF);
}
END_TEST

START_TEST(peer_that_does_not_read)
{
    char *big = xzmalloc(8 << 20);

    prot_settimeout(out, 1);
    ck_assert_int_eq(prot_write(out, big, 8 << 20), EOF);
    ck_assert(prot_is_timeout(out));
    ck_assert_int_eq(prot_flush(out), EOF);
    free(big);
}
END_TEST

START_TEST(peer_that_is_gone)
{
    hang_up();
    prot_puts(out, "hello");
    ck_assert_int_eq(prot_flush(out), EOF);
    ck_assert_int_eq(prot_errno(out), EPIPE);
    ck_assert_int_eq(prot_puts(out, "more"), EOF);
}
END_TEST

static int count_calls(struct protstream *s, void *rock)
{
    int *n = rock;

    (void)s;
    return --*n <= 0;
}

START_TEST(flush_on_read)
{
    int calls = 1;

    prot_setflushonread(in, out);
    prot_puts(out, "question");
    ck_assert_str_eq(they_got(), "");
    they_send("x");
    ck_assert_int_eq(prot_getc(in), 'x'); /* no need to wait */
    ck_assert_str_eq(they_got(), "");
    prot_setwaittimer(in, 10, count_calls, &calls);
    ck_assert_int_eq(prot_getc(in), EOF);
    ck_assert_str_eq(they_got(), "question");
}
END_TEST

START_TEST(timer_ends_a_wait)
{
    int calls = 3;

    prot_setwaittimer(in, 20, count_calls, &calls);
    ck_assert_int_eq(prot_getc(in), EOF);
    ck_assert_int_eq(calls, 0);
    ck_assert_int_eq(prot_errno(in), EINTR);
    ck_assert_str_eq(prot_error(in), "interrupted");
}
END_TEST

static int keep_alive(struct protstream *s, void *rock)
{
    int *n = rock;

    prot_resettimeout(s);
    if (--*n == 0) they_send("at last");
    return 0;
}

START_TEST(restarted_clock)
{
    int calls = 4;

    prot_settimeout(in, 1);
    prot_setwaittimer(in, 400, keep_alive, &calls);
    ck_assert_int_eq(prot_getc(in), 'a');
}
END_TEST

static int answer_pipe(struct protstream *s, void *rock)
{
    int *fds = rock;
    char text[2] = "";

    ck_assert_int_eq(read(fds[0], text, 1), 1);
    prot_setwaitfd(s, fds[0], NULL, NULL);
    they_send(text);
    return 0;
}

START_TEST(other_descriptors)
{
    int fds[2];

    ck_assert_int_eq(pipe(fds), 0);
    for (int i = 0; i < PROT_MAXWAITFDS; i++)
        ck_assert_int_eq(prot_setwaitfd(in, 100 + i, answer_pipe, fds), 0);
    ck_assert_int_eq(prot_setwaitfd(in, fds[0], answer_pipe, fds), EOF);
    for (int i = 0; i < PROT_MAXWAITFDS; i++) prot_setwaitfd(in, 100 + i, NULL, NULL);
    ck_assert_int_eq(prot_setwaitfd(in, fds[0], answer_pipe, fds), 0);
    ck_assert_int_eq(write(fds[1], "q", 1), 1);
    ck_assert_int_eq(prot_getc(in), 'q');
    close(fds[0]);
    close(fds[1]);
}
END_TEST

static int stop_at_shutdown(struct protstream *s, void *rock)
{
    (void)s;
    (void)rock;
    return signals_shutdown();
}

START_TEST(signal_before_the_wait)
{
    signals_add_handlers();
    prot_setinterrupt(in, stop_at_shutdown, NULL);
    raise(SIGTERM);
    ck_assert_int_eq(prot_getc(in), EOF);
    ck_assert_str_eq(prot_error(in), "interrupted");
    signals_reset();
}
END_TEST

START_TEST(selecting)
{
    int fds[2], pair[2];
    bool extra;

    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct protstream *other = prot_new(pair[0], false);
    struct prot_selectitem items[2] = { { in, false }, { other, false } };

    ck_assert_int_eq(prot_select(items, 2, fds[0], &extra, 20), 0);
    they_send("x");
    ck_assert_int_eq(prot_select(items, 2, fds[0], &extra, -1), 1);
    ck_assert(items[0].ready && !items[1].ready && !extra);
    ck_assert_int_eq(write(fds[1], "x", 1), 1);
    close(pair[1]);
    ck_assert_int_eq(prot_select(items, 2, fds[0], &extra, -1), 3);
    ck_assert(items[0].ready && items[1].ready && extra);
    ck_assert_int_eq(prot_wait(other, -1), 1); /* at its end */
    ck_assert_int_eq(prot_getc(other), EOF);
    prot_free(other);
    close(pair[0]);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(strings)
{
    static const struct {
        const char *text, *astring, *string;
    } t[] = {
        { NULL, "NIL", "NIL" },
        { "", "\"\"", "\"\"" },
        { "atom]", "atom]", "\"atom]\"" },
        { "NIL", "\"NIL\"", "\"NIL\"" },
        { "two words", "\"two words\"", "\"two words\"" },
        { "50%", "{3}\r\n50%", "{3}\r\n50%" },
        { "\\Sent", "{5}\r\n\\Sent", "{5}\r\n\\Sent" },
        { "a\"b", "{3}\r\na\"b", "{3}\r\na\"b" },
        { "\xc3\xa4", "{2}\r\n\xc3\xa4", "{2}\r\n\xc3\xa4" },
        { "(x)", "\"(x)\"", "\"(x)\"" },
    };
    struct buf b = BUF_INITIALIZER;
    struct protstream *w = prot_writebuf(&b);

    for (size_t i = 0; i < array_size(t); i++) {
        buf_reset(&b);
        prot_printastring(w, t[i].text);
        ck_assert_str_eq(buf_cstring(&b), t[i].astring);
        buf_reset(&b);
        prot_printstring(w, t[i].text);
        ck_assert_str_eq(buf_cstring(&b), t[i].string);
    }
    prot_setisclient(w, true);
    buf_reset(&b);
    prot_printliteral8(w, "\0x", 2);
    ck_assert_bytes_eq(b.s, b.len, "~{2+}\r\n\0x", 9);
    char *edge = xzmalloc(1025);
    memset(edge, 'a', 1023);
    buf_reset(&b);
    prot_printastring(w, edge);
    ck_assert_int_eq(b.s[0], 'a');
    edge[1023] = 'a';
    buf_reset(&b);
    prot_printastring(w, edge);
    ck_assert(strstarts(buf_cstring(&b), "{1024+}\r\n"));
    free(edge);
    prot_free(w);
    buf_free(&b);
}
END_TEST

START_TEST(telemetry)
{
    char *dir = test_mkdtemp(), *path = test_path(dir, "log");
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    struct buf b = BUF_INITIALIZER;
    long t;
    int n = 0;

    they_send("before\nseen\n");
    ck_assert_int_eq(prot_getc(in), 'b');
    ck_assert_int_eq(prot_skip(in, 6), 0);
    prot_setlog(in, fd);
    prot_setlog(out, fd);
    prot_puts(out, "answer\n");
    prot_flush(out);
    test_readfile(path, &b);
    ck_assert_int_eq(sscanf(buf_cstring(&b), "<%ld<seen\n>%ld>answer\n%n", &t, &t, &n), 2);
    ck_assert_int_eq(n, (int)b.len);
    prot_setlog(out, -1);
    prot_puts(out, "unseen\n");
    prot_flush(out);
    size_t len = b.len;
    test_readfile(path, &b);
    ck_assert_uint_eq(b.len, len);
    close(fd);
    free(path);
    test_rmdir(dir);
    buf_free(&b);
}
END_TEST

/* ---- layers ---- */

struct traffic {
    struct protstream *w;
    const char *data;
    size_t len;
};

static void *send_traffic(void *rock)
{
    struct traffic *t = rock;

    for (size_t at = 0, n; at < t->len; at += n) {
        n = cyr_min(t->len - at, 1 + at % 40000);
        if (prot_write(t->w, t->data + at, n)) return t;
        if (at % 7 == 0 && prot_flush(t->w)) return t;
    }
    return prot_flush(t->w) ? t : NULL;
}

/* By the number of a loop; zstd where the build has it. */
static const struct {
    const char *name;
    int (*set)(struct protstream *s);
} compressions[] = {
    { "deflate", prot_setcompress },
#ifdef HAVE_ZSTD
    { "zstd", prot_setzstd },
#endif
};

START_TEST(large_output)
{
    size_t len = 5000000;
    char *data = xmalloc(len);
    struct protstream *w = prot_new(there, true);
    struct traffic t = { w, data, len };
    struct buf got = BUF_INITIALIZER;
    pthread_t thread;
    void *failed;

    for (size_t i = 0; i < len; i++) data[i] = (char)(i % 3 ? random() : 'a');
    ck_assert(!prot_iscompressed(in));
    if (_i) {
        ck_assert_int_eq(compressions[_i - 1].set(w), 0);
        ck_assert_int_eq(prot_setcompress(w), EOF);
        ck_assert_int_eq(prot_setzstd(w), EOF);
        ck_assert_int_eq(compressions[_i - 1].set(in), 0);
        ck_assert(prot_haslayer(in, compressions[_i - 1].name));
        ck_assert(prot_iscompressed(in));
        ck_assert(!prot_haslayer(in, "tls"));
    }
    ck_assert_int_eq(pthread_create(&thread, NULL, send_traffic, &t), 0);
    ck_assert_int_eq(prot_readbuf(in, &got, len), 0);
    ck_assert_int_eq(pthread_join(thread, &failed), 0);
    ck_assert_ptr_null(failed);
    ck_assert(!memcmp(got.s, data, len));
    ck_assert_uint_eq(prot_bytes(in), len);
    ck_assert_uint_eq(prot_bytes(w), len);
    prot_free(w);
    free(data);
    buf_free(&got);
}
END_TEST

/* Each flush can be read at once, and costs nothing when there is nothing to send. */
START_TEST(compressed_dialogue)
{
    struct protstream *w = prot_new(there, true);
    struct buf b = BUF_INITIALIZER;

    compressions[_i].set(w);
    compressions[_i].set(in);
    for (int i = 0; i < 50; i++) {
        prot_printf(w, "line %d\r\n", i);
        prot_flush(w);
        prot_flush(w);
        ck_assert_int_eq(prot_wait(in, 1000), 1);
        ck_assert_int_eq(prot_getline(in, &b, 100), 0);
        ck_assert_int_eq(atoi(b.s + 5), i);
        ck_assert(!prot_ready(in));
    }
    prot_free(w);
    buf_free(&b);
}
END_TEST

START_TEST(broken_compression)
{
    struct buf b = BUF_INITIALIZER;

    /* plain text that came too early is not taken for more */
    they_send("A1 COMPRESS DEFLATE\r\nA2 NOOP\r\n");
    ck_assert_int_eq(prot_getline(in, &b, 100), 0);
    ck_assert_int_eq(compressions[_i].set(in), 0);
    ck_assert_int_eq(prot_getc(in), EOF);
    ck_assert_int_eq(prot_errno(in), EBADMSG);
    ck_assert(!prot_is_eof(in));
    buf_free(&b);
}
END_TEST

START_TEST(random_pieces)
{
    struct protstream *w = prot_new(there, true);
    char piece[20000];
    struct buf got = BUF_INITIALIZER;

    compressions[_i].set(w);
    compressions[_i].set(in);
    for (int n = 0; n < 300; n++) {
        size_t len = 1 + (size_t)random() % (n % 10 ? 300 : sizeof(piece));
        for (size_t i = 0; i < len; i++) piece[i] = (char)(n % 3 ? random() % 4 : random());
        ck_assert_int_eq(prot_write(w, piece, len), 0);
        ck_assert_int_eq(prot_flush(w), 0);
        buf_reset(&got);
        ck_assert_int_eq(prot_readbuf(in, &got, len), 0);
        ck_assert(!memcmp(got.s, piece, len));
        ck_assert(!prot_ready(in));
    }
    prot_free(w);
    buf_free(&got);
}
END_TEST

#ifdef HAVE_ZSTD
/* A frame with a window of so many bits, all of one letter. */
static void they_send_frame(int window, size_t len)
{
    char *data = xmalloc(len), *bytes = xmalloc(ZSTD_compressBound(len));
    ZSTD_CCtx *c = ZSTD_createCCtx();
    ZSTD_inBuffer from = { data, len, 0 };
    ZSTD_outBuffer to = { bytes, ZSTD_compressBound(len), 0 };

    memset(data, 'a', len);
    ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, window);
    ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0);
    ck_assert(!ZSTD_isError(ZSTD_compressStream2(c, &to, &from, ZSTD_e_flush)));
    ck_assert_uint_eq(from.pos, len);
    ck_assert_int_eq(write(there, bytes, to.pos), (ssize_t)to.pos);
    ZSTD_freeCCtx(c);
    free(data);
    free(bytes);
}

/* What a peer may cost is bounded: a window larger than ours is refused, and a bomb is unfolded only as far as it is read. */
START_TEST(zstd_is_bounded)
{
    they_send_frame(_i, 8 << 20);
    ck_assert_int_eq(prot_setzstd(in), 0);
    if (_i > 17) {
        ck_assert_int_eq(prot_getc(in), EOF);
        ck_assert_int_eq(prot_errno(in), EBADMSG);
        ck_assert_str_eq(prot_error(in), "Frame requires too much memory for decoding");
        return;
    }
    for (int i = 0; i < 100; i++) ck_assert_int_eq(prot_getc(in), 'a');
    ck_assert_uint_le(prot_bytes(in), 2 * PROT_BUFSIZE);
}
END_TEST
#endif

/* A layer that turns letters and gives one byte at a time. */
static ssize_t turn_read(struct prot_layer *layer, void *dst, size_t len)
{
    char *p = dst;
    ssize_t n = prot_below_read(layer, dst, len ? 1 : 0);

    if (n > 0) *p = (char)(*p ^ 0x20);
    return n;
}

static void turn_free(struct prot_layer *layer)
{
    free(layer);
}

static const struct prot_layer_ops turn_ops = {
    .name = "turn", .rank = PROT_RANK_TLS, .read = turn_read, .free = turn_free
};

START_TEST(stack_is_sorted)
{
    struct prot_layer *layer = xzmalloc(sizeof(*layer)), *twice = xzmalloc(sizeof(*twice));
    struct protstream *w = prot_new(there, true);
    struct buf sent = BUF_INITIALIZER;

    layer->ops = twice->ops = &turn_ops;
    prot_setcompress(w);
    prot_puts(w, "text");
    prot_flush(w);
    buf_ensure(&sent, 200);
    sent.len = (size_t)recv(here, sent.s, 200, 0);
    for (size_t i = 0; i < sent.len; i++) sent.s[i] ^= 0x20;
    ck_assert_int_eq(write(there, sent.s, sent.len), (ssize_t)sent.len);

    ck_assert_int_eq(prot_setcompress(in), 0);
    ck_assert_int_eq(prot_pushlayer(in, layer), 0); /* below the compression */
    ck_assert_int_eq(prot_pushlayer(in, twice), EOF);
    char got[5] = "";
    for (int i = 0; i < 4; i++) got[i] = (char)prot_getc(in);
    ck_assert_str_eq(got, "text");
    prot_free(w);
    buf_free(&sent);
}
END_TEST

Suite *prot_suite(void)
{
    Suite *s = suite_create("prot");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, memory);
    tcase_add_test(tc, lines);
    tcase_add_test(tc, end_of_input);
    tcase_add_test(tc, pieces);
    tcase_add_test(tc, silence);
    tcase_add_test(tc, peer_that_does_not_read);
    tcase_add_test(tc, peer_that_is_gone);
    tcase_add_test(tc, flush_on_read);
    tcase_add_test(tc, timer_ends_a_wait);
    tcase_add_test(tc, restarted_clock);
    tcase_add_test(tc, other_descriptors);
    tcase_add_test(tc, signal_before_the_wait);
    tcase_add_test(tc, selecting);
    tcase_add_test(tc, strings);
    tcase_add_test(tc, telemetry);
    tcase_add_loop_test(tc, large_output, 0, 1 + (int)array_size(compressions));
    tcase_add_loop_test(tc, compressed_dialogue, 0, (int)array_size(compressions));
    tcase_add_loop_test(tc, broken_compression, 0, (int)array_size(compressions));
    tcase_add_loop_test(tc, random_pieces, 0, (int)array_size(compressions));
#ifdef HAVE_ZSTD
    tcase_add_loop_test(tc, zstd_is_bounded, 16, 20);
#endif
    tcase_add_test(tc, stack_is_sorted);
    suite_add_tcase(s, tc);
    return s;
}
