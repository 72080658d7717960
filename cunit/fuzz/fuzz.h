/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CYL_FUZZ_H
#define CYL_FUZZ_H
/*
 * fuzz -- one target for each reader of bytes from outside
 *
 * cunit/fuzz/fuzz_NAME.c has fuzz_NAME(), which takes any bytes, must neither leak nor crash, and
 * calls abort() when something that must hold does not. The program cunit/fuzz/fuzz gives them the
 * engine of libFuzzer (--enable-fuzz); the unit suite `fuzz` gives them the files of
 * cunit/fuzz/corpus/NAME, in any build.
 */
#include <stddef.h>
#include <stdint.h>

#define TARGET(name) void fuzz_##name(const uint8_t *data, size_t size);
#include "fuzz_targets.h"
#undef TARGET

struct fuzz_target {
    const char *name;
    void (*run)(const uint8_t *data, size_t size);
};
/* All of them; the last has no name. */
extern const struct fuzz_target fuzz_targets[];

/* Lines of the log go nowhere. */
void fuzz_silence(void);

/* ---- fuzz_store.c: a store that lives as long as the process ---- */
/* Made at the first call: users alice (INBOX, Work, two messages) and bob, admin `admin`. */
void fuzz_store(void);
/* A path in a directory of this process, which exists without a store; the caller frees. */
char *fuzz_path(const char *name);
/* Everything a client sends in an IMAP session of that user, to its end. */
void fuzz_imap_session(const char *userid, const char *base, size_t len);

#endif
