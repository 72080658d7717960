/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * deliver -- hands a message on standard input to lmtpd, through its unix socket (handbook 04 §7.7, 05 §3.19)
 *
 * For mail servers that run a program for each delivery. A permanent refusal is one line
 * "RECIPIENT: REASON" on standard output. Exit codes: 0 delivered to all, 75 somebody has to get it later, 65
 * somebody refused it for good, 64 usage, 78 no lmtpd. With a mixture the message counts as temporarily
 * refused: the mail server tries again, and those who have it are not given it twice thanks to duplicate
 * suppression.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend.h"
#include "exitcodes.h"
#include "global.h"
#include "imap_err.h"
#include "libconfig.h"
#include "lmtp_client.h"
#include "strarray.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define USAGE "usage: deliver [-C <alt_config> ] [-m mailbox] [-a auth] [-r return_path] [-l] [-D]"

struct options {
    const char *alt_config, *mailbox, *authid, *return_path;
    bool ignorequota, passthrough;
};

static int usage(void)
{
    fprintf(stderr, "421-4.3.0 " USAGE "\r\n421 4.3.0 %s\n", cyrus_version());
    return EX_USAGE;
}

static void tell_fatal(const char *message, int code)
{
    (void)code;
    printf("421 4.3.0 deliver: %s\r\n", message);
    fflush(stdout);
}

/* ---- -l: LMTP between our standard input and output and the server ---- */

static int connect_socket(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = -1;

    if (strlen(path) >= sizeof(addr.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(addr.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || !connect(fd, (struct sockaddr *)&addr, sizeof(addr))) return fd;
    int err = errno;
    close(fd);
    errno = err;
    return -1;
}

/* What is there to read goes to `to`. 1: some, 0: the end, -1: an error. */
static int pump(int from, int to)
{
    char block[16384];
    ssize_t n = read(from, block, sizeof(block)), done = 0;

    if (n < 0) return errno == EINTR ? 1 : -1;
    while (done < n) {
        ssize_t m = write(to, block + done, (size_t)(n - done));
        if (m < 0 && errno != EINTR) return -1;
        if (m > 0) done += m;
    }
    return n > 0;
}

/* Until the server closes; the end of our input is told to it. */
static int pass_through(const char *path)
{
    int fd = connect_socket(path), r = 1;

    if (fd < 0) {
        fprintf(stderr, "connect failed: %s\n", strerror(errno));
        fatal("connect failed", EX_CONFIG);
    }
    struct pollfd fds[] = { { .fd = fd, .events = POLLIN }, { .fd = 0, .events = POLLIN } };
    while (r > 0) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR) r = -1;
        if (r > 0 && fds[0].revents) r = pump(fd, 1);
        if (r <= 0 || !fds[1].revents) continue;
        int more = pump(0, fd);
        if (more > 0) continue;
        fds[1].fd = -1;
        shutdown(fd, SHUT_WR);
    }
    close(fd);
    return r < 0 ? EX_TEMPFAIL : EX_OK;
}

/* ---- delivery ---- */

/* "user" and "folder" become "user+folder", in front of a domain. */
static char *with_folder(const char *user, const char *folder)
{
    size_t len = strcspn(user, "@");

    if (!folder || !*folder) return xstrdup(user);
    return xasprintf("%.*s+%s%s", (int)len, user, folder, user + len);
}

static strarray_t *recipients(const struct options *options, char **users)
{
    const char *postuser = config_getstring(IMAPOPT_POSTUSER);
    strarray_t *rcpts = strarray_new();

    if (!*users) strarray_appendm(rcpts, with_folder(postuser ? postuser : "", options->mailbox));
    for (; *users; users++) strarray_appendm(rcpts, with_folder(*users, options->mailbox));
    return rcpts;
}

/* The sender without its <>. */
static char *sender(const struct options *options)
{
    const char *path = options->return_path;

    if (!path) {
        const struct passwd *pw = getpwuid(getuid());
        return pw ? xstrdup(pw->pw_name) : xasprintf("%u", (unsigned)getuid());
    }
    size_t len = strlen(path);
    if (len >= 2 && path[0] == '<' && path[len - 1] == '>') return xstrndup(path + 1, len - 2);
    return xstrdup(path);
}

/* The exit code; refusals are told. */
static int report(const strarray_t *rcpts, struct lmtp_result *results)
{
    int exitcode = EX_OK;

    for (int i = 0; i < strarray_size(rcpts); i++) {
        int r = lmtp_result_code(&results[i]);
        if (!r) continue;
        const char *rcpt = strarray_nth(rcpts, i);
        syslog(LOG_NOTICE, "%s: %d %s", rcpt, results[i].code, buf_cstring(&results[i].text));
        if (results[i].code / 100 != 5) {
            exitcode = EX_TEMPFAIL;
            continue;
        }
        printf("%s: %s\n", rcpt, error_message(r));
        if (exitcode == EX_OK) exitcode = EX_DATAERR;
    }
    return exitcode;
}

static struct backend *connect_lmtpd(const char *path)
{
    const struct backend_args args = {
        .server = path,
        .protocol = &backend_lmtp,
        .no_auth = true,
        .logfd = -1,
    };
    struct backend *b = NULL;
    struct buf text = BUF_INITIALIZER;
    int code;

    int r = backend_connect(&args, &b, &text);
    if (!r) r = backend_smtpcmd(b, &code, &text, "LHLO deliver");
    if (r) {
        fprintf(stderr, "couldn't connect to lmtpd: %s\n", buf_cstring(&text));
        fatal("couldn't connect to lmtpd", EX_CONFIG);
    }
    buf_free(&text);
    return b;
}

static int deliver(const struct options *options, const char *path, char **users)
{
    strarray_t *rcpts = recipients(options, users);
    size_t n = (size_t)strarray_size(rcpts);
    struct lmtp_result *results = xcalloc(n, sizeof(*results));
    const char **list = xcalloc(n, sizeof(*list));
    char *from = sender(options);
    struct protstream *message = prot_new(STDIN_FILENO, false);
    struct backend *b = connect_lmtpd(path);

    for (size_t i = 0; i < n; i++) list[i] = strarray_nth(rcpts, (int)i);
    const struct lmtp_envelope envelope = {
        .sender = from,
        .authid = options->authid,
        .ignorequota = options->ignorequota,
        .rcpts = list,
        .nrcpts = n,
    };
    int r = lmtp_client_send(b, &envelope, message, results);
    if (r) syslog(LOG_ERR, "delivery failed: %s", error_message(r));
    int exitcode = report(rcpts, results);
    backend_disconnect(&b);
    for (size_t i = 0; i < n; i++) buf_free(&results[i].text);
    prot_free(message);
    strarray_free(rcpts);
    free(results);
    free(list);
    free(from);
    return exitcode;
}

/* ---- start ---- */

static bool set_once(const char **value, char letter)
{
    if (*value) {
        fprintf(stderr, "deliver: multiple -%c options\n", letter);
        return false;
    }
    *value = optarg;
    return true;
}

/* False: usage. */
static bool parse_options(int argc, char **argv, struct options *options)
{
    int opt;

    while ((opt = getopt(argc, argv, "C:df:r:m:a:F:eE:lqD")) != EOF) {
        switch (opt) {
        case 'C': options->alt_config = optarg; break;
        case 'd':
        case 'e':
        case 'D': break; /* taken for the sake of old callers */
        case 'f':
        case 'r': options->return_path = optarg; break;
        case 'm':
            if (!set_once(&options->mailbox, 'm')) return false;
            break;
        case 'a':
            if (!set_once(&options->authid, 'a')) return false;
            break;
        case 'l': options->passthrough = true; break;
        case 'q': options->ignorequota = true; break;
        case 'F':
        case 'E': fprintf(stderr, "deliver: '%c' option no longer supported\n", opt); return false;
        default: return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    struct options options = { 0 };
    struct buf path = BUF_INITIALIZER;

    cyrus_std_options(argc, argv, USAGE " [-q] [user]...\n");
    if (!parse_options(argc, argv, &options)) return usage();
    if (!options.passthrough && optind == argc && !options.mailbox) return usage();
    cyrus_set_fatal_prefix(NULL);
    cyrus_set_fatal_hook(tell_fatal);
    cyrus_init(options.alt_config, "deliver", CYRUSINIT_KEEPUID, 0);
    const char *name = config_getstring(IMAPOPT_LMTPSOCKET);
    buf_setcstr(&path, name ? name : "");
    int exitcode = options.passthrough ? pass_through(buf_cstring(&path))
                                       : deliver(&options, buf_cstring(&path), argv + optind);
    buf_free(&path);
    cyrus_done();
    if (fflush(stdout) && exitcode == EX_OK) exitcode = EX_IOERR;
    return exitcode;
}
