/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mbpath -- where the files of a mailbox are (handbook 05 §3.17)
 *
 * Paths follow from the entry in mailboxes.db; nothing says that the files are there. Exit status 0; 64
 * usage; 65 when the last argument named no mailbox.
 */
#include <config.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diskio.h"
#include "exitcodes.h"
#include "global.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox_header.h"
#include "mailbox_path.h"
#include "mboxlist.h"
#include "txn.h"
#include "user.h"
#include "utf7.h"
#include "xmalloc.h"

static struct {
    const char *config;
    char what; /* D M A S U a j */
    bool local, quiet, stop, utf7, users, paths;
} opt = { .what = 'D' };

static const char usage[] =
    "Usage: mbpath [-C FILE] [-l] [-q] [-s] [-7] [-D|-M|-A|-S|-U|-a|-j] [-u|-p] NAME ...\n"
    "  -C FILE  imapd.conf\n"
    "  -D       directory of the messages (default)\n"
    "  -M, -m   directory of the index\n"
    "  -A       directory of archived messages\n"
    "  -S       Sieve scripts of the owner\n"
    "  -U       files of the owner\n"
    "  -a       all of them\n"
    "  -j       all of them and the name's parts, as JSON\n"
    "  -u       arguments are users\n"
    "  -p       arguments are directories\n"
    "  -7       names are modified UTF-7\n"
    "  -l       fails for mailboxes on other servers\n"
    "  -q       says nothing about names without a mailbox\n"
    "  -s       stops at the first of them\n"
    "  --help, --version\n";

static void usage_error(void) __attribute__((noreturn));
static void usage_error(void)
{
    fputs(usage, stderr);
    exit(EX_USAGE);
}

static void parse_options(int argc, char **argv)
{
    bool chosen = false;
    int c;

    while ((c = getopt(argc, argv, "C:lmqs7ajADMSUup")) != -1) {
        switch (c) {
        case 'C': opt.config = optarg; break;
        case 'l': opt.local = true; break;
        case 'q': opt.quiet = true; break;
        case 's': opt.stop = true; break;
        case '7': opt.utf7 = true; break;
        case 'u': opt.users = true; break;
        case 'p': opt.paths = true; break;
        case '?': usage_error();
        default:
            if (chosen) usage_error();
            chosen = true;
            opt.what = c == 'm' ? 'M' : (char)c;
        }
    }
    if (opt.users && opt.paths) usage_error();
}

/* ---- names ---- */

static char *name_of_path(const char *path)
{
    struct mailbox_header h = MAILBOX_HEADER_INITIALIZER;
    struct diskio_map map = DISKIO_MAP_INITIALIZER;
    char *file = xasprintf("%s/cyrus.header", path), *name = NULL;
    mbentry_t *entry = NULL;

    if (!diskio_map_file(file, &map, NULL) && !mailbox_header_parse(&h, map.base, map.len)) {
        if (h.uniqueid && !mboxlist_lookup_by_uniqueid(h.uniqueid, &entry, true, NULL))
            name = xstrdup(entry->name);
        if (!name) name = xstrdupnull(h.name);
    }
    mbentry_free(&entry);
    diskio_map_free(&map);
    mailbox_header_fini(&h);
    free(file);
    return name;
}

static char *name_of_arg(const char *arg, const struct namespace *ns)
{
    struct buf utf7 = BUF_INITIALIZER;
    char *name = NULL;

    if (opt.paths) return name_of_path(arg);
    if (opt.users) return mboxname_user_mbox(arg, NULL);
    if (opt.utf7)
        buf_setcstr(&utf7, arg);
    else if (utf8_to_utf7(arg, strlen(arg), &utf7))
        return NULL;
    name = mboxname_from_external(extname_of(buf_cstring(&utf7)), ns, NULL);
    buf_free(&utf7);
    return name;
}

/* ---- paths ---- */

static int path_of(char what, const mbentry_t *entry, struct user_meta *meta, struct buf *out)
{
    struct mailbox_place place = mailbox_place_of(entry);

    buf_reset(out);
    switch (what) {
    case 'D': return mailbox_path_dir(&place, out);
    case 'M': return mailbox_path_metadir(&place, META_INDEX, out);
    case 'A': return mailbox_path_archivedir(&place, out);
    case 'S': return meta && user_meta_userid(meta) ? user_meta_sievedir(meta, out) : IMAP_NOTFOUND;
    default: break;
    }
    if (!meta || !user_meta_userid(meta)) return IMAP_NOTFOUND;
    if (user_meta_uniqueid(meta)) return user_path_dir(user_meta_uniqueid(meta), out);
    const char *file = user_meta_path(meta, "x");
    if (!file) return IMAP_NOTFOUND;
    buf_setmap(out, file, (size_t)(strrchr(file, '/') - file));
    return 0;
}

static void print_all(const mbentry_t *entry, struct user_meta *meta)
{
    static const struct {
        char what;
        const char *label;
    } lines[] = {
        { 'A', "Archive" }, { 'D', "Data" }, { 'M', "Meta" }, { 'S', "Sieve" }, { 'U', "User" }
    };
    struct buf path = BUF_INITIALIZER;

    for (size_t i = 0; i < array_size(lines); i++) {
        if (!path_of(lines[i].what, entry, meta, &path))
            printf("%s: %s\n", lines[i].label, buf_cstring(&path));
    }
    buf_free(&path);
}

/* ---- JSON ---- */

static void set_path(json_t *obj, const char *key, char what, const mbentry_t *entry,
                     struct user_meta *meta)
{
    struct buf path = BUF_INITIALIZER;

    if (!path_of(what, entry, meta, &path))
        json_object_set_new(obj, key, json_string(buf_cstring(&path)));
    buf_free(&path);
}

static json_t *json_mbname(const char *name)
{
    mbname_t *mbname = mbname_from_intname(name);
    json_t *obj = json_object(), *boxes = json_array();

    for (int i = 0; i < strarray_size(mbname_boxes(mbname)); i++)
        json_array_append_new(boxes, json_string(strarray_nth(mbname_boxes(mbname), i)));
    json_object_set_new(obj, "boxes", boxes);
    json_object_set_new(obj, "intname", json_string(mbname_intname(mbname)));
    if (mbname_localpart(mbname))
        json_object_set_new(obj, "localpart", json_string(mbname_localpart(mbname)));
    if (mbname_userid(mbname))
        json_object_set_new(obj, "userid", json_string(mbname_userid(mbname)));
    if (mbname_domain(mbname))
        json_object_set_new(obj, "domain", json_string(mbname_domain(mbname)));
    if (mbname_isdeleted(mbname))
        json_object_set_new(obj, "isdeleted", json_integer(mbname_isdeleted(mbname)));
    mbname_free(&mbname);
    return obj;
}

static json_t *json_user(const mbentry_t *entry, struct user_meta *meta)
{
    static const char *const files[] = { "conversations", "counters", "dav",
                                         "seen",          "sub",      "xapianactive" };
    json_t *obj = json_object();

    for (size_t i = 0; i < array_size(files); i++) {
        const char *path = user_meta_path(meta, files[i]);
        if (path) json_object_set_new(obj, files[i], json_string(path));
    }
    set_path(obj, "sieve", 'S', entry, meta);
    return obj;
}

static void print_json(const mbentry_t *entry, struct user_meta *meta)
{
    json_t *obj = json_object();

    set_path(obj, "archive", 'A', entry, meta);
    set_path(obj, "data", 'D', entry, meta);
    set_path(obj, "meta", 'M', entry, meta);
    json_object_set_new(obj, "mbname", json_mbname(entry->name));
    if (meta && user_meta_userid(meta)) {
        json_object_set_new(obj, "user", json_user(entry, meta));
        json_object_set_new(obj, "xapian", json_object());
    }
    json_dumpf(obj, stdout, JSON_INDENT(2) | JSON_SORT_KEYS);
    putchar('\n');
    json_decref(obj);
}

/* ---- */

static int print_remote(const mbentry_t *entry, const char *arg)
{
    if (opt.local) {
        if (!opt.quiet) fprintf(stderr, "Non-local mailbox: '%s'\n", arg);
        return EX_DATAERR;
    }
    printf("%s!%s\n", entry->server ? entry->server : "", entry->partition ? entry->partition : "");
    return EX_OK;
}

static int show(const char *arg, const struct namespace *ns)
{
    struct buf path = BUF_INITIALIZER;
    struct user_meta *meta = NULL;
    mbentry_t *entry = NULL;
    char *name = name_of_arg(arg, ns);
    int status = EX_OK;
    int r = name ? mboxlist_lookup(name, &entry, NULL) : IMAP_MAILBOX_NONEXISTENT;

    if (r) {
        bool unknown = r == IMAP_MAILBOX_NONEXISTENT;
        if (unknown && !opt.quiet) fprintf(stderr, "Invalid mailbox name: '%s'\n", arg);
        if (!unknown) fprintf(stderr, "%s: %s\n", arg, error_message(r));
        free(name);
        return unknown ? EX_DATAERR : EX_TEMPFAIL;
    }
    if (mbentry_is_remote(entry, config_servername)) {
        status = print_remote(entry, arg);
        goto done;
    }
    if (user_meta_for_mailbox(entry, NULL, &meta)) meta = NULL; /* its owner is gone */
    if (opt.what == 'a')
        print_all(entry, meta);
    else if (opt.what == 'j')
        print_json(entry, meta);
    else if (!path_of(opt.what, entry, meta, &path))
        printf("%s\n", buf_cstring(&path));
    else
        status = EX_DATAERR;
done:
    user_meta_free(&meta);
    mbentry_free(&entry);
    buf_free(&path);
    free(name);
    return status;
}

int main(int argc, char **argv)
{
    struct namespace ns;
    int status = EX_OK;

    cyrus_std_options(argc, argv, usage);
    parse_options(argc, argv);
    cyrus_init(opt.config, "mbpath", CYRUSINIT_TOOL, CONFIG_NEED_PARTITION_DATA);
    txn_need_store();
    if (mboxname_init_namespace(&ns, true)) return EX_CONFIG;
    for (int i = optind; i < argc; i++) {
        status = show(argv[i], &ns);
        if (status && opt.stop) break;
    }
    cyrus_done();
    return status;
}
