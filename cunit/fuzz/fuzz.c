/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz -- libFuzzer's way into the targets
 *
 * Usage: fuzz TARGET [libFuzzer's options and corpora]. The name is handed on to
 * processes that libFuzzer starts in $FUZZ_TARGET. `fuzz list` prints all names.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct fuzz_target *target;

static const struct fuzz_target *find(const char *name)
{
    for (const struct fuzz_target *t = fuzz_targets; name && t->name; t++)
        if (!strcmp(t->name, name)) return t;
    return NULL;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *name = *argc > 1 ? (*argv)[1] : NULL;

    if (name && !strcmp(name, "list")) {
        for (const struct fuzz_target *t = fuzz_targets; t->name; t++) puts(t->name);
        exit(0);
    }
    target = find(name);
    if (target) {
        setenv("FUZZ_TARGET", name, 1);
        (*argv)[1] = (*argv)[0];
        ++*argv;
        --*argc;
    }
    else {
        target = find(getenv("FUZZ_TARGET"));
    }
    if (!target) {
        fputs("usage: fuzz TARGET [OPTIONS] [CORPUS...]; `fuzz list` names the targets\n", stderr);
        exit(EX_USAGE);
    }
    fuzz_silence();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    target->run(data, size);
    return 0;
}
