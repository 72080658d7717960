/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_USER_ASIDE_H
#define INCLUDED_USER_ASIDE_H
/*
 * user_aside -- a file goes where nobody takes it for a user's: <configdirectory>/lost+found, under its name with the time
 *
 * Staged in the transaction; where it will be is added to *kept.
 */
#include "strarray.h"
#include "txn.h"

int user_file_aside(struct txn *txn, const char *path, strarray_t *kept);
/*
 * The files of a directory (with a slash at its end), into one that is called NAME SUFFIX and the time; symbolic links are
 * logged, and go. Directories in it stay, and it with them.
 */
int user_dir_aside(struct txn *txn, const char *dir, const char *name, const char *suffix, strarray_t *kept);

#endif
