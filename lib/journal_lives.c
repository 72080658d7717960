/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal_lives -- what the journal was before: was a place of it, once seen, really passed?
 *
 * Each time the first process opens the journal a line goes to <dir>/lives, "INSTANCE LSN": the new life and where it begins, which is where the
 * one before has ended. A store that was restored from a backup has the lines of then, and its next life begins where the backup ends. Nothing is
 * synced, and nothing depends on it but what can be made anew: what can't be read was not.
 */
#include <config.h>

#include "journal_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "buf.h"
#include "util.h"

#define LINE 34u
#define MOST (1024u * LINE) /* bytes; then it begins anew */

static int open_lives(struct journal *j, int flags, off_t *size)
{
    struct stat st;
    int fd = diskio_open(journal_path(j, "lives"), flags, 0640);
    int r = fd < 0 ? fd : diskio_fstat(fd, &st);

    if (!r) *size = st.st_size;
    if (r && fd >= 0) diskio_close(fd);
    return r ? r : fd;
}

void journal_lives_add(struct journal *j, uint64_t instance, uint64_t lsn)
{
    char line[LINE + 1];
    off_t size = 0;
    int fd = open_lives(j, O_RDWR | O_CREAT, &size);

    if (fd < 0) return;
    snprintf(line, sizeof(line), "%016llx %016llx\n", (unsigned long long)instance, (unsigned long long)lsn);
    if (size % LINE || size >= (off_t)MOST) size = diskio_ftruncate(fd, 0);
    if (size >= 0) (void)diskio_pwrite(fd, line, LINE, size);
    diskio_close(fd);
}

static bool parse_line(const char *line, uint64_t *instance, uint64_t *lsn)
{
    return !parse_hex64(line, 16, instance) && line[16] == ' ' && !parse_hex64(line + 17, 16, lsn) && line[33] == '\n';
}

/* Where that life has ended; 0: it is not known. */
static uint64_t end_of(const char *base, size_t len, uint64_t instance)
{
    uint64_t which, lsn;

    for (size_t at = 0; at + 2 * LINE <= len; at += LINE) {
        if (!parse_line(base + at, &which, &lsn) || which != instance) continue;
        return parse_line(base + at + LINE, &which, &lsn) ? lsn : 0;
    }
    return 0;
}

bool journal_has_passed(struct journal *j, uint64_t instance, uint64_t lsn)
{
    char text[MOST];
    off_t size;

    if (instance == j->ctl->instance) return lsn <= j->ctl->tail;
    int fd = open_lives(j, O_RDONLY, &size);
    ssize_t n = fd < 0 ? 0 : diskio_pread(fd, text, sizeof(text), 0);
    diskio_close(fd);
    uint64_t end = n > 0 ? end_of(text, (size_t)n, instance) : 0;
    return end && lsn <= end;
}
