/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * targets -- the table of fuzz targets, made from the list of their sources
 */
#include <config.h>

#include "fuzz.h"

const struct fuzz_target fuzz_targets[] = {
#define TARGET(name) { #name, fuzz_##name },
#include "fuzz_targets.h"
#undef TARGET
    { NULL, NULL },
};
