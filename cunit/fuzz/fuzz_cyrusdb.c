/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Database files: the first byte is the backend, the second says what is changed in it
 * afterwards, the rest is the file. It is opened or refused; what is opened can be read
 * in order, and takes a change or says why not.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cyrusdb.h"
#include "fuzz.h"

static int look(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    size_t *left = rock;
    volatile char sum = 0;

    if (!keylen) abort();
    for (size_t i = 0; i < keylen; i++) sum = (char)(sum + key[i]);
    for (size_t i = 0; i < datalen; i++) sum = (char)(sum + data[i]);
    return --*left ? 0 : CYRUSDB_DONE;
}

static void change(struct db *db, uint8_t what)
{
    const char *val;
    size_t len;

    cyrusdb_fetch(db, "alice", 5, &val, &len);
    if (what & 1 && !cyrusdb_store(db, "alice", 5, "value", 5)) {
        if (cyrusdb_fetch(db, "alice", 5, &val, &len) || len != 5 || memcmp(val, "value", 5))
            abort();
    }
    if (what & 2) cyrusdb_delete(db, "alice", 5, true);
    if (what & 4) cyrusdb_repack(db);
    if (what & 8) (void)cyrusdb_consistent(db);
}

void fuzz_cyrusdb(const uint8_t *data, size_t size)
{
    static const char *const backends[] = { "twoskip", "flat", "quotalegacy", "skiplist" };
    static char *path;
    struct db *db = NULL;
    size_t left = 10000;

    if (size < 2) return;
    const char *backend = backends[data[0] % 4];
    if (cyrusdb_check_backend(backend)) return;
    if (!path) path = fuzz_path("db");
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data + 2, 1, size - 2, f) != size - 2 || fclose(f)) abort();
    if (!cyrusdb_open(backend, path, 0, &db)) {
        cyrusdb_foreach(db, "", 0, look, &left);
        change(db, data[1]);
        cyrusdb_close(db);
    }
    unlink(path);
}
