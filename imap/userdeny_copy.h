/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_USERDENY_COPY_H
#define INCLUDED_USERDENY_COPY_H
/*
 * userdeny_copy -- a second copy of user_deny.db, for when the first is damaged on the disk
 */
#include <stdbool.h>

/* A copy of the file is there, if it has a sum, and is whole. A failure is logged. */
void userdeny_keep_copy(const char *path);
/* The file is damaged, and was made anew from its copy. False: it is not, or there is no copy of just this content. */
bool userdeny_heal(const char *path);

#endif
