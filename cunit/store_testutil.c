/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * store_testutil -- a whole store in a scratch directory
 */
#include <config.h>

#include "store_testutil.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crc32.h"
#include "cyrusdb.h"
#include "diskio.h"
#include "diskio_trace.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "message_cache.h"
#include "strarray.h"
#include "sync_crc.h"
#include "user.h"
#include "xmalloc.h"

char *st_dir;

void st_setup(const char *extra)
{
    static const char form[] =
        "configdirectory: %s/conf\npartition-default: %s/part\npartition-other: %s/part2\n"
        "defaultpartition: default\n%s%s";
    st_dir = test_mkdtemp();
    char *conf = xasprintf(form, st_dir, st_dir, st_dir,
                           extra && strstr(extra, "conversations:") ? "" : "conversations: yes\n",
                           extra ? extra : "");
    config_read_string(conf);
    free(conf);
    static const char *const dirs[] = { "conf", "part", "part2" };
    for (size_t i = 0; i < array_size(dirs); i++) {
        char *dir = test_path(st_dir, "%s", dirs[i]);
        ck_assert_int_eq(diskio_mkdirs(dir, 0755), 0);
        free(dir);
    }
}

void st_teardown(void)
{
    diskio_hooks_install(NULL);
    txn_shutdown();
    cyrusdb_done();
    config_reset();
    test_rmdir(st_dir);
}

TCase *st_tcase(Suite *s, const char *name, void (*set)(void))
{
    TCase *tc = tcase_create(name);

    tcase_add_checked_fixture(tc, set, st_teardown);
    tcase_set_timeout(tc, 60);
    suite_add_tcase(s, tc);
    return tc;
}

void st_reboot(void)
{
    char *control = test_path(st_dir, "conf/journal/control");

    ck_assert_int_eq(diskio_unlink_quiet(control), 0);
    free(control);
}

int st_child(void (*fn)(void *rock), void *rock)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();

    if (!pid) {
        fn(rock);
        _exit(0);
    }
    ck_assert_int_gt(pid, 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

struct txn *st_begin(const char *userid)
{
    struct txn *txn;

    ck_assert_int_eq(txn_begin(&txn), 0);
    ck_assert_int_eq(txn_lock_user(txn, userid), 0);
    return txn;
}

void st_commit(struct txn *txn)
{
    ck_assert_int_eq(txn_commit(&txn, NULL), 0);
}

const char *st_uniqueid(const char *name)
{
    static char id[64];

    snprintf(id, sizeof(id), "%08xid%08x", crc32_map(name, strlen(name)), (unsigned)strlen(name));
    return id;
}

struct mailbox *st_create_in(struct txn *txn, const char *name, const char *uniqueid,
                             const char *acl)
{
    struct mailbox *mailbox;
    mbentry_t *entry = mbentry_new(name);

    entry->uniqueid = xstrdup(uniqueid ? uniqueid : st_uniqueid(name));
    entry->partition = xstrdup("default");
    mbentry_set_acl(entry, acl ? acl : "anyone\tlrswipkxtecdan\t");
    entry->mbtype = MBTYPE_EMAIL | MBTYPE_INTERMEDIATE;
    ck_assert_int_eq(mboxlist_update_entry(txn, name, entry), 0);
    entry->mbtype = MBTYPE_EMAIL;
    struct mailbox_create_args args = { .mbentry = entry };
    ck_assert_int_eq(mailbox_create(txn, &args, &mailbox), 0);
    entry->uidvalidity = mailbox_index_header(mailbox)->uidvalidity;
    entry->createdmodseq = mailbox_index_header(mailbox)->createdmodseq;
    entry->foldermodseq = mailbox_index_header(mailbox)->highestmodseq;
    ck_assert_int_eq(mboxlist_update_entry(txn, name, entry), 0);
    mbentry_free(&entry);
    return mailbox;
}

void st_create(const char *name)
{
    char *userid = mboxname_to_userid(name);
    struct txn *txn = st_begin(userid);

    st_create_in(txn, name, NULL, NULL);
    st_commit(txn);
    free(userid);
}

struct mailbox *st_write(struct txn *txn, const char *name)
{
    struct mailbox *mailbox;

    ck_assert_int_eq(mailbox_open_iwl(txn, name, &mailbox), 0);
    return mailbox;
}

struct mailbox *st_read(const char *name)
{
    struct mailbox *mailbox;

    ck_assert_int_eq(mailbox_open_irl(name, &mailbox), 0);
    return mailbox;
}

void st_message(unsigned n, struct buf *msg)
{
    buf_reset(msg);
    buf_printf(msg,
               "From: Sender %u <s%u@example.com>\r\nTo: r@example.com\r\nSubject: test %u\r\n", n,
               n, n);
    buf_printf(
        msg,
        "Date: Mon, 02 Jan 2023 03:04:05 +0100\r\nMessage-ID: <m%u@example.com>\r\n\r\nBody %u\r\n",
        n, n);
}

uint32_t st_append_in(struct mailbox *mailbox, unsigned n)
{
    struct append_args args = { .internaldate = 1672653600 + n };
    struct buf msg = BUF_INITIALIZER;
    struct stage *stage;
    uint32_t uid;

    st_message(n, &msg);
    ck_assert_int_eq(stage_new_bytes(buf_base(&msg), buf_len(&msg), 0, &stage), 0);
    ck_assert_int_eq(append_fromstage(mailbox, stage, &args, &uid), 0);
    stage_free(&stage);
    buf_free(&msg);
    return uid;
}

uint32_t st_append(const char *name, unsigned n)
{
    char *userid = mboxname_to_userid(name);
    struct txn *txn = st_begin(userid);
    uint32_t uid = st_append_in(st_write(txn, name), n);

    st_commit(txn);
    free(userid);
    return uid;
}

char *st_file(const char *uniqueid, const char *file)
{
    return test_path(st_dir, "part/uuid/%c/%c/%s/%s", uniqueid[0], uniqueid[1], uniqueid, file);
}

/* ---- what must hold ---- */

static void check_message(struct mailbox *mailbox, const struct index_record *rec)
{
    struct buf msg = BUF_INITIALIZER, cache = BUF_INITIALIZER, made = BUF_INITIALIZER;
    struct message_guid guid;
    uint32_t crc;

    ck_assert_int_eq(mailbox_map_record(mailbox, rec, &msg), 0);
    ck_assert_uint_eq(buf_len(&msg), rec->size);
    message_guid_generate(&guid, buf_base(&msg), buf_len(&msg));
    ck_assert(message_guid_equal(&guid, &rec->guid));
    struct message_content *content = message_parse(buf_base(&msg), buf_len(&msg), NULL);
    message_write_cache(content, &made, &crc);
    message_content_free(&content);
    ck_assert_uint_eq(crc, rec->cache_crc);
    ck_assert_int_eq(mailbox_cacherecord(mailbox, rec, &cache), 0);
    ck_assert_bytes_eq(buf_base(&cache), buf_len(&cache), buf_base(&made), buf_len(&made));
    buf_free(&msg);
    buf_free(&cache);
    buf_free(&made);
}

void st_check(const char *name)
{
    struct mailbox *mailbox = st_read(name);
    const struct index_header *hdr = mailbox_index_header(mailbox);
    struct index_header sum = *hdr;
    struct index_record rec;
    uint32_t lastuid = 0;

    index_header_reset_counts(&sum);
    for (uint32_t recno = 1; recno <= mailbox_num_records(mailbox); recno++) {
        ck_assert_int_eq(mailbox_read_record(mailbox, recno, &rec), 0);
        ck_assert_uint_gt(rec.uid, lastuid);
        lastuid = rec.uid;
        ck_assert_uint_le(rec.modseq, hdr->highestmodseq);
        index_header_apply_delta(&sum, NULL, NULL, &rec, NULL, mailbox_flagnames(mailbox));
        if (!(rec.internal_flags & FLAG_INTERNAL_UNLINKED)) check_message(mailbox, &rec);
    }
    ck_assert_uint_le(lastuid, hdr->last_uid);
    ck_assert_uint_eq(sum.exists, hdr->exists);
    ck_assert_uint_eq(sum.deleted, hdr->deleted);
    ck_assert_uint_eq(sum.answered, hdr->answered);
    ck_assert_uint_eq(sum.flagged, hdr->flagged);
    if (hdr->minor_version >= 14) ck_assert_uint_eq(sum.unseen, hdr->unseen);
    ck_assert_uint_eq(sum.quota_mailbox_used, hdr->quota_mailbox_used);
    ck_assert_uint_eq(sum.sync_crc_basic, hdr->sync_crc_basic);
    mailbox_close(&mailbox);
}

void st_assert_subs(const char *want)
{
    strarray_t names = STRARRAY_INITIALIZER;

    ck_assert_int_eq(sub_list("alice", &names), 0);
    char *got = strarray_join(&names, " ");
    ck_assert_str_eq(got ? got : "", want);
    free(got);
    strarray_fini(&names);
}
