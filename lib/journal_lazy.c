/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal_lazy -- what a checkpoint does to the files behind the sync: remove, drop
 *
 * A lazily removed name stays until everything that was linked from it is durable. A file that
 * can't be removed is logged and stays: it is garbage, not damage.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "journal_int.h"
#include "journal_plan.h"
#include "xmalloc.h"
#include "xsyslog.h"

void journal_remove_file(const char *path)
{
    int r = diskio_unlink_quiet(path);
    if (r && r != -ENOTDIR) syslog(LOG_WARNING, "journal: can't remove %s: %s", path, strerror(-r));
}

void journal_remove_dir(const char *path)
{
    int r = diskio_rmdir(path);
    if (r && r != -ENOENT && r != -ENOTEMPTY && r != -ENOTDIR && r != -EEXIST)
        syslog(LOG_WARNING, "journal: can't remove directory %s: %s", path, strerror(-r));
}

unsigned journal_lazy_files(const struct journal_plan *plan, uint64_t nops, size_t *pos, const char **names, unsigned max)
{
    const char *path;
    unsigned n = 0;
    void *data;

    while (n < max && (path = hash_next(&plan->paths, pos, &data))) {
        const struct journal_plan_path *pp = data;
        if (journal_plan_removes(pp) && pp->lazy <= nops) names[n++] = path;
    }
    return n;
}

/* Deeper directories first: a longer path is removed before a shorter one. */
static int cmp_longer(const void *a, const void *b)
{
    size_t x = strlen(*(char *const *)a), y = strlen(*(char *const *)b);
    return x < y ? 1 : x > y ? -1 : 0;
}

size_t journal_lazy_dirs(const struct journal_plan *plan, uint64_t nops, const char ***namesp)
{
    const char **dirs = NULL, *path;
    size_t n = 0, alloc = 0, pos = 0;
    void *data;

    while ((path = hash_next(&plan->paths, &pos, &data))) {
        const struct journal_plan_path *pp = data;
        if (!journal_plan_removes_dir(pp) || pp->rmdir > nops) continue;
        if (n == alloc) {
            alloc = grow_alloc(alloc, n + 1);
            dirs = xreallocarray(dirs, alloc, sizeof(*dirs));
        }
        dirs[n++] = path;
    }
    if (n) qsort(dirs, n, sizeof(*dirs), cmp_longer);
    *namesp = dirs;
    return n;
}

int journal_segments_drop(struct journal *j, uint64_t lsn, uint64_t readers, bool all)
{
    uint64_t *starts;
    size_t n;
    uint64_t tail = j->ctl->tail;

    if (readers < lsn && tail - readers > j->reader_max) {
        syslog(LOG_ALERT, "journal: a reader is more than %llu bytes behind: events before %llx are dropped",
               (unsigned long long)j->reader_max, (unsigned long long)(tail - j->reader_max));
        readers = tail - j->reader_max;
    }
    if (readers < lsn) lsn = readers;

    int r = journal_segments(j->dir, &starts, &n);
    if (r) return r;
    for (size_t i = 0; i < n; i++) {
        uint64_t end = i + 1 < n ? starts[i + 1] : all ? tail : UINT64_MAX;
        if (end > lsn) break;
        /* One that is made anew under this name, as the log was empty, is another file. */
        if (j->read.start == starts[i]) journal_segment_close(&j->read);
        if (j->append.start == starts[i]) journal_segment_close(&j->append);
        int rc = diskio_unlink_quiet(journal_segment_path(j, starts[i]));
        if (rc) syslog(LOG_WARNING, "journal: can't remove %s: %s", journal_segment_path(j, starts[i]), strerror(-rc));
    }
    free(starts);
    return 0;
}
