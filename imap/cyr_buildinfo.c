/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyr_buildinfo -- what was built, as JSON (handbook 05 §3.8)
 *
 * Scripts that drive a server ask here what it can do, under the names of Cyrus. A
 * member is true only when the programs of this build do it.
 */
#include <config.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exitcodes.h"
#include "global.h"
#include "util.h"

static const char usage[] = "Usage: cyr_buildinfo [-C FILE] [pretty|dense|flat]\n"
                            "  pretty  indented JSON (the default)\n"
                            "  dense   JSON on one line\n"
                            "  flat    one member a line\n"
                            "  --help, --version\n";

static const struct {
    const char *group, *name;
    bool value;
} members[] = {
    { "component", "event_notification", false },
    { "component", "gssapi", false },
    { "component", "autocreate", true },
    { "component", "idled", false },
    { "component", "httpd", false },
    { "component", "kerberos_v4", false },
    { "component", "murder", false },
    { "component", "nntpd", false },
    { "component", "replication", true },
    { "component", "sieve", false },
    { "component", "calalarmd", false },
    { "component", "jmap", false },
    { "component", "objectstore", false },
    { "component", "backup", false },
    { "dependency", "ldap", false },
    { "dependency", "openssl", true },
    { "dependency", "zlib", true },
    { "dependency", "jansson", true },
    { "dependency", "pcre", false },
    { "dependency", "clamav", false },
    { "dependency", "openio", false },
    { "dependency", "nghttp2", false },
    { "dependency", "wslay", false },
    { "dependency", "brotli", false },
    { "dependency", "xml2", false },
    { "dependency", "ical", false },
    { "dependency", "icu4c", true },
    { "dependency", "shapelib", false },
    { "dependency", "chardet", false },
    { "dependency", "cld2", false },
    { "database", "mysql", false },
    { "database", "pgsql", false },
    { "database", "sqlite", false },
    { "search", "squat", false },
    { "search", "xapian", false },
};

static json_t *build(void)
{
    static const char *const groups[] = { "component", "dependency", "database", "search",
                                          "hardware" };
    json_t *root = json_object();

    for (size_t g = 0; g < array_size(groups); g++) {
        json_t *group = json_object();
        for (size_t i = 0; i < array_size(members); i++)
            if (!strcmp(members[i].group, groups[g]))
                json_object_set_new(group, members[i].name, json_boolean(members[i].value));
        json_object_set_new(root, groups[g], group);
    }
    return root;
}

static void print_flat(void)
{
    for (size_t i = 0; i < array_size(members); i++)
        printf("%s.%s=%s\n", members[i].group, members[i].name,
               members[i].value ? "true" : "false");
}

static void usage_error(void) __attribute__((noreturn));
static void usage_error(void)
{
    fputs(usage, stderr);
    exit(EX_USAGE_OLD);
}

int main(int argc, char **argv)
{
    int c;

    cyrus_std_options(argc, argv, usage);
    while ((c = getopt(argc, argv, "C:")) != -1)
        if (c != 'C') usage_error();
    if (optind + 1 < argc) usage_error();

    const char *form = optind < argc ? argv[optind] : "pretty";
    if (!strcmp(form, "flat")) {
        print_flat();
    }
    else if (!strcmp(form, "pretty") || !strcmp(form, "dense")) {
        json_t *root = build();
        size_t flags = *form == 'p' ? JSON_INDENT(2) : JSON_COMPACT;
        if (json_dumpf(root, stdout, flags | JSON_PRESERVE_ORDER)) return EX_IOERR;
        putchar('\n');
        json_decref(root);
    }
    else {
        usage_error();
    }
    return fflush(stdout) ? EX_IOERR : EX_OK;
}
