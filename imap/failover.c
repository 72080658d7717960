/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * failover -- the replica of a pair takes over, and the old primary comes back as its replica
 *
 * failover(8), doc/failover.md; users that go one by one are in failover_home.c. Exit status: 0 done; 1 something failed, or the ends are not equal; 64 usage; 75 the other end can't
 * be reached, or is not what it must be.
 */
#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "backend.h"
#include "exitcodes.h"
#include "failover_home.h"
#include "global.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "saslclient.h"
#include "server_role.h"
#include "signals.h"
#include "sync_client.h"
#include "sync_client_items.h"
#include "txn.h"
#include "user_ops.h"
#include "util.h"
#include "verified_pass.h"
#include "xmalloc.h"

static const char usage_text[] =
    "Usage: failover [-C FILE] [-n CHANNEL] [-S HOST] COMMAND\n"
    "  status             the roles of both ends, and what is here of each user, since when\n"
    "  takeover [--lost]  this server becomes the primary; the other end is fenced, and what only it has comes here\n"
    "                     (--lost: it can't be reached, and nobody uses it)\n"
    "  rejoin [--fenced]  the old primary is back: it is fenced, what only it has comes here, and it becomes the replica\n"
    "                     (--fenced: it knows no roles, and somebody has seen to it that nobody uses it)\n"
    "  check              at the start of a server: if the other end is the primary by now, this one is the replica\n"
    "  release            this server has no role any more\n"
    "  home USER...       the other end is the home of these users from now on: it is primary for them\n"
    "  home --here        this server is, for those that have no home yet\n"
    "  home --take        they come here from the other end (--lost: without asking it for what it has);\n"
    "                     --wait SECONDS: for its rolling sync_client, which brings them (60)\n"
    "  home --list        which server is (--json)\n"
    "                     instead of USER: --all, or -f FILE, one a line (-: stdin)\n"
    "  -C FILE     imapd.conf\n"
    "  -n CHANNEL  options CHANNEL_sync_host and so on are looked up first\n"
    "  -S HOST     the other end (sync_host)\n"
    "  --help, --version\n";

struct run {
    struct sync_client sc;
    struct sync_items items;
    struct server_role_mark mark; /* of this server */
    bool lost, fenced;
    struct failover_home home;
    const char *file; /* with names of users */
};

static void usage(void) __attribute__((noreturn));
static void usage(void)
{
    fputs(usage_text, stderr);
    exit(EX_USAGE);
}

/* ---- the other end ---- */

static int role_line(struct sync_client *sc, struct dlist **dlp, void *rock)
{
    struct server_role_mark *mark = rock;
    const char *word;
    uint64_t since = 0;

    (void)sc;
    if (strcmp((*dlp)->name, "ROLE") != 0 || !dlist_getatom(*dlp, "ROLE", &word) ||
        !server_role_parse(word, &mark->role) || !dlist_getnum64(*dlp, "SINCE", &since))
        return IMAP_PROTOCOL_ERROR;
    mark->since = (time_t)since;
    return 0;
}

static bool knows_roles(const struct run *run)
{
    return backend_has(run->sc.backend, BACKEND_CAPA_ROLE);
}

static int ask_role(struct run *run, struct server_role_mark *mark)
{
    *mark = (struct server_role_mark){ .role = SERVER_ROLE_NONE };
    if (!knows_roles(run)) return 0;
    return sync_client_command(&run->sc, "GET", dlist_newkvlist(NULL, "ROLE"), role_line, mark);
}

/* It serves nobody from here on, if it knows what that means. */
static int fence(struct run *run)
{
    struct dlist *kl;

    if (!knows_roles(run)) {
        if (run->fenced) return 0;
        fprintf(stderr, "failover: %s knows no roles; with --fenced, when nobody uses it any more\n", run->sc.servername);
        return IMAP_MAILBOX_NOTSUPPORTED;
    }
    kl = dlist_newkvlist(NULL, "ROLE");
    dlist_setatom(kl, "ROLE", server_role_name(SERVER_ROLE_REPLICA));
    dlist_setnum64(kl, "SINCE", (uint64_t)run->mark.since);
    dlist_setatom(kl, "PEER", config_servername);
    int r = sync_client_command(&run->sc, "APPLY", kl, NULL, NULL);
    if (r) fprintf(stderr, "failover: %s can't be fenced: %s\n", run->sc.servername, sync_client_errtext(&run->sc, r));
    else printf("%s is fenced: the replica of this server\n", run->sc.servername);
    return r;
}

/* ---- what is here ---- */

struct seen {
    unsigned mailboxes;
    uint64_t messages;
    modseq_t modseq;
    time_t changed;
};

static int add_record(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    struct seen *seen = rock;

    (void)mailbox;
    if (!(rec->internal_flags & FLAG_INTERNAL_EXPUNGED)) seen->messages++;
    if (rec->last_updated > seen->changed) seen->changed = rec->last_updated;
    return 0;
}

static int add_mailbox(const mbentry_t *mbentry, void *rock)
{
    struct mailbox *mailbox = NULL;
    struct seen *seen = rock;

    if (mbentry->mbtype & MBTYPE_INTERMEDIATE) return 0;
    int r = mailbox_open_irl(mbentry->name, &mailbox);
    if (!r) r = mailbox_foreach(mailbox, 0, 0, 0, add_record, seen);
    if (!r) seen->mailboxes++;
    if (!r && mailbox_index_header(mailbox)->highestmodseq > seen->modseq)
        seen->modseq = mailbox_index_header(mailbox)->highestmodseq;
    mailbox_close(&mailbox);
    return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
}

static int print_user(const char *userid, void *rock)
{
    struct seen seen = { 0 };
    char text[32];
    bool *failed = rock;

    int r = mboxlist_usermboxtree(userid, add_mailbox, &seen, 0);
    if (r) {
        fprintf(stderr, "%s: %s\n", userid, error_message(r));
        *failed = true;
        return 0;
    }
    printf("%s: %u mailboxes, %" PRIu64 " messages, modseq %" PRIu64 ", last change %s\n", userid, seen.mailboxes,
           seen.messages, (uint64_t)seen.modseq, verified_time_text(seen.changed, text));
    return 0;
}

static int print_users(void)
{
    bool failed = false;
    int r = mboxlist_alluser(print_user, &failed);

    return r || failed ? 1 : EX_OK;
}

static void print_role(const char *whose, const struct server_role_mark *mark)
{
    char text[32];

    printf("%s: %s", whose, server_role_name(mark->role));
    if (mark->since) printf(" since %s", verified_time_text(mark->since, text));
    putchar('\n');
}

/* ---- the merge ---- */

/* Who was made on the other end, and never came here: his INBOX gets its identity, the rest comes with it. */
static int make_user(struct run *run, const char *userid)
{
    struct sync_state state = SYNC_STATE_INITIALIZER;
    char *inbox = mboxname_user_mbox(userid, NULL);
    struct txn *txn = NULL;

    int r = sync_state_get(&run->sc, "USER", userid, &state);
    const struct sync_remote *there = r || !inbox ? NULL : sync_state_byname(&state, inbox);
    struct user_createargs args = { .userid = userid, .id = there ? there->folder.uniqueid : NULL, .storage = QUOTA_UNLIMITED };
    if (!r && !there) r = IMAP_MAILBOX_NONEXISTENT;
    if (!r) r = txn_begin(&txn);
    if (!r) r = user_create(txn, &args);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    if (!r) printf("%s: was made on the other end, comes here\n", userid);
    sync_state_fini(&state);
    free(inbox);
    return r;
}

static int take_user(struct run *run, const char *userid)
{
    struct user_record *rec = NULL;
    int r = user_record_lookup(userid, NULL, &rec);

    if (r == IMAP_NOTFOUND && !user_record_lookup_deleted(userid, NULL, NULL, &rec)) {
        printf("%s: was deleted here, is left as he is on the other end\n", userid);
        r = 0;
    }
    else if (r == IMAP_NOTFOUND) {
        r = make_user(run, userid);
    }
    user_record_free(&rec);
    return r;
}

static int take_users(struct run *run)
{
    strarray_t users = STRARRAY_INITIALIZER;
    int r = 0;

    if (knows_roles(run)) r = sync_client_names(&run->sc, "USERS", &users);
    for (int i = 0; !r && i < strarray_size(&users); i++) {
        int er = take_user(run, strarray_nth(&users, i));
        if (!er) continue;
        fprintf(stderr, "%s: %s\n", strarray_nth(&users, i), sync_client_errtext(&run->sc, er));
        run->items.failed = true;
    }
    strarray_fini(&users);
    return r;
}

/* Nobody owns them, so they are looked at as a whole: what only the other end has comes here, or was deleted here, or has another name. */
static void take_shared(struct run *run)
{
    int r = knows_roles(run) ? sync_do_all_shared(&run->sc) : 0;

    if (!r) return;
    fprintf(stderr, "shared mailboxes: %s\n", sync_client_errtext(&run->sc, r));
    run->items.failed = true;
}

/* From here, so what is here holds where both have something to say; messages of both ends survive. */
static int merge(struct run *run)
{
    run->sc.verbose = 1;
    run->sc.complain = true;
    run->items.wait = true;
    int r = take_users(run);
    if (!r) take_shared(run);
    if (!r) r = sync_items_all(&run->items, "");
    run->items.work = SYNC_ITEMS_VERIFY;
    if (!r && !signals_shutdown()) r = sync_items_all(&run->items, "");
    if (r) fprintf(stderr, "failover: %s\n", sync_client_errtext(&run->sc, r));
    printf("%" PRIu64 " mailboxes updated, %" PRIu64 " differences left\n", run->sc.mailboxes, run->sc.differences);
    return r || run->items.failed || run->sc.differences || signals_shutdown() ? 1 : EX_OK;
}

/* ---- commands ---- */

static int become(struct run *run, enum server_role role)
{
    run->mark.role = role;
    int r = server_role_write(&run->mark);

    if (!r) print_role("this server", &run->mark);
    return r;
}

static int do_status(struct run *run)
{
    struct server_role_mark theirs;

    print_role("this server", &run->mark);
    run->sc.reads_only = true;
    int r = run->sc.servername ? sync_client_connect(&run->sc) : IMAP_SERVER_UNAVAILABLE;
    if (!r) r = ask_role(run, &theirs);
    if (!r)
        print_role("the other end", &theirs);
    else
        puts("the other end: can't be reached");
    return print_users();
}

static void set_mark(struct run *run)
{
    run->mark.since = time(NULL);
    snprintf(run->mark.peer, sizeof(run->mark.peer), "%s", run->sc.servername);
}

/* The fence comes first, so that there are never two. */
static int do_takeover(struct run *run)
{
    run->sc.reads_only = true; /* until we are it, we may be the replica */
    int r = sync_client_connect(&run->sc);

    if (r && !run->lost) {
        fprintf(stderr, "failover: %s can't be reached; with --lost, when nobody uses it any more\n", run->sc.servername);
        return EX_TEMPFAIL;
    }
    set_mark(run);
    if (!r && fence(run)) return EX_TEMPFAIL;
    if (become(run, SERVER_ROLE_PRIMARY)) return 1;
    if (failover_home_take_all(&run->sc, !r)) return 1;
    run->sc.reads_only = false;
    int code = print_users();
    if (!r) return merge(run) ? 1 : code;
    puts("what the other end has taken after these last changes may be missing until `failover rejoin'");
    return code;
}

static int do_rejoin(struct run *run)
{
    if (run->mark.role != SERVER_ROLE_PRIMARY) {
        fputs("failover: this server is not the primary\n", stderr);
        return EX_TEMPFAIL;
    }
    if (sync_client_connect(&run->sc)) {
        fprintf(stderr, "failover: %s can't be reached\n", run->sc.servername);
        return EX_TEMPFAIL;
    }
    if (fence(run)) return EX_TEMPFAIL;
    return failover_home_take_all(&run->sc, true) ? 1 : merge(run);
}

/* A server whose other end is silent starts as what it was. */
static int do_check(struct run *run)
{
    struct server_role_mark theirs;

    run->sc.reads_only = true;
    int r = sync_client_connect(&run->sc);
    if (!r) r = ask_role(run, &theirs);
    if (r) printf("%s can't be reached\n", run->sc.servername);
    if (!r && failover_home_check(&run->sc)) return 1;
    if (!r && theirs.role == SERVER_ROLE_PRIMARY && (run->mark.role != SERVER_ROLE_PRIMARY || theirs.since > run->mark.since)) {
        set_mark(run);
        run->mark.since = theirs.since;
        return become(run, SERVER_ROLE_REPLICA) ? 1 : EX_OK;
    }
    print_role("this server", &run->mark);
    return EX_OK;
}

static int do_release(struct run *run)
{
    run->mark = (struct server_role_mark){ .since = time(NULL) };
    return become(run, SERVER_ROLE_NONE) ? 1 : EX_OK;
}

/* One a line. */
static int read_users(struct run *run)
{
    bool is_stdin = !strcmp(run->file, "-");
    FILE *f = is_stdin ? stdin : fopen(run->file, "r");
    char *line = NULL;
    size_t size = 0;
    ssize_t n;

    while (f && (n = getline(&line, &size, f)) > 0) {
        if (line[n - 1] == '\n') line[n - 1] = '\0';
        if (*line) strarray_append(&run->home.users, line);
    }
    bool failed = !f || ferror(f);
    if (failed) fprintf(stderr, "failover: %s can't be read: %s\n", run->file, strerror(errno));
    if (f && !is_stdin) fclose(f);
    free(line);
    return failed ? IMAP_IOERROR : 0;
}

static int do_home(struct run *run)
{
    run->home.sc = &run->sc;
    run->home.lost = run->lost;
    if (run->file && read_users(run)) return EX_NOINPUT;
    return failover_home(&run->home);
}

static const struct command {
    const char *name;
    int (*fn)(struct run *run);
    bool needs_peer, lost, fenced; /* options that it has */
} commands[] = {
    { "status", do_status, false, false, false },  { "takeover", do_takeover, true, true, true },
    { "rejoin", do_rejoin, true, false, true },    { "check", do_check, true, false, false },
    { "release", do_release, false, false, false }, { "home", do_home, false, true, false },
};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < array_size(commands); i++)
        if (!strcmp(commands[i].name, name)) return &commands[i];
    return NULL;
}

#define HOME_OPTIONS "HTLAJWf"

static void set_verb(struct run *run, enum failover_home_verb verb)
{
    if (run->home.verb != FAILOVER_HOME_GIVE) usage();
    run->home.verb = verb;
}

static int seconds(const char *text)
{
    uint64_t n;

    if (parse_u64(text, strlen(text), &n) || n > INT_MAX) usage();
    return (int)n;
}

/* Who is meant must be said, in one way, but for the list. */
static void parse_home(struct run *run, int n, char **users)
{
    struct failover_home *home = &run->home;
    int ways = (n > 0) + home->all + (run->file != NULL);

    if (ways > 1 || (!ways && home->verb != FAILOVER_HOME_LIST)) usage();
    if (run->lost && home->verb != FAILOVER_HOME_TAKE) usage();
    if (home->json && home->verb != FAILOVER_HOME_LIST) usage();
    if (!ways) home->all = true;
    for (int i = 0; i < n; i++) strarray_append(&home->users, users[i]);
}

static const struct command *parse(struct run *run, int argc, char **argv, const char **alt_config)
{
    static const struct option longs[] = { { "lost", no_argument, NULL, 'l' },
                                           { "fenced", no_argument, NULL, 'F' },
                                           { "here", no_argument, NULL, 'H' },
                                           { "take", no_argument, NULL, 'T' },
                                           { "list", no_argument, NULL, 'L' },
                                           { "all", no_argument, NULL, 'A' },
                                           { "json", no_argument, NULL, 'J' },
                                           { "wait", required_argument, NULL, 'W' },
                                           { NULL, 0, NULL, 0 } };
    bool of_home = false;
    int c;

    while ((c = getopt_long(argc, argv, "C:n:S:f:", longs, NULL)) != EOF) {
        of_home = of_home || strchr(HOME_OPTIONS, c);
        switch (c) {
        case 'H': set_verb(run, FAILOVER_HOME_HERE); break;
        case 'T': set_verb(run, FAILOVER_HOME_TAKE); break;
        case 'L': set_verb(run, FAILOVER_HOME_LIST); break;
        case 'A': run->home.all = true; break;
        case 'J': run->home.json = true; break;
        case 'W': run->home.wait = seconds(optarg); break;
        case 'f': run->file = optarg; break;
        case 'C': *alt_config = optarg; break;
        case 'n': run->sc.channel = optarg; break;
        case 'S': run->sc.servername = optarg; break;
        case 'l': run->lost = true; break;
        case 'F': run->fenced = true; break;
        default: usage();
        }
    }
    const struct command *cmd = optind < argc ? find_command(argv[optind]) : NULL;
    if (!cmd || (run->lost && !cmd->lost) || (run->fenced && !cmd->fenced)) usage();
    if (cmd->fn == do_home)
        parse_home(run, argc - optind - 1, argv + optind + 1);
    else if (of_home || optind + 1 != argc)
        usage();
    return cmd;
}

int main(int argc, char **argv)
{
    struct run run = { .items = { .jobs = 1 }, .home = { .wait = 60 } };
    const char *alt_config = NULL;

    cyrus_std_options(argc, argv, usage_text);
    const struct command *cmd = parse(&run, argc, argv, &alt_config);
    cyrus_init(alt_config, "failover", CYRUSINIT_TOOL | CYRUSINIT_SIGNALS, CONFIG_NEED_PARTITION_DATA);
    txn_need_store();
    run.items.sc = &run.sc;
    run.sc.connect_once = true;
    if (!sync_client_find_server(&run.sc) && cmd->needs_peer) fatal("sync_host not defined", EX_CONFIG);
    if (saslclient_init()) fatal("could not init sasl", EX_SOFTWARE);
    server_role_read(&run.mark);
    int code = cmd->fn(&run);
    sync_client_fini(&run.sc);
    strarray_fini(&run.home.users);
    saslclient_done();
    txn_shutdown();
    cyrus_done();
    return code;
}
