/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mbexamine -- prints what the files of a mailbox say (handbook 05 §3.16)
 *
 * Reads, and changes nothing. -q adds up the sizes of the messages, -c compares index and message
 * files. Exit status 0; 64 usage; 65 when a mailbox could not be read, or -q or -c found a
 * difference; 66 when a message that was asked for is not there.
 */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "diskio.h"
#include "exitcodes.h"
#include "glob.h"
#include "global.h"
#include "libconfig.h"
#include "imap_err.h"
#include "mailbox_path.h"
#include "mboxlist.h"
#include "message_cache.h"
#include "txn.h"
#include "xmalloc.h"

static struct {
    const char *config;
    uint32_t uid, seq; /* 0: all */
    bool quota, compare;
    int status;
} opt;

static const char usage[] = "Usage: mbexamine [-C FILE] [-u UID | -s SEQ | -q | -c] [MAILBOX ...]\n"
                            "  -C FILE  imapd.conf\n"
                            "  -u UID   only this message\n"
                            "  -s SEQ   only the SEQ-th message\n"
                            "  -q       checks the sum of the sizes\n"
                            "  -c       compares the index with the message files\n"
                            "  --help, --version\n";

static void usage_error(void) __attribute__((noreturn));
static void usage_error(void)
{
    fputs(usage, stderr);
    exit(EX_USAGE);
}

static void parse_options(int argc, char **argv)
{
    int c, modes = 0;

    while ((c = getopt(argc, argv, "C:u:s:qc")) != -1) {
        modes += c != 'C';
        switch (c) {
        case 'C': opt.config = optarg; break;
        case 'u':
            if (parse_u32_cstr(optarg, &opt.uid) || !opt.uid) usage_error();
            break;
        case 's':
            if (parse_u32_cstr(optarg, &opt.seq) || !opt.seq) usage_error();
            break;
        case 'q': opt.quota = true; break;
        case 'c': opt.compare = true; break;
        default: usage_error();
        }
    }
    if (modes > 1) usage_error();
}

/* ---- header ---- */

struct bit_name {
    uint32_t bit;
    const char *name;
};

static const struct bit_name option_names[] = { { OPT_POP3_NEW_UIDL, "POP3_NEW_UIDL" },
                                                { OPT_IMAP_SHAREDSEEN, "IMAP_SHAREDSEEN" },
                                                { OPT_IMAP_DUPDELIVER, "IMAP_DUPDELIVER" },
                                                { OPT_IMAP_HAS_ALARMS, "IMAP_HAS_ALARMS" },
                                                { 0, NULL } };
static const struct bit_name internal_names[] = {
    { FLAG_INTERNAL_EXPUNGED, "FLAG_INTERNAL_EXPUNGED" },
    { FLAG_INTERNAL_UNLINKED, "FLAG_INTERNAL_UNLINKED" },
    { FLAG_INTERNAL_ARCHIVED, "FLAG_INTERNAL_ARCHIVED" },
    { FLAG_INTERNAL_NEEDS_CLEANUP, "FLAG_INTERNAL_NEEDS_CLEANUP" },
    { FLAG_INTERNAL_SNOOZED, "FLAG_INTERNAL_SNOOZED" },
    { 0, NULL }
};
static const struct bit_name system_names[] = {
    { FLAG_SEEN, "FLAG_SEEN" },         { FLAG_DRAFT, "FLAG_DRAFT" },
    { FLAG_DELETED, "FLAG_DELETED" },   { FLAG_FLAGGED, "FLAG_FLAGGED" },
    { FLAG_ANSWERED, "FLAG_ANSWERED" }, { 0, NULL }
};

static void print_bits(uint32_t bits, const struct bit_name *names)
{
    for (; names->bit; names++) {
        if (bits & names->bit) printf(" %s", names->name);
    }
}

/* "(1795310055) Sun Nov 22 01:14:15 2026" LF, UTC */
static void print_time(const char *label, time_t t)
{
    struct tm tm;
    char text[64];

    gmtime_r(&t, &tm);
    strftime(text, sizeof(text), "%a %b %e %H:%M:%S %Y", &tm);
    printf("  %s: (%" PRId64 ") %s\n", label, (int64_t)t, text);
}

static void print_header(struct mailbox *mailbox)
{
    struct mailbox_place place = mailbox_place_of(mailbox_mbentry(mailbox));
    const strarray_t *flags = mailbox_flagnames(mailbox);
    struct buf path = BUF_INITIALIZER;
    bool any = false;

    mailbox_path_dir(&place, &path);
    printf(" Mailbox Header Info:\n  Path to mailbox: %s\n", buf_cstring(&path));
    printf("  Mailbox ACL: %s\n", mailbox_acl(mailbox) ? mailbox_acl(mailbox) : "");
    printf("  Unique ID: %s\n", mailbox_uniqueid(mailbox) ? mailbox_uniqueid(mailbox) : "");
    printf("  User Flags:");
    for (int i = 0; i < strarray_size(flags); i++) {
        if (!strarray_nth(flags, i)) continue;
        printf(" %s", strarray_nth(flags, i));
        any = true;
    }
    printf("%s\n", any ? " " : " [none]");
    buf_free(&path);
}

static void print_index_header(struct mailbox *mailbox)
{
    const struct index_header *hdr = mailbox_index_header(mailbox);
    uint32_t shown = OPT_POP3_NEW_UIDL | OPT_IMAP_SHAREDSEEN | OPT_IMAP_DUPDELIVER |
                     OPT_IMAP_HAS_ALARMS;

    printf("\n Index Header Info:\n  Generation Number: %" PRIu32 "\n  Minor Version: %" PRIu32
           "\n",
           hdr->generation_no, hdr->minor_version);
    printf("  Header Size: %" PRIu32 " bytes  Record Size: %" PRIu32 " bytes\n", hdr->start_offset,
           hdr->record_size);
    printf("  Number of Messages: %" PRIu32 "  Mailbox Size: %" PRIu64
           " bytes  Annotations Size: %" PRIu64 " bytes\n",
           hdr->exists, hdr->quota_mailbox_used, hdr->quota_annot_used);
    print_time("Last Append Date", hdr->last_appenddate);
    printf("  UIDValidity: %" PRIu32 "  Last UID: %" PRIu32 "\n", hdr->uidvalidity, hdr->last_uid);
    printf("  Deleted: %" PRIu32 "  Answered: %" PRIu32 "  Flagged: %" PRIu32 "\n", hdr->deleted,
           hdr->answered, hdr->flagged);
    printf("  Mailbox Options:");
    if (hdr->options & shown)
        print_bits(hdr->options, option_names);
    else
        printf(" NONE");
    putchar('\n');
    print_time("Last POP3 Login", hdr->pop3_last_login);
    printf("  Highest Mod Sequence: %" PRIu64 "\n", hdr->highestmodseq);
}

/* ---- messages ---- */

static void print_record(const struct index_record *rec, uint32_t seq)
{
    char guid[MESSAGE_GUID_STRLEN];

    printf("%06" PRIu32 "> UID:%08" PRIu32 "   INT_DATE:%" PRId64 " SENTDATE:%" PRId64
           " SAVEDATE:%" PRId64 " SIZE:%-6" PRIu32 "\n",
           seq, rec->uid, (int64_t)rec->internaldate, (int64_t)rec->sentdate,
           (int64_t)rec->savedate, rec->size);
    printf("      > HDRSIZE:%-6" PRIu32 " LASTUPD :%" PRId64 " SYSFLAGS:%08" PRIX32,
           rec->header_size, (int64_t)rec->last_updated, rec->system_flags | rec->internal_flags);
    printf("      > CACHEVER:%" PRIu32 " GUID:%s MODSEQ:%" PRIu64, rec->cache_version,
           message_guid_encode(&rec->guid, guid), rec->modseq);
    if (rec->cid) printf("  THRID: %016" PRIx64, rec->cid);
    printf("\n      > INTERNALFLAGS:");
    print_bits(rec->internal_flags, internal_names);
    printf("      > SYSTEMFLAGS:");
    print_bits(rec->system_flags, system_names);
    printf("\n      > USERFLAGS:");
    for (int i = MAX_USER_FLAG_WORDS - 1; i >= 0; i--) printf(" %08" PRIX32, rec->user_flags[i]);
    putchar('\n');
}

static void print_cache(struct mailbox *mailbox, const struct index_record *rec)
{
    static const struct {
        enum cache_item item;
        const char *label;
    } items[] = { { CACHE_ENVELOPE, " Envel" }, { CACHE_BODYSTRUCTURE, " BdyStr" },
                  { CACHE_BODY, " Body" },      { CACHE_HEADERS, " CacHdr" },
                  { CACHE_FROM, " From" },      { CACHE_TO, " To" },
                  { CACHE_CC, " Cc" },          { CACHE_BCC, " Bcc" },
                  { CACHE_SUBJECT, " Subjct" } };
    struct cacherecord cache;
    struct buf view = BUF_INITIALIZER;

    int r = mailbox_cacherecord(mailbox, rec, &view);
    if (!r) r = cacherecord_parse(buf_base(&view), buf_len(&view), &cache);
    if (r) {
        printf(" no cache record: %s\n", error_message(r));
        opt.status = EX_DATAERR;
        return;
    }
    for (size_t i = 0; i < array_size(items); i++) {
        size_t len = cacheitem_size(&cache, items[i].item);
        printf("%s>{%zu}", items[i].label, len);
        fwrite(cacheitem_base(&cache, items[i].item), 1, len, stdout);
        putchar('\n');
    }
}

struct messages {
    uint32_t seq, shown;
};

static int print_message(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    struct messages *m = rock;

    m->seq++;
    if ((opt.uid && rec->uid != opt.uid) || (opt.seq && m->seq != opt.seq)) return 0;
    m->shown++;
    print_record(rec, m->seq);
    print_cache(mailbox, rec);
    return 0;
}

static int print_messages(struct mailbox *mailbox)
{
    struct messages m = { 0, 0 };

    printf("\n Message Info:\n");
    int r = mailbox_foreach(mailbox, 0, 0, MAILBOX_ITER_SKIP_EXPUNGED, print_message, &m);
    if (!r && (opt.uid || opt.seq) && !m.shown) {
        printf("Desired message not found\n");
        opt.status = EX_NOINPUT;
    }
    return r;
}

/* ---- checks ---- */

struct sizes {
    uint64_t total;
    bool wrong;
};

static int add_size(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    struct sizes *sizes = rock;
    struct stat st;

    if (diskio_stat(mailbox_record_fname(mailbox, rec), &st) || st.st_size != (off_t)rec->size) {
        printf("  Message %" PRIu32 " has INCORRECT size in index record\n", rec->uid);
        sizes->wrong = true;
    }
    sizes->total += rec->size;
    return 0;
}

static int check_quota(struct mailbox *mailbox)
{
    struct sizes sizes = { 0, false };

    int r = mailbox_foreach(mailbox, 0, 0, MAILBOX_ITER_SKIP_EXPUNGED, add_size, &sizes);
    bool correct = sizes.total == mailbox_index_header(mailbox)->quota_mailbox_used;
    if (!r) printf("  Mailbox has %s total quota usage\n", correct ? "CORRECT" : "INCORRECT");
    if (!correct || sizes.wrong) opt.status = EX_DATAERR;
    return r;
}

static void differs(const char *what, const char *index, const char *file)
{
    printf("  %-12s %-42s %s\n", what, index, file);
    opt.status = EX_DATAERR;
}

static int compare_message(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    struct buf msg = BUF_INITIALIZER;
    struct message_guid guid;
    char a[64], b[64];

    int r = mailbox_map_bytes(mailbox, rec, &msg);
    if (r) {
        snprintf(a, sizeof(a), "%" PRIu32, rec->uid);
        differs("uid", a, error_message(r));
        return 0;
    }
    if (buf_len(&msg) != rec->size) {
        printf(" Message %" PRIu32 ":\n", rec->uid);
        snprintf(a, sizeof(a), "%" PRIu32, rec->size);
        snprintf(b, sizeof(b), "%zu", buf_len(&msg));
        differs("size", a, b);
    }
    message_guid_generate(&guid, buf_base(&msg), buf_len(&msg));
    if (!message_guid_equal(&guid, &rec->guid)) {
        message_guid_encode(&rec->guid, a);
        message_guid_encode(&guid, b);
        printf(" Message %" PRIu32 ":\n", rec->uid);
        differs("guid", a, b);
    }
    buf_free(&msg);
    return 0;
}

/* ---- mailboxes ---- */

static void examine(const mbentry_t *entry, const struct namespace *ns)
{
    struct mailbox *mailbox = NULL;
    extname_t ext = mboxname_to_shown(entry->name, ns, NULL);

    printf("Examining %s...", extname_text(ext));
    extname_free(&ext);
    int r = mailbox_open_mbentry(entry, &mailbox);
    if (!r && opt.quota) {
        r = check_quota(mailbox);
    }
    else if (!r && opt.compare) {
        putchar('\n');
        r = mailbox_foreach(mailbox, 0, 0, MAILBOX_ITER_SKIP_EXPUNGED, compare_message, NULL);
    }
    else if (!r) {
        print_header(mailbox);
        print_index_header(mailbox);
        r = print_messages(mailbox);
    }
    if (r) {
        printf(" %s\n", error_message(r));
        opt.status = EX_DATAERR;
    }
    mailbox_close(&mailbox);
}

struct selection {
    const struct namespace *ns;
    struct glob *glob; /* NULL: all */
    unsigned found;
};

static int examine_cb(const mbentry_t *entry, void *rock)
{
    struct selection *sel = rock;
    extname_t ext = mboxname_to_external(entry->name, sel->ns, NULL);
    const char *name = extname_text(ext);

    if (name && (!sel->glob || glob_test(sel->glob, name, strlen(name)))) {
        sel->found++;
        examine(entry, sel->ns);
    }
    extname_free(&ext);
    return 0;
}

static void run(const struct namespace *ns, const char *pattern)
{
    struct selection sel = { .ns = ns,
                             .glob = pattern ? glob_init(pattern, ns->hier_sep, GLOB_INBOXCASE)
                                             : NULL };

    int r = mboxlist_allmbox(NULL, examine_cb, &sel, MBOXTREE_DELETED);
    if (r || (pattern && !sel.found)) {
        fprintf(stderr, "%s: %s\n", pattern ? pattern : "mbexamine",
                error_message(r ? r : IMAP_MAILBOX_NONEXISTENT));
        opt.status = EX_DATAERR;
    }
    glob_free(&sel.glob);
}

int main(int argc, char **argv)
{
    struct namespace ns;

    cyrus_std_options(argc, argv, usage);
    parse_options(argc, argv);
    cyrus_init(opt.config, "mbexamine", CYRUSINIT_TOOL, CONFIG_NEED_PARTITION_DATA);
    txn_need_store();
    if (mboxname_init_namespace(&ns, true)) return EX_CONFIG;
    if (optind == argc) run(&ns, NULL);
    for (int i = optind; i < argc; i++) run(&ns, argv[i]);
    txn_shutdown();
    cyrus_done();
    return opt.status;
}
