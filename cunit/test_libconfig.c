/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_libconfig -- grammar, lookup rules and value types of imapd.conf
 *
 * The wanted texts and values are those that the packaged cyr_info 3.6.1 shows for
 * the same files (handbook 05 §2).
 */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exitcodes.h"
#include "imapopt_table.h"
#include "libconfig.h"
#include "names_config.h"
#include "strarray.h"
#include "testutil.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define BASE "configdirectory: /var/imap\npartition-default: /p\n"

static struct buf err;

static int load(const char *text)
{
    return config_load_string(text, strlen(text), CONFIG_NEED_PARTITION_DATA, &err);
}

static void setup(void)
{
    buf_init(&err);
    config_setident(NULL);
}

static void teardown(void)
{
    config_reset();
    config_setident(NULL);
    buf_free(&err);
}

#define ck_load(text) ck_assert_msg(load(text) == 0, "%s", buf_cstring(&err))

/* -- grammar -- */

static const struct {
    const char *text, *message;
} bad[] = {
    { BASE "admins: a \\\n  b\nfoo bar\n",
      "invalid option name on line 5 of configuration file (string)" },
    { BASE "foo : bar\n", "invalid option name on line 3 of configuration file (string)" },
    { BASE "conversations: \\\n  maybe\n", "non-switch value for conversations in line 4" },
    { BASE "conversations: on\nx: \n", "empty option value on line 4 of configuration file" },
    { BASE "x:   \\\n  \n", "empty option value on line 4 of configuration file" },
    { BASE "conversations: yes\nconversations: no\n",
      "option 'conversations' was specified twice in config file (second occurrence on line 4)" },
    { BASE "Zork: yes\nzorK: no\n",
      "option 'zork' was specified twice in config file (second occurrence on line 4)" },
    { BASE "@foo: x\n", "invalid directive on line 3 of configuration file (string)" },
    { BASE "@include: /nonexistent/x\n",
      "can't open configuration file /nonexistent/x: No such file or directory" },
    { BASE "@include: (string)\n", "configuration file (string) included twice" },
    { "a: b\n", "configdirectory option not specified in configuration file" },
    { "configdirectory: /x\n", "partition-<name> option not specified in configuration file" },
    { BASE "defaultpartition: zork\n",
      "partition-zork option not specified in configuration file" },
    { BASE "defaultpartition: Fo-o\n", "defaultpartition option contains non-alnum character" },
    /* value types */
    { BASE "allowapop: Yes\n", "non-switch value for allowapop in line 3" },
    { BASE "allowapop: o\n", "non-switch value for allowapop in line 3" },
    { BASE "archive_maxsize: 12k\n", "non-integer value for archive_maxsize in line 3" },
    { BASE "archive_after: 5x\n", "unparsable duration '5x' for archive_after in line 3" },
    { BASE "archive_after: 1d 2h\n", "unparsable duration '1d 2h' for archive_after in line 3" },
    { BASE "archive_after: -\n", "unparsable duration '-' for archive_after in line 3" },
    { BASE "metapartition_files: index zork\n",
      "invalid value 'zork' for metapartition_files in line 3" },
    { BASE "annotation_db: on\n", "invalid value 'on' for annotation_db in line 3" },
    { BASE "virtdomains: Userid\n", "invalid value 'Userid' for virtdomains in line 3" },
    { BASE "journal_inline_size: 5T\n",
      "unparsable byte size '5T' for journal_inline_size in line 3" },
    { BASE "autocreatequota: x\n", "non-integer value for autocreatequota in line 3" },
};

START_TEST(test_bad)
{
    ck_assert_int_eq(load(bad[_i].text), EX_CONFIG);
    ck_assert_str_eq(buf_cstring(&err), bad[_i].message);
    /* Nothing of it is left. */
    ck_assert(!config_loaded());
    ck_assert_ptr_null(config_dir);
    ck_assert_ptr_null(config_partitiondir("default"));
    ck_assert(!config_getswitch(IMAPOPT_CONVERSATIONS));
}
END_TEST

START_TEST(test_grammar)
{
    ck_load("  # comment: x\n#x\n\n" BASE "  ADMINS:  a#b \\\n  c\t \n"
            "a:b:c\n"
            ":no key\n"
            "userprefix: x\\y\n"
            "servername: last.example.com"); /* no line end */
    ck_assert_str_eq(config_getstring(IMAPOPT_ADMINS), "a#b   c");
    ck_assert_str_eq(config_getoverflowstring("A", ""), "b:c");
    ck_assert_str_eq(config_getstring(IMAPOPT_USERPREFIX), "x\\y");
    ck_assert_str_eq(config_servername, "last.example.com");
    ck_assert_str_eq(config_dir, "/var/imap");
    ck_assert_str_eq(config_filename, "(string)");
    ck_assert(config_isset(IMAPOPT_ADMINS) && !config_isset(IMAPOPT_ALLOWAPOP));
}
END_TEST

START_TEST(test_nul)
{
    static const char text[] = BASE "admins: a\0b\n";

    ck_assert_int_eq(config_load_string(text, sizeof(text) - 1, 0, &err), EX_CONFIG);
}
END_TEST

START_TEST(test_files)
{
    char *dir = test_mkdtemp();
    char *one = test_path(dir, "one"), *two = test_path(dir, "two");
    char *text = xasprintf(BASE "@include: %s\nadmins: boss\n", two);

    test_writefile(one, text, strlen(text));
    test_writefile(two, "servername: two\n\nallowapop: maybe\n", 34);
    ck_assert_int_eq(config_load(one, 0, &err), EX_CONFIG);
    /* Line numbers are those of the included file. */
    ck_assert_str_eq(buf_cstring(&err), "non-switch value for allowapop in line 3");

    test_writefile(two, "servername: two\n", 16);
    ck_assert_int_eq(config_load(one, CONFIG_NEED_PARTITION_DATA, &err), 0);
    ck_assert_str_eq(config_servername, "two");
    ck_assert_str_eq(config_getstring(IMAPOPT_ADMINS), "boss");
    ck_assert_str_eq(config_filename, one);

    /* $CYRUS_PREFIX is tried first, for included files as well. */
    char *name = xasprintf("/no-such-%d", (int)getpid()), *prefixed = xasprintf("%s%s", dir, name);
    test_writefile(prefixed, text, strlen(text));
    setenv("CYRUS_PREFIX", dir, 1);
    ck_assert_int_eq(config_load(name, 0, &err), 0);
    ck_assert_int_eq(config_load(one, 0, &err), 0);
    unsetenv("CYRUS_PREFIX");
    ck_assert_int_eq(config_load(name, 0, &err), EX_CONFIG);

    free(name);
    free(prefixed);
    free(text);
    free(one);
    free(two);
    test_rmdir(dir);
}
END_TEST

/* -- lookup -- */

START_TEST(test_ident)
{
    static const char text[] = BASE "imap_admins: boss\nadmins: all\nimap_foo: own\nfoo: all\n"
                                    "lmtpunix_admins: other\n";

    config_setident("imap");
    ck_load(text);
    ck_assert_str_eq(config_getstring(IMAPOPT_ADMINS), "boss");
    ck_assert_str_eq(config_getoverflowstring("foo", NULL), "own");
    ck_assert_str_eq(config_getoverflowstring("lmtpunix_admins", NULL), "other");

    config_setident("IMAP"); /* letters alike */
    ck_load(text);
    ck_assert_str_eq(config_getstring(IMAPOPT_ADMINS), "boss");

    config_setident("pop3");
    ck_load(text);
    ck_assert_str_eq(config_getstring(IMAPOPT_ADMINS), "all");
    ck_assert_str_eq(config_getoverflowstring("foo", NULL), "all");
    ck_assert_ptr_null(config_getoverflowstring("bar", NULL));
    ck_assert_str_eq(config_getoverflowstring("bar", "def"), "def");

    /* The order in the file does not count. */
    config_setident("imap");
    ck_load(BASE "admins: all\nimap_admins: boss\n");
    ck_assert_str_eq(config_getstring(IMAPOPT_ADMINS), "boss");
}
END_TEST

static strarray_t warnings;

static void collect(int pri, const char *line, void *rock)
{
    if (pri == LOG_WARNING) strarray_append(&warnings, line);
}

START_TEST(test_deprecated)
{
    xsyslog_settap(collect, NULL);
    ck_load(BASE "autocreatequota: 0x20\n");
    ck_assert_int_eq(config_getint(IMAPOPT_AUTOCREATE_QUOTA), 32);
    ck_assert(config_isset(IMAPOPT_AUTOCREATE_QUOTA));
    ck_assert_str_eq(config_getoverflowstring("autocreatequota", ""), "0x20");
    ck_assert_int_eq(strarray_size(&warnings), 1);
    ck_assert_str_eq(strarray_nth(&warnings, 0),
                     "Option 'autocreatequota' is deprecated in favor of 'autocreate_quota' since "
                     "version 2.5.0.");
    ck_load(BASE "autocreatequota: 0x20\nautocreate_quota: 7\n");
    ck_assert_int_eq(config_getint(IMAPOPT_AUTOCREATE_QUOTA), 7);
    strarray_fini(&warnings);

    config_setident("imap");
    ck_load(BASE "imap_autocreatequota: 9\nautocreate_quota: 7\n");
    ck_assert_int_eq(config_getint(IMAPOPT_AUTOCREATE_QUOTA), 9);
    strarray_fini(&warnings);

    /* An alias word. */
    ck_load(BASE "sieve_extensions: imapflags fileinto\n");
    ck_assert_str_eq(config_getstring(IMAPOPT_SIEVE_EXTENSIONS), "fileinto imap4flags");
    ck_assert_uint_eq(config_getbitfield(IMAPOPT_SIEVE_EXTENSIONS),
                      IMAP_ENUM_SIEVE_EXTENSIONS_FILEINTO | IMAP_ENUM_SIEVE_EXTENSIONS_IMAP4FLAGS);
    ck_assert_int_eq(strarray_size(&warnings), 1);
    strarray_fini(&warnings);
    xsyslog_settap(NULL, NULL);
}
END_TEST

START_TEST(test_configdirectory)
{
    ck_load("annotation_db_path: {ConfigDirectory}/x\n" BASE
            "foo: {configdirectory}/x\nuserprefix: a{configdirectory}\n");
    ck_assert_str_eq(config_getstring(IMAPOPT_ANNOTATION_DB_PATH), "/var/imap/x");
    ck_assert_str_eq(config_getoverflowstring("foo", ""), "{configdirectory}/x");
    ck_assert_str_eq(config_getstring(IMAPOPT_USERPREFIX), "a{configdirectory}");
}
END_TEST

START_TEST(test_channels)
{
    ck_load(BASE "sync_host: all\nch_sync_host: one\nch_sync_repeat_interval: 1m\n"
                 "ch_sync_try_imap: no\nbad_sync_repeat_interval: x\nbad_sync_try_imap: x\n"
                 "sync_wait_ms: 7\nch_sync_wait_ms: 20\nbad_sync_wait_ms: 20x\n");
    ck_assert_str_eq(config_getchannelstring("ch", IMAPOPT_SYNC_HOST), "one");
    ck_assert_str_eq(config_getchannelstring("other", IMAPOPT_SYNC_HOST), "all");
    ck_assert_str_eq(config_getchannelstring(NULL, IMAPOPT_SYNC_HOST), "all");
    ck_assert_str_eq(config_getchannelstring("", IMAPOPT_SYNC_HOST), "all");
    ck_assert_int_eq(config_getchannelduration("ch", IMAPOPT_SYNC_REPEAT_INTERVAL), 60);
    ck_assert_int_eq(config_getchannelduration("bad", IMAPOPT_SYNC_REPEAT_INTERVAL),
                     config_getduration(IMAPOPT_SYNC_REPEAT_INTERVAL));
    ck_assert_int_eq(config_getchannelint("ch", IMAPOPT_SYNC_WAIT_MS), 20);
    ck_assert_int_eq(config_getchannelint("bad", IMAPOPT_SYNC_WAIT_MS), 7);
    ck_assert_int_eq(config_getchannelint(NULL, IMAPOPT_SYNC_WAIT_MS), 7);
    ck_assert(!config_getchannelswitch("ch", IMAPOPT_SYNC_TRY_IMAP));
    ck_assert(config_getchannelswitch("bad", IMAPOPT_SYNC_TRY_IMAP) ==
              config_getswitch(IMAPOPT_SYNC_TRY_IMAP));
}
END_TEST

static void join(const char *key, const char *val, void *rock)
{
    buf_printf(rock, "%s=%s ", key, val);
}

START_TEST(test_partitions)
{
    struct buf got = BUF_INITIALIZER;

    config_setident("imap");
    ck_load(
        "configdirectory: /c\nPartition-Two: /two\npartition-one: /one\nimap_partition-two: /2\n"
        "defaultpartition: ONE\nmetapartition-one: /m\narchivepartition-one: /a\n"
        "metadir-index-one: /i\nbackuppartition-one: /b\n");
    ck_assert_str_eq(config_defpartition, "one");
    ck_assert_str_eq(config_partitiondir("One"), "/one");
    ck_assert_str_eq(config_partitiondir("two"), "/2");
    ck_assert_ptr_null(config_partitiondir("three"));
    ck_assert_ptr_null(config_partitiondir(NULL));
    ck_assert_str_eq(config_metapartitiondir("one"), "/m");
    ck_assert_str_eq(config_archivepartitiondir("one"), "/a");
    ck_assert_str_eq(config_backuppartitiondir("one"), "/b");
    ck_assert_str_eq(config_metadir("index", "one"), "/i");
    ck_assert_ptr_null(config_metadir("cache", "one"));
    config_foreachpartition(join, &got);
    ck_assert_str_eq(buf_cstring(&got), "one=/one two=/2 ");
    buf_reset(&got);
    config_foreachoverflowstring(join, &got);
    ck_assert_ptr_nonnull(strstr(buf_cstring(&got), "metapartition-one=/m partition-one=/one "));
    buf_free(&got);

    /* A murder frontend has no spool. */
    ck_load("configdirectory: /c\nmupdate_server: m\n");
    ck_assert_str_eq(config_mupdate_server, "m");
    ck_assert_int_eq(load("configdirectory: /c\nmupdate_server: m\nproxyservers: x\n"), EX_CONFIG);
}
END_TEST

/* -- values -- */

START_TEST(test_values)
{
    ck_load(BASE "allowapop: offwards\nconversations: onwards\narchive_maxsize: 010\n"
                 "autocreate_quota: -99999999999\narchive_after: -1d3\nvirtdomains: yes\n"
                 "annotation_db: skiplist\njournal_inline_size: 2KiB\n"
                 "metapartition_files:  index \tcache index\n");
    ck_assert(!config_getswitch(IMAPOPT_ALLOWAPOP));
    ck_assert(config_getswitch(IMAPOPT_CONVERSATIONS));
    ck_assert_int_eq(config_getint(IMAPOPT_ARCHIVE_MAXSIZE), 8);
    ck_assert_int_eq(config_getint(IMAPOPT_AUTOCREATE_QUOTA), INT_MIN);
    ck_assert_int_eq(config_getduration(IMAPOPT_ARCHIVE_AFTER), -4 * 86400);
    ck_assert_str_eq(config_getstring(IMAPOPT_ARCHIVE_AFTER), "-1d3");
    ck_assert_int_eq(config_getenum(IMAPOPT_VIRTDOMAINS), IMAP_ENUM_VIRTDOMAINS_ON);
    ck_assert_str_eq(config_getstring(IMAPOPT_VIRTDOMAINS), "on");
    ck_assert_str_eq(config_getstring(IMAPOPT_ANNOTATION_DB), "skiplist");
    ck_assert_uint_eq(config_getbytesize(IMAPOPT_JOURNAL_INLINE_SIZE), 2048);
    ck_assert_uint_eq(config_getbitfield(IMAPOPT_METAPARTITION_FILES),
                      IMAP_ENUM_METAPARTITION_FILES_INDEX | IMAP_ENUM_METAPARTITION_FILES_CACHE);
    ck_assert_str_eq(config_getstring(IMAPOPT_METAPARTITION_FILES), "index cache");
}
END_TEST

static const struct {
    const char *text;
    char unit;
    int r;
    int64_t seconds;
} durations[] = {
    { "1h30", 'm', 0, 5400 },
    { "3d12h", 's', 0, 3 * 86400 + 12 * 3600 },
    { "7", 'd', 0, 7 * 86400 },
    { "0", 's', 0, 0 },
    { "-1m", 's', 0, -60 },
    { "1s1s", 's', 0, 2 },
    { "", 's', -EINVAL, 0 },
    { "d", 's', -EINVAL, 0 },
    { "1 d", 's', -EINVAL, 0 },
    { "--1", 's', -EINVAL, 0 },
    { "+1", 's', -EINVAL, 0 },
    { "99999999999999999999", 's', -ERANGE, 0 },
    { "9223372036854775807d", 's', -ERANGE, 0 },
    { "9223372036854775807s1s", 's', -ERANGE, 0 },
};

static const struct {
    const char *text;
    char unit;
    int r;
    uint64_t bytes;
} sizes[] = {
    { "64K", 'b', 0, 65536 },    { "64kb", 'b', 0, 65536 },
    { "64 KiB", 'b', 0, 65536 }, { "64", 'k', 0, 65536 },
    { "5b", 'k', 0, 5 },         { "1G", 'b', 0, 1u << 30 },
    { "", 'b', -EINVAL, 0 },     { "K", 'b', -EINVAL, 0 },
    { "1Ki", 'b', -EINVAL, 0 },  { "1bb", 'b', -EINVAL, 0 },
    { "-1", 'b', -EINVAL, 0 },   { "1Kx", 'b', -EINVAL, 0 },
    { "1T", 'b', -EINVAL, 0 },   { "17179869184G", 'b', -ERANGE, 0 },
};

START_TEST(test_parsers)
{
    for (size_t i = 0; i < array_size(durations); i++) {
        int64_t n = -1;
        ck_assert_msg(config_parseduration(durations[i].text, durations[i].unit, &n) ==
                          durations[i].r,
                      "%s", durations[i].text);
        if (!durations[i].r) ck_assert_int_eq(n, durations[i].seconds);
    }
    for (size_t i = 0; i < array_size(sizes); i++) {
        uint64_t n = 1;
        ck_assert_msg(config_parsebytesize(sizes[i].text, sizes[i].unit, &n) == sizes[i].r, "%s",
                      sizes[i].text);
        if (!sizes[i].r) ck_assert_uint_eq(n, sizes[i].bytes);
    }
}
END_TEST

/* -- the table -- */

START_TEST(test_defaults)
{
    unsigned cyrus = 0;

    for (enum imapopt opt = IMAPOPT_ZERO + 1; opt < IMAPOPT_LAST; opt++) {
        const struct imapopt_def *def = &imapopts[opt];
        ck_assert_msg(imapopt_byname(def->name, strlen(def->name)) == opt, "%s", def->name);
        ck_assert_int_eq(imapopt_byname(def->name, strlen(def->name) - 1) == opt, 0);
        ck_assert_msg(!strcmpsafe(config_getstring(opt), def->dflt) ||
                          def->type == IMAPOPT_TYPE_BITFIELD,
                      "%s", def->name);
        ck_assert(!config_isset(opt));
        if (!def->own) cyrus++;
    }
    /* Those of upstream 3.6.1 and the two of Debian's security patches. */
    ck_assert_uint_eq(cyrus, 526);
    ck_assert_int_eq(imapopt_byname("no_such_option", 14), IMAPOPT_ZERO);
    ck_assert_int_eq(imapopt_byname("", 0), IMAPOPT_ZERO);
    ck_assert_int_eq(config_getduration(IMAPOPT_ARCHIVE_AFTER), 7 * 86400);
    ck_assert(config_getswitch(IMAPOPT_ALTNAMESPACE));
    ck_assert_str_eq(config_defdomain, "internal");
    ck_assert_uint_eq(config_getbitfield(IMAPOPT_EVENT_GROUPS),
                      IMAP_ENUM_EVENT_GROUPS_MESSAGE | IMAP_ENUM_EVENT_GROUPS_MAILBOX);
    ck_assert_int_ne(config_getbitfield(IMAPOPT_CALENDAR_COMPONENT_SET), 0);
}
END_TEST

START_TEST(test_wrong_getter)
{
    config_getint(IMAPOPT_ADMINS);
}
END_TEST

START_TEST(test_names_config)
{
    struct names_config cfg, dflt;

    names_config_defaults(&dflt);
    config_read_string("admins: x\n"); /* loaded, all else unset: the same as the built-in values */
    names_config_get(&cfg);
    ck_assert_str_eq(cfg.deletedprefix, dflt.deletedprefix);
    ck_assert_str_eq(cfg.userprefix, dflt.userprefix);
    ck_assert_str_eq(cfg.sharedprefix, dflt.sharedprefix);
    ck_assert_str_eq(cfg.calendarprefix, dflt.calendarprefix);
    ck_assert_str_eq(cfg.sieve_folder, dflt.sieve_folder);
    ck_assert_str_eq(cfg.configdirectory, dflt.configdirectory);
    ck_assert_int_eq(cfg.deleteright, dflt.deleteright);
    ck_assert(cfg.unixhierarchysep == dflt.unixhierarchysep);
    ck_assert(cfg.altnamespace == dflt.altnamespace);
    ck_assert(cfg.username_tolower == dflt.username_tolower);

    config_read_string("virtdomains: userid\nunixhierarchysep: no\ndefaultdomain: d.org\n"
                       "metapartition_files: header archivecache\nmetapartition-x: /m\n"
                       "deleteright: d\n");
    names_config_get(&cfg);
    ck_assert_int_eq(cfg.virtdomains, VIRTDOMAINS_USERID);
    ck_assert(!cfg.unixhierarchysep);
    ck_assert_str_eq(names_defaultdomain(), "d.org");
    ck_assert_int_eq(names_deleteright(), 'd');
    ck_assert_uint_eq(cfg.metapartition_files, 0x101);
    ck_assert_str_eq(cfg.partition_option("metapartition-", "x", cfg.rock), "/m");
    ck_assert_ptr_null(cfg.partition_option("metapartition-", "y", cfg.rock));
}
END_TEST

Suite *libconfig_suite(void)
{
    Suite *s = suite_create("libconfig");
    TCase *t = tcase_create("libconfig");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_bad, 0, (int)array_size(bad));
    tcase_add_test(t, test_grammar);
    tcase_add_test(t, test_nul);
    tcase_add_test(t, test_files);
    tcase_add_test(t, test_ident);
    tcase_add_test(t, test_deprecated);
    tcase_add_test(t, test_configdirectory);
    tcase_add_test(t, test_channels);
    tcase_add_test(t, test_partitions);
    tcase_add_test(t, test_values);
    tcase_add_test(t, test_parsers);
    tcase_add_test(t, test_defaults);
    tcase_add_exit_test(t, test_wrong_getter, EX_SOFTWARE);
    tcase_add_test(t, test_names_config);
    suite_add_tcase(s, t);
    return s;
}
