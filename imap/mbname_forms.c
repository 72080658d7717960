/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mbname_forms -- copies of the spellings of names
 */
#include <config.h>

#include "mbname_forms.h"

#include <stdint.h>
#include <stdlib.h>

#include "buf.h"
#include "xmalloc.h"

extname_t extname_dup(extname_t name)
{
    return extname_of(xstrdupnull(name.ext));
}

void extname_free(extname_t *name)
{
    free((char *)(uintptr_t)name->ext);
    *name = EXTNAME_NONE;
}

void extnames_add(extnames_t *names, extname_t name)
{
    names->list = xreallocarray(names->list, names->count + 1, sizeof(*names->list));
    names->list[names->count++] = extname_dup(name);
}

void extnames_fini(extnames_t *names)
{
    for (size_t i = 0; i < names->count; i++) extname_free(&names->list[i]);
    xzfree(names->list);
    names->count = 0;
}

void dbname_append(dbname_t name, struct buf *out)
{
    if (name.key) buf_appendmap(out, name.key, name.keylen);
}

void dbname_free(dbname_t *name)
{
    free((char *)(uintptr_t)name->key);
    *name = (dbname_t){ NULL, 0 };
}
