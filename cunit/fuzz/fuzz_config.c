/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * imapd.conf (first byte even) and cyrus.conf (odd): read or refused with a text. Options of any
 * type can be asked for afterwards.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "fuzz.h"
#include "libconfig.h"
#include "masterconf.h"

static void count(const char *key, const char *val, void *rock)
{
    *(size_t *)rock += strlen(key) + strlen(val);
}

static void imapd_conf(const char *text, size_t len)
{
    struct buf err = BUF_INITIALIZER;
    size_t bytes = 0;

    /* @include would read files of this machine */
    if (memmem(text, len, "@include", 8)) return;
    if (!config_load_string(text, len, 0, &err)) {
        config_foreachoverflowstring(count, &bytes);
        config_getduration(IMAPOPT_TIMEOUT);
        config_getbytesize(IMAPOPT_JOURNAL_INLINE_SIZE);
        config_getoverflowstring("partition-default", NULL);
    }
    else if (!err.len) {
        abort();
    }
    config_reset();
    buf_free(&err);
}

static int entry(const struct masterconf_entry *e, void *rock)
{
    masterconf_getstring(e, "cmd", "");
    masterconf_getint(e, "prefork", 0);
    masterconf_getswitch(e, "babysit", false);
    ++*(size_t *)rock;
    return 0;
}

static void cyrus_conf(const char *text, size_t len)
{
    static const char *const sections[] = { "START", "SERVICES", "EVENTS", "DAEMON" };
    static char *path;
    struct buf err = BUF_INITIALIZER;
    size_t entries = 0;

    if (!path) path = fuzz_path("cyrus.conf");
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(text, 1, len, f) != len || fclose(f)) abort();
    for (size_t i = 0; i < 4; i++) {
        buf_reset(&err);
        if (masterconf_getsection(path, sections[i], entry, &entries, &err) && !err.len) abort();
    }
    unlink(path);
    buf_free(&err);
}

void fuzz_config(const uint8_t *data, size_t size)
{
    if (!size) return;
    (data[0] & 1 ? cyrus_conf : imapd_conf)((const char *)data + 1, size - 1);
}
