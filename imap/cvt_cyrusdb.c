/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cvt_cyrusdb -- copies a key-value file into one of another backend (handbook 05 §3.6)
 *
 * OLDFILE is only read. All records go to NEWFILE in one transaction, where one of the same key is replaced; then
 * both are compared, record by record.
 *
 * Output is what 3.6.1 prints; unlike there, a failure is not exit code 0.
 */
#include <config.h>

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cyrusdb.h"
#include "exitcodes.h"
#include "global.h"
#include "util.h"

static const char *make_usage(void)
{
    static struct buf text = BUF_INITIALIZER;
    const char *name;

    buf_setcstr(&text, "Usage: cvt_cyrusdb [-C <altconfig>] <old db> <old db backend> <new db> <new db backend>\n"
                       "Usable Backends: ");
    for (unsigned i = 0; (name = cyrusdb_backend_name(i)); i++) buf_printf(&text, "%s%s", i ? ", " : "", name);
    buf_putc(&text, '\n');
    return buf_cstring(&text);
}

static int copy_record(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    return cyrusdb_store(rock, key, keylen, data, datalen);
}

static int compare_record(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    const char *copied;
    size_t len;
    int r = cyrusdb_fetch(rock, key, keylen, &copied, &len);
    if (!r && memcmp_len(copied, len, data, datalen)) r = CYRUSDB_INTERNAL;
    return r;
}

static int convert(char **arg)
{
    struct db *from = NULL, *to = NULL;

    int r = cyrusdb_open(arg[1], arg[0], 0, &from);
    if (!r) r = cyrusdb_open(arg[3], arg[2], CYRUSDB_CREATE, &to);
    if (!r && to == from) r = CYRUSDB_EXISTS;
    if (!r) r = cyrusdb_begin(to, 0);
    if (!r) r = cyrusdb_foreach(from, "", 0, copy_record, to);
    if (!r) r = cyrusdb_foreach(from, "", 0, compare_record, to);
    if (!r) r = cyrusdb_commit(to);
    if (to) cyrusdb_abort(to);
    cyrusdb_close(to);
    cyrusdb_close(from);
    cyrusdb_done();
    return r;
}

int main(int argc, char **argv)
{
    const char *alt_config = NULL;
    const char *usage = make_usage();
    bool bad = false;
    int opt;

    cyrus_std_options(argc, argv, usage);
    while ((opt = getopt(argc, argv, "C:")) != EOF) {
        if (opt == 'C') alt_config = optarg;
        else bad = true;
    }
    if (bad || argc - optind != 4) {
        fputs(usage, stderr);
        return EX_USAGE_OLD;
    }
    char **arg = argv + optind;
    if (arg[0][0] != '/' || arg[2][0] != '/') {
        puts("\nSorry, you cannot use this tool with relative path names.\n"
             "This is because some database backends do not\n"
             "always do what you would expect with them.\n"
             "\nPlease use absolute pathnames instead.\n");
        return EX_OSERR;
    }
    cyrus_init(alt_config, "cvt_cyrusdb", CYRUSINIT_TOOL, 0);
    printf("Converting from %s (%s) to %s (%s)\n", arg[0], arg[1], arg[2], arg[3]);
    int r = convert(arg);
    if (r) printf("\nDBERROR: Conversion failed (r was %d). Check syslog for details.\n", r);
    cyrus_done();
    return r ? EX_TEMPFAIL : EX_OK;
}
