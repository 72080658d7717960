/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_store -- a store, and sessions on it, for targets that need one
 *
 * The directory is below $TMPDIR or /tmp, one for each process, and goes when the process ends.
 * What can't be set up aborts the process.
 */
#include <config.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cyrusdb.h"
#include "fuzz.h"
#include "imap_session.h"
#include "libconfig.h"
#include "mboxname.h"
#include "proc.h"
#include "saslserver.h"
#include "service.h"
#include "txn.h"
#include "xmalloc.h"
#include "xsyslog.h"

static char *dir;
static pid_t owner;
static bool have_store;

static void drop_line(int pri, const char *line, void *rock)
{
    (void)pri;
    (void)line;
    (void)rock;
}

void fuzz_silence(void)
{
    xsyslog_settap(drop_line, NULL);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static void clean_up(void)
{
    if (getpid() != owner) return;
    if (have_store) {
        txn_shutdown();
        proc_cleanup();
        cyrusdb_done();
        saslserver_done();
        config_reset();
    }
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(dir);
}

static void need_dir(void)
{
    const char *tmp = getenv("TMPDIR");

    if (dir && owner == getpid()) return;
    dir = xasprintf("%s/fuzz.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) abort();
    owner = getpid();
    atexit(clean_up);
}

char *fuzz_path(const char *name)
{
    need_dir();
    return xasprintf("%s/%s", dir, name);
}

/* ---- sessions ---- */

static const struct service_client client = {
    .is_stdio = true,
    .clienthost = (char *)"[fuzz]",
    .remotename = (char *)"fuzz",
    .remoteip = (char *)"127.0.0.1",
    .localip = (char *)"127.0.0.1",
    .remoteaddr = (char *)"127.0.0.1;1",
    .localaddr = (char *)"127.0.0.1;143",
};

/* Who it is, without the password that no input would ever guess. */
static void log_in(struct imap_session *s, const char *userid)
{
    s->userid = xstrdup(userid);
    s->isadmin = !strcmp(userid, "admin");
    s->auth = auth_newstate(userid);
    if (mboxname_init_namespace(&s->ns, s->isadmin)) abort();
    s->ns.accessible[NAMESPACE_INBOX] = !s->isadmin;
}

void fuzz_imap_session(const char *userid, const char *base, size_t len)
{
    static const struct imap_options options = {
        .timeout = 1800, .idle_timeout = 1800, .idle_poll = 60, .conversations = true
    };
    struct buf answers = BUF_INITIALIZER;
    struct protstream *in = prot_readmap(base, len), *out = prot_writebuf(&answers);
    struct tls_ctx *tls_ctx = NULL;
    struct imap_session s;

    if (imap_session_init(&s, &options, &client, in, out, &tls_ctx)) abort();
    if (userid) log_in(&s, userid);
    imap_session_run(&s);
    imap_session_fini(&s);
    prot_free(in);
    prot_free(out);
    buf_free(&answers);
}

/* ---- the store ---- */

static void session_text(const char *userid, const char *text)
{
    fuzz_imap_session(userid, text, strlen(text));
}

static void append(const char *message)
{
    char *text = xasprintf("a APPEND INBOX (\\Flagged) {%zu+}\r\n%s\r\n", strlen(message), message);

    session_text("alice", text);
    free(text);
}

void fuzz_store(void)
{
    need_dir();
    if (have_store) return;
    char *conf = xasprintf("configdirectory: %s/conf\npartition-default: %s/part\n"
                           "defaultpartition: default\nconversations: yes\nadmins: admin\n"
                           "failedloginpause: 0\nsasl_pwcheck_method: auxprop\n"
                           "sync_log: yes\nservername: fuzz.test\n",
                           dir, dir);
    config_read_string(conf);
    free(conf);
    have_store = true;
    if (saslserver_init()) abort();
    session_text("admin", "a CREATE user/alice\r\na CREATE user/alice/Work\r\n"
                          "a CREATE user/bob\r\na CREATE shared\r\na SETACL shared anyone lr\r\na "
                          "SETQUOTA user/alice (STORAGE 100000)\r\n");
    append("From: Anna <a@x.test>\r\nSubject: =?utf-8?q?hi?=\r\n\r\nfirst text\r\n");
    append("Content-Type: text/plain\r\n\r\nand the second one\r\n");
    session_text("alice", "a SUBSCRIBE INBOX\r\n");
}
