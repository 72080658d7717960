/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * diskio_hooks -- what the two test tables of diskio share
 */
#ifndef CYL_DISKIO_HOOKS_H
#define CYL_DISKIO_HOOKS_H

#include <limits.h>

struct diskio_ops;

/* Opens (appends to) the trace and gives the table that records into it; 0 or -errno. */
int diskio_record_start(const char *path, const struct diskio_ops **ops);
void diskio_record_stop(void);

/*
 * The path an open descriptor has now ("... (deleted)" when it has none), "" when unknown.
 * Returns out.
 */
const char *diskio_fd_path(int fd, char out[PATH_MAX]);

#endif
