/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fault_step -- one command of a recorded scenario, done again while the disk fails
 *
 * See fault_step.h. A session is that of the server, with the bytes of the client in memory; its rules are in the
 * door while the command runs, and not before: what leads to it, such as a SELECT, is not what is tried.
 */
#include <config.h>

#include "fault_step.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "diskio.h"
#include "diskio_trace.h"
#include "imap_session.h"
#include "journal.h"
#include "libconfig.h"
#include "lmtp_session.h"
#include "saslserver.h"
#include "service.h"
#include "txn.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* ---- the file ---- */

static bool read_file(const char *dir, unsigned number, struct buf *out)
{
    char *path = xasprintf("%s/step.%u", dir, number);
    struct diskio_map map = DISKIO_MAP_INITIALIZER;
    int r = diskio_map_file(path, &map, NULL);

    if (!r) buf_setmap(out, map.base, map.len);
    diskio_map_free(&map);
    free(path);
    return !r;
}

static unsigned word_number(const strarray_t *words, int i)
{
    uint32_t n;

    if (i >= words->count || parse_u32_cstr(strarray_nth(words, i), &n))
        fatal("a step without its number", EX_DATAERR);
    return n;
}

static bool parse_words(const strarray_t *words, struct fault_step *step)
{
    if (words->count < 2) return false;
    const char *kind = strarray_nth(words, 0);
    step->parts = !strcmp(strarray_nth(words, 1), "PARTS");
    if (!strcmp(kind, "imap") && words->count == 4) {
        step->kind = FAULT_IMAP;
        step->user = xstrdup(strarray_nth(words, 2));
        step->context = word_number(words, 3);
        return true;
    }
    if (!strcmp(kind, "lmtp")) {
        step->kind = FAULT_LMTP;
        step->nrcpt = word_number(words, 2);
        return true;
    }
    step->kind = FAULT_TOOL;
    return !strcmp(kind, "tool");
}

bool fault_step_read(const char *dir, unsigned number, struct fault_step *step)
{
    struct buf file = BUF_INITIALIZER, line = BUF_INITIALIZER;

    memset(step, 0, sizeof(*step));
    step->number = number;
    if (!read_file(dir, number, &file)) return false;
    const char *end = memchr(buf_base(&file), '\n', buf_len(&file));
    if (!end) fatal("a step without a line", EX_DATAERR);
    size_t head = (size_t)(end - buf_base(&file));
    buf_setmap(&line, buf_base(&file), head);
    strarray_t *words = strarray_split(buf_cstring(&line), " ", 0);
    if (!parse_words(words, step)) fatal("a step of no kind", EX_DATAERR);
    buf_setmap(&step->input, end + 1, buf_len(&file) - head - 1);
    if (step->context > buf_len(&step->input)) fatal("a step that is too short", EX_DATAERR);
    if (step->kind == FAULT_TOOL) {
        strarray_t *argv = strarray_split(buf_cstring(&step->input), "\n", 0);
        for (int i = 0; i < argv->count; i++) strarray_append(&step->argv, strarray_nth(argv, i));
        strarray_free(argv);
    }
    strarray_free(words);
    buf_free(&file);
    buf_free(&line);
    return true;
}

void fault_step_fini(struct fault_step *step)
{
    free(step->user);
    strarray_fini(&step->argv);
    buf_free(&step->input);
}

void fault_step_name(const struct fault_step *step, struct buf *out)
{
    const char *base = buf_base(&step->input) + step->context;
    size_t len = buf_len(&step->input) - step->context;

    buf_reset(out);
    buf_printf(out, "%u: ", step->number);
    if (step->kind == FAULT_LMTP) buf_appendcstr(out, "delivery");
    for (int i = 0; step->kind == FAULT_TOOL && i < step->argv.count; i++) {
        const char *arg = strarray_nth(&step->argv, i);
        const char *slash = i ? NULL : strrchr(arg, '/');
        buf_printf(out, "%s%s", i ? " " : "", slash ? slash + 1 : arg);
    }
    if (step->kind == FAULT_IMAP) {
        const char *end = memchr(base, '\r', len);
        buf_appendmap(out, base, end ? (size_t)(end - base) : len);
    }
}

/* ---- sessions ---- */

static unsigned count_changes(void)
{
    static const enum diskio_kind changes[] = {
        DISKIO_PWRITE, DISKIO_WRITE,  DISKIO_FTRUNCATE, DISKIO_FSYNC,   DISKIO_FDATASYNC,
        DISKIO_SYNCFS, DISKIO_RENAME, DISKIO_LINK,      DISKIO_SYMLINK, DISKIO_UNLINK,
        DISKIO_MKDIR,  DISKIO_RMDIR,  DISKIO_UTIME,     DISKIO_CHMOD,   DISKIO_CLONE,
        DISKIO_FALLOCATE, DISKIO_COPYRANGE,
    };
    unsigned n = 0;

    for (size_t i = 0; i < array_size(changes); i++)
        n += (unsigned)diskio_counters()->calls[changes[i]];
    return n;
}

static void arm(const struct fault_how *how)
{
    const struct diskio_hooks hooks = { .fault = how->fault, .kill = how->kill };

    diskio_counters_reset();
    if (diskio_hooks_install(&hooks)) fatal("bad rules", EX_SOFTWARE);
}

static void disarm(struct fault_answer *answer, struct journal *j)
{
    answer->taken = diskio_hooks_taken() != 0;
    diskio_hooks_install(NULL);
    answer->changes = count_changes();
    answer->failed = journal_failed(j);
}

/* Answers of the command, of which the last one counts. */
static bool answered_ok(const struct buf *out, const char *ok)
{
    const char *last = NULL;

    for (const char *p = strstr(buf_base(out), "\nop "); p; p = strstr(p + 1, "\nop ")) last = p + 4;
    if (!strncmp(buf_base(out), "op ", 3) && !last) last = buf_base(out) + 3;
    return last && !strncmp(last, ok, strlen(ok));
}

/* Untagged lines before the answer are of the command, too. */
static bool session_ok(struct buf *out)
{
    buf_cstring(out);
    return answered_ok(out, "OK");
}

static void run_imap(const struct fault_step *step, const struct fault_how *how,
                     struct fault_answer *answer, struct journal *j)
{
    static const struct imap_options options = { .ignorequota = false, .conversations = true,
                                                 .maxmessagesize = 0, .timeout = 60 };
    const struct service_client client = { .is_stdio = true, .clienthost = (char *)"fault",
                                           .remotename = (char *)"", .remoteip = (char *)"",
                                           .localip = (char *)"", .remoteaddr = (char *)"",
                                           .localaddr = (char *)"" };
    struct buf input = BUF_INITIALIZER, said = BUF_INITIALIZER;
    struct imap_session session;
    struct tls_ctx *tls = NULL;

    buf_append(&input, &step->input);
    buf_appendmap(&input, buf_base(&step->input) + step->context, buf_len(&step->input) - step->context);
    struct protstream *in = prot_readmap(buf_base(&input), buf_len(&input));
    struct protstream *out = prot_writebuf(&said);
    prot_setflushonread(in, out);
    if (imap_session_init(&session, &options, &client, in, out, &tls) ||
        saslserver_preauth(session.sasl, step->user) != SASLSERVER_OK || imap_session_login(&session))
        fatal("no session", EX_SOFTWARE);
    for (size_t done = 0; done < step->context; done++)
        if (buf_base(&step->input)[done] == '\n' && !imap_session_command(&session))
            fatal("what leads to a command does not go", EX_DATAERR);
    if (!how->only_context) {
        prot_flush(out);
        buf_reset(&said);
        arm(how);
        bool goes_on = imap_session_command(&session);
        prot_flush(out);
        disarm(answer, j);
        answer->ok = session_ok(&said);
        if (!answer->ok && how->retry && goes_on) {
            answer->retried = true;
            (void)imap_session_command(&session);
            prot_flush(out);
            answer->ok_again = session_ok(&said);
        }
    }
    imap_session_fini(&session);
    prot_free(in);
    prot_free(out);
    buf_free(&input);
    buf_free(&said);
}

static unsigned count_lines(struct buf *said, const char *prefix)
{
    unsigned n = 0;

    for (const char *p = buf_cstring(said); p; p = strchr(p, '\n'))
        n += !strncmp(p += *p == '\n', prefix, strlen(prefix));
    return n;
}

/* Every recipient has his answer; "OK" is that all of them have a good one. */
static bool deliver(const struct fault_step *step)
{
    const struct service_client client = { .is_unix = true, .clienthost = (char *)"fault",
                                           .remotename = (char *)"", .remoteip = (char *)"",
                                           .localip = (char *)"", .remoteaddr = (char *)"",
                                           .localaddr = (char *)"" };
    unsigned long ids = 0;
    struct lmtp_session session = { .client = &client, .telemetry_fd = -1, .made_ids = &ids,
                                    .preauth = true, .authenticated = true };
    struct saslserver_args args = { .service = "lmtp", .servername = config_servername,
                                    .policy = &session.policy };
    struct buf said = BUF_INITIALIZER;

    if (mboxname_init_namespace(&session.ns, true) || saslserver_new(&args, &session.sasl))
        fatal("no session", EX_SOFTWARE);
    session.in = prot_readmap(buf_base(&step->input), buf_len(&step->input));
    session.out = prot_writebuf(&said);
    lmtp_run(&session);
    prot_flush(session.out);
    bool ok = count_lines(&said, "250 2.1.5 Success ") == step->nrcpt;
    prot_free(session.in);
    prot_free(session.out);
    saslserver_free(&session.sasl);
    buf_free(&session.lhlo);
    buf_free(&session.return_path);
    buf_free(&session.auth_id);
    buf_free(&said);
    return ok;
}

static void run_lmtp(const struct fault_step *step, const struct fault_how *how,
                     struct fault_answer *answer, struct journal *j)
{
    if (how->only_context) return;
    arm(how);
    answer->ok = deliver(step);
    disarm(answer, j);
    answer->retried = !answer->ok && how->retry;
    if (answer->retried) answer->ok_again = deliver(step);
}

void fault_step_run(const struct fault_step *step, const struct fault_how *how,
                    struct fault_answer *answer)
{
    struct journal *j;

    memset(answer, 0, sizeof(*answer));
    if (txn_journal(&j)) fatal("no journal", EX_SOFTWARE);
    if (step->kind == FAULT_IMAP)
        run_imap(step, how, answer, j);
    else
        run_lmtp(step, how, answer, j);
}

/* ---- tools ---- */

static void set_environment(const char *name, const char *value)
{
    if (value && setenv(name, value, 1)) _exit(EX_OSERR);
}

void fault_step_exec(const struct fault_step *step, const struct fault_how *how, const char *config,
                     const char *record)
{
    strarray_t argv = STRARRAY_INITIALIZER;
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);

    strarray_append(&argv, strarray_nth(&step->argv, 0));
    strarray_append(&argv, "-C");
    strarray_append(&argv, config);
    for (int i = 1; i < step->argv.count; i++) strarray_append(&argv, strarray_nth(&step->argv, i));
    char **args = strarray_takevf(&argv);
    set_environment("CYLINDER_DISKIO_FAULT", how->fault);
    set_environment("CYLINDER_DISKIO_KILL", how->kill);
    set_environment("CYLINDER_DISKIO_RECORD", record);
    if (nowhere < 0 || dup2(nowhere, 0) < 0 || dup2(nowhere, 1) < 0 || dup2(nowhere, 2) < 0)
        _exit(EX_OSERR);
    execv(args[0], args);
    _exit(EX_OSFILE);
}
