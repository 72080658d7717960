/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SECRET_FILE_H
#define INCLUDED_SECRET_FILE_H
/*
 * secret_file -- a password in a file of its own
 */
#include "buf.h"

/* Longest secret, in bytes. */
#define SECRET_FILE_MAX 1024

/*
 * The first line of the file, without its end. It has to be a regular file of root or of this process's user, that nobody
 * else can write or, but for its group, read. 0, or -errno (EPERM: not such a file, EINVAL: no secret in it) with the cause,
 * which names the file and its mode, but never what is in it, behind what is in why. The caller wipes secret (secure_zero).
 */
int secret_file_read(const char *path, struct buf *secret, struct buf *why);
/* Wipe and free. */
void secret_free(struct buf *secret);

#endif
