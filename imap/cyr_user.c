/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyr_user -- users as a whole: list, show, check, repair, create, disable, enable, rename, delete, undelete
 *
 * cyr_user(8), doc/users.md. Each change is one transaction; with -n it is tried and given up. Exit status: 0; 1 of check and
 * repair: something is not as it should be; 64 usage; 65 no user id, or not in this state; 67 no such user; 73 there is one already;
 * 74 the store can't be read; 75 not now.
 */
#include <config.h>

#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cyr_user.h"
#include "exitcodes.h"
#include "global.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxlist_follow.h"
#include "mboxname.h"
#include "txn.h"
#include "user_ops.h"
#include "user_rights.h"
#include "xmalloc.h"

#define TRIES 5
#define FOUND 1 /* no error: something was found, and told */

static const char usage_text[] =
    "Usage: cyr_user [-C FILE] [--json] list [--all | --state STATE] [PATTERN]\n"
    "       cyr_user [-C FILE] [--json] show USER\n"
    "       cyr_user [-C FILE] check USER\n"
    "       cyr_user [-C FILE] repair USER\n"
    "       cyr_user [-C FILE] [-n] create [--moving-in] [--id ID] [--partition P] [--quota KIB] USER\n"
    "       cyr_user [-C FILE] [-n] disable [--reason TEXT] USER\n"
    "       cyr_user [-C FILE] [-n] enable USER\n"
    "       cyr_user [-C FILE] [-n] rename [--rights] USER NEWNAME\n"
    "       cyr_user [-C FILE] follow\n"
    "       cyr_user [-C FILE] [-n] rights USER NEWNAME\n"
    "       cyr_user [-C FILE] [-n] delete [--now] USER\n"
    "       cyr_user [-C FILE] [-n] undelete [--id ID] USER\n"
    "  -C FILE        imapd.conf\n"
    "  -n, --dry-run  tries, changes nothing\n"
    "  --json         prints JSON\n"
    "  --help, --version\n";

struct options {
    const char *altconfig, *id, *partition, *reason;
    bool dry_run, json, all, moving_in, now, has_state, rights;
    enum user_state state;
    int64_t storage;
    unsigned given; /* options of commands, bits of enum which */
    const char *command, *user, *newname;
};

enum which { OPT_ALL = 1, OPT_STATE = 2, OPT_MOVING_IN = 4, OPT_ID = 8, OPT_PARTITION = 16, OPT_QUOTA = 32, OPT_REASON = 64, OPT_NOW = 128,
             OPT_RIGHTS = 256 };

static void usage(const char *complaint) __attribute__((noreturn));
static void usage(const char *complaint)
{
    if (complaint) fprintf(stderr, "%s\n", complaint);
    fputs(usage_text, stderr);
    exit(EX_USAGE);
}

/* ---- list, show ---- */

static int add_userid(const char *userid, void *rock)
{
    strarray_append(rock, userid);
    return 0;
}

/* Who has no INBOX. */
static int add_bare(const char *key, size_t keylen, const struct user_record *rec, void *rock)
{
    if (rec && (rec->state == USER_MOVING_IN || rec->state == USER_MOVED)) strarray_append(rock, rec->userid);
    return 0;
}

struct listing {
    const struct options *o;
    struct cyr_user_list *list;
};

static bool wanted(const struct options *o, const struct user_record *rec)
{
    if (o->has_state ? rec->state != o->state : rec->state == USER_DELETED && !o->all) return false;
    return !o->user || !fnmatch(o->user, rec->userid, 0);
}

static int list_deleted(const char *key, size_t keylen, const struct user_record *rec, void *rock)
{
    const struct listing *l = rock;

    if (rec && rec->state == USER_DELETED && wanted(l->o, rec)) cyr_user_list_add(l->list, rec);
    return 0;
}

static int do_list(const struct options *o)
{
    strarray_t users = STRARRAY_INITIALIZER;
    struct listing l = { o, NULL };

    int r = mboxlist_alluser(add_userid, &users);
    if (!r) r = user_record_foreach(NULL, add_bare, &users);
    strarray_sort(&users, cmpstringp_raw);
    strarray_uniq(&users);
    l.list = cyr_user_list_begin(o->json);
    for (int i = 0; !r && i < strarray_size(&users); i++) {
        struct user_record *rec = NULL;
        r = user_record_lookup(strarray_nth(&users, i), NULL, &rec);
        if (!r && wanted(o, rec)) cyr_user_list_add(l.list, rec);
        if (r == IMAP_NOTFOUND) r = 0; /* has gone meanwhile */
        user_record_free(&rec);
    }
    if (!r) r = user_record_foreach(NULL, list_deleted, &l);
    cyr_user_list_end(&l.list);
    strarray_fini(&users);
    return r;
}

static int do_show(const struct options *o)
{
    struct user_record *rec = NULL;
    int r = user_record_lookup(o->user, NULL, &rec);

    if (r == IMAP_NOTFOUND) r = user_record_lookup_deleted(o->user, NULL, NULL, &rec);
    if (!r) r = cyr_user_show(rec, o->json);
    user_record_free(&rec);
    return r;
}

/* ---- check, repair ---- */

static int check_or_repair(const struct options *o, bool dry)
{
    bool left = false;
    int r = cyr_user_repair(o->user, dry, &left);

    return r ? r : left ? FOUND : 0;
}

static int do_check(const struct options *o)
{
    return check_or_repair(o, true);
}

static int do_repair(const struct options *o)
{
    return check_or_repair(o, false);
}

/* ---- rights of others' mailboxes ---- */

struct telling {
    const struct options *o;
    struct namespace ns;
};

static void tell_mailbox(const char *name, void *rock)
{
    const struct telling *t = rock;
    extname_t shown = mboxname_to_shown(name, &t->ns, NULL);

    if (!t->o->json) printf("%s%s: %s to %s\n", t->o->dry_run ? "would be " : "", extname_text(shown), t->o->user, t->o->newname);
    extname_free(&shown);
}

static int move_rights(const struct options *o)
{
    struct telling t = { .o = o };
    int r = mboxname_init_namespace(&t.ns, true);

    return r ? r : user_rights_rename(o->user, o->newname, o->dry_run, tell_mailbox, &t);
}

/* Nobody's rights are taken from him: the old name must be free, and the new one a user's. */
static int do_rights(const struct options *o)
{
    struct user_record *rec = NULL;
    int r = user_record_lookup(o->user, NULL, &rec);

    user_record_free(&rec);
    if (r != IMAP_NOTFOUND) return r ? r : IMAP_MAILBOX_EXISTS;
    r = user_record_lookup(o->newname, NULL, &rec);
    user_record_free(&rec);
    return r ? r : move_rights(o);
}

/* ---- changes ---- */

static int do_create(struct txn *txn, const struct options *o)
{
    struct user_createargs args = {
        .userid = o->user, .id = o->id, .partition = o->partition, .storage = o->storage, .moving_in = o->moving_in
    };

    return user_create(txn, &args);
}

static int do_disable(struct txn *txn, const struct options *o)
{
    return user_disable(txn, o->user, o->reason);
}

static int do_enable(struct txn *txn, const struct options *o)
{
    return user_enable(txn, o->user);
}

static int do_rename(struct txn *txn, const struct options *o)
{
    return user_rename(txn, o->user, o->newname);
}

static int do_delete(struct txn *txn, const struct options *o)
{
    return user_delete(txn, o->user, o->now);
}

static int do_undelete(struct txn *txn, const struct options *o)
{
    return user_undelete(txn, o->user, o->id);
}

static void tell_followed(const char *inbox, unsigned count, void *rock)
{
    (void)rock;
    if (isatty(STDERR_FILENO)) fprintf(stderr, "\r%s: %u folders have followed", inbox, count);
}

/* The folders of users with many, who are renamed already. */
static int do_follow(const struct options *o)
{
    (void)o;
    int r = mboxlist_follow_all(tell_followed, NULL);

    if (isatty(STDERR_FILENO)) fputs("\n", stderr);
    return r;
}

static const struct command {
    const char *name;
    unsigned options;
    int min, max; /* arguments */
    int (*look)(const struct options *o);
    int (*change)(struct txn *txn, const struct options *o);
    const char *done;
} commands[] = {
    { "list", OPT_ALL | OPT_STATE, 0, 1, do_list, NULL, NULL },
    { "show", 0, 1, 1, do_show, NULL, NULL },
    { "check", 0, 1, 1, do_check, NULL, NULL },
    { "repair", 0, 1, 1, do_repair, NULL, NULL },
    { "create", OPT_MOVING_IN | OPT_ID | OPT_PARTITION | OPT_QUOTA, 1, 1, NULL, do_create, "created" },
    { "disable", OPT_REASON, 1, 1, NULL, do_disable, "disabled" },
    { "enable", 0, 1, 1, NULL, do_enable, "enabled" },
    { "rename", OPT_RIGHTS, 2, 2, NULL, do_rename, "renamed" },
    { "follow", 0, 0, 0, do_follow, NULL, NULL },
    { "rights", 0, 2, 2, do_rights, NULL, NULL },
    { "delete", OPT_NOW, 1, 1, NULL, do_delete, "deleted" },
    { "undelete", OPT_ID, 1, 1, NULL, do_undelete, "undeleted" },
};

static int run_change(const struct command *cmd, const struct options *o)
{
    struct txn *txn = NULL;
    int r = IMAP_AGAIN;

    for (int i = 0; i < TRIES && r == IMAP_AGAIN; i++) {
        r = txn_begin(&txn);
        if (!r) r = cmd->change(txn, o);
        if (!r && !o->dry_run) r = txn_commit(&txn, NULL);
        txn_abort(&txn);
    }
    if (!r && !o->json)
        printf("%s%s %s%s%s\n", o->dry_run ? "would be " : "", cmd->done, o->user, o->newname ? " to " : "",
               o->newname ? o->newname : "");
    return r;
}

static int run(const struct command *cmd, struct options *o)
{
    if (cmd->look) return cmd->look(o);
    int r = run_change(cmd, o);
    if (!r && cmd->change == do_rename && !o->dry_run) {
        fflush(stdout);
        r = do_follow(o);
    }
    if (!r && o->rights) r = move_rights(o);
    if (!r && o->json && !o->dry_run) {
        if (o->newname) o->user = o->newname;
        r = do_show(o);
    }
    return r;
}

static int status_of(int r)
{
    switch (r) {
    case 0: return EX_OK;
    case FOUND: return FOUND;
    case IMAP_NOTFOUND:
    case IMAP_MAILBOX_NONEXISTENT: return EX_NOUSER;
    case IMAP_MAILBOX_EXISTS:
    case IMAP_MAILBOX_MOVED: return EX_CANTCREAT;
    case IMAP_IOERROR: return EX_IOERR;
    case IMAP_AGAIN:
    case IMAP_MAILBOX_LOCKED: return EX_TEMPFAIL;
    default: return EX_DATAERR;
    }
}

static const char *text_of(const struct command *cmd, int r)
{
    if (r == IMAP_NOTFOUND) return "no such user";
    if (r == IMAP_MAILBOX_EXISTS) return "there is one already";
    if (r == IMAP_MAILBOX_NOTSUPPORTED) return "not in the state that this user is in";
    if (r == IMAP_MAILBOX_NONEXISTENT) return cmd->change == do_undelete ? "the mailboxes are gone" : "has no INBOX yet";
    return error_message(r);
}

/* ---- arguments ---- */

static void parse_option(int c, struct options *o)
{
    char *end;

    switch (c) {
    case 'C': o->altconfig = optarg; break;
    case 'n': o->dry_run = true; break;
    case 'j': o->json = true; break;
    case OPT_ALL + 256: o->all = true; break;
    case OPT_STATE + 256:
        o->has_state = true;
        if (!user_state_parse(optarg, &o->state)) usage("No such state: active, disabled, moving-in, moving-out, moved, deleted.");
        break;
    case OPT_MOVING_IN + 256: o->moving_in = true; break;
    case OPT_ID + 256: o->id = optarg; break;
    case OPT_PARTITION + 256: o->partition = optarg; break;
    case OPT_QUOTA + 256:
        errno = 0;
        o->storage = strtoll(optarg, &end, 10);
        if (errno || *end || end == optarg || o->storage < 0 || o->storage > INT32_MAX * 1024LL) usage("No limit of a quota.");
        break;
    case OPT_REASON + 256: o->reason = optarg; break;
    case OPT_NOW + 256: o->now = true; break;
    case OPT_RIGHTS + 256: o->rights = true; break;
    default: usage(NULL);
    }
    if (c > 256) o->given |= (unsigned)c - 256;
}

static const struct command *parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        { "dry-run", no_argument, NULL, 'n' },
        { "json", no_argument, NULL, 'j' },
        { "all", no_argument, NULL, OPT_ALL + 256 },
        { "state", required_argument, NULL, OPT_STATE + 256 },
        { "moving-in", no_argument, NULL, OPT_MOVING_IN + 256 },
        { "id", required_argument, NULL, OPT_ID + 256 },
        { "partition", required_argument, NULL, OPT_PARTITION + 256 },
        { "quota", required_argument, NULL, OPT_QUOTA + 256 },
        { "reason", required_argument, NULL, OPT_REASON + 256 },
        { "now", no_argument, NULL, OPT_NOW + 256 },
        { "rights", no_argument, NULL, OPT_RIGHTS + 256 },
        { NULL, 0, NULL, 0 },
    };
    int c;

    o->storage = QUOTA_UNLIMITED;
    while ((c = getopt_long(argc, argv, "C:n", longs, NULL)) != -1) parse_option(c, o);
    const char *word = optind < argc ? argv[optind++] : "";
    for (size_t i = 0; i < array_size(commands); i++) {
        const struct command *cmd = &commands[i];
        if (strcmp(cmd->name, word)) continue;
        if (argc - optind < cmd->min || argc - optind > cmd->max) usage("Wrong number of arguments.");
        if (o->given & ~cmd->options || (o->dry_run && !cmd->change && cmd->look != do_rights)) usage("This command has no such option.");
        if (o->moving_in && (o->partition || o->storage >= 0)) usage("Replication brings partition and quota of who is moving in.");
        o->user = optind < argc ? argv[optind++] : NULL;
        o->newname = optind < argc ? argv[optind++] : NULL;
        return cmd;
    }
    usage(*word ? "No such command." : NULL);
}

int main(int argc, char **argv)
{
    struct options o = { .altconfig = NULL };

    cyrus_std_options(argc, argv, usage_text);
    const struct command *cmd = parse(argc, argv, &o);
    cyrus_init(o.altconfig, "cyr_user", CYRUSINIT_TOOL, CONFIG_NEED_PARTITION_DATA);
    struct namespace ns;
    if (mboxname_init_namespace(&ns, true)) fatal("bad configuration of mailbox names", EX_CONFIG);
    int r = run(cmd, &o);
    if (r && r != FOUND) fprintf(stderr, "cyr_user: %s: %s\n", o.user ? o.user : cmd->name, text_of(cmd, r));
    txn_shutdown();
    cyrus_done();
    return status_of(r);
}
