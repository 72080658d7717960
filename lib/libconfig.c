/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libconfig -- the values of imapd.conf while a program runs
 *
 * All options have a value from the first question on: that of the file, or the
 * default. An option is asked for with the getter of its type; another one is a
 * mistake in the code and ends the program (70). Strings live until config_reset().
 */
#include <config.h>

#include "libconfig.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "exitcodes.h"
#include "libconfig_private.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

struct config_state config_state;

const char *config_filename;
const char *config_ident;
const char *config_dir;
const char *config_servername = "localhost";
const char *config_defpartition;
const char *config_defdomain = "internal";
const char *config_mupdate_server;

/* -- life -- */

void config_setident(const char *ident)
{
    free((char *)config_ident);
    config_ident = xstrdupnull(ident);
}

static void default_value(enum imapopt opt)
{
    struct config_value *val = &config_state.values[opt];
    struct buf why = BUF_INITIALIZER;

    free(val->text);
    *val = (struct config_value){ .text = NULL };
    if (imapopts[opt].dflt && config_value_set(&imapopts[opt], val, imapopts[opt].dflt, &why))
        fatal(imapopts[opt].name, EX_SOFTWARE); /* the table itself is wrong */
    buf_free(&why);
}

void config_defaults(void)
{
    for (enum imapopt opt = IMAPOPT_ZERO + 1; opt < IMAPOPT_LAST; opt++) default_value(opt);
    config_state.ready = true;
}

void config_reset(void)
{
    for (enum imapopt opt = IMAPOPT_ZERO + 1; opt < IMAPOPT_LAST; opt++)
        xzfree(config_state.values[opt].text);
    free_hash_table(&config_state.overflow, free);
    config_state.ready = config_state.loaded = false;

    free((char *)config_filename);
    config_filename = NULL;
    config_dir = config_defpartition = config_mupdate_server = NULL;
    config_servername = "localhost";
    config_defdomain = "internal";
}

bool config_loaded(void)
{
    return config_state.loaded;
}

/* -- options -- */

static const struct config_value *value_of(enum imapopt opt, unsigned types)
{
    if (opt <= IMAPOPT_ZERO || opt >= IMAPOPT_LAST || !(types & 1u << imapopts[opt].type))
        fatal("option asked for with the getter of another type", EX_SOFTWARE);
    if (!config_state.ready) config_defaults();
    return &config_state.values[opt];
}

const char *config_getstring(enum imapopt opt)
{
    return value_of(opt, ~0u)->text;
}

int config_getint(enum imapopt opt)
{
    return (int)value_of(opt, 1u << IMAPOPT_TYPE_INT)->num;
}

bool config_getswitch(enum imapopt opt)
{
    return value_of(opt, 1u << IMAPOPT_TYPE_SWITCH)->num;
}

int config_getenum(enum imapopt opt)
{
    return (int)value_of(opt, 1u << IMAPOPT_TYPE_ENUM)->num;
}

uint64_t config_getbitfield(enum imapopt opt)
{
    return value_of(opt, 1u << IMAPOPT_TYPE_BITFIELD)->bits;
}

static int clamp_int(int64_t n)
{
    return n > INT_MAX ? INT_MAX : n < INT_MIN ? INT_MIN : (int)n;
}

int config_getduration(enum imapopt opt)
{
    return clamp_int(value_of(opt, 1u << IMAPOPT_TYPE_DURATION)->num);
}

uint64_t config_getbytesize(enum imapopt opt)
{
    return value_of(opt, 1u << IMAPOPT_TYPE_BYTESIZE)->bits;
}

bool config_isset(enum imapopt opt)
{
    return value_of(opt, ~0u)->set;
}

/* -- the overflow table -- */

bool config_skip_ident(const char *key, const char **rest)
{
    if (!config_ident || !*config_ident) return false;

    size_t len = strlen(config_ident);
    if (cyr_strncasecmp(key, config_ident, len) || key[len] != '_') return false;
    *rest = key + len + 1;
    return true;
}

const char *config_overflow_get(const char *key)
{
    char *lower = lcase(xstrdup(key));
    const char *val = hash_lookup(lower, &config_state.overflow);

    free(lower);
    return val;
}

const char *config_getoverflowstring(const char *key, const char *def)
{
    const char *val = NULL;

    if (!hash_numrecords(&config_state.overflow)) return def;
    if (config_ident && *config_ident) {
        char *full = xasprintf("%s_%s", config_ident, key);
        val = config_overflow_get(full);
        free(full);
    }
    if (!val) val = config_overflow_get(key);
    return val ? val : def;
}

struct pair_walk {
    void (*fn)(const char *key, const char *val, void *rock);
    void *rock;
};

static void one_pair(const char *key, void *data, void *rock)
{
    struct pair_walk *walk = rock;

    walk->fn(key, data, walk->rock);
}

void config_foreachoverflowstring(void (*fn)(const char *key, const char *val, void *rock),
                                  void *rock)
{
    struct pair_walk walk = { fn, rock };

    hash_enumerate_sorted(&config_state.overflow, one_pair, &walk);
}

/* -- channels -- */

/* CHANNEL_option as text, or NULL when the channel has none of its own. */
static const char *channel_text(const char *channel, enum imapopt opt)
{
    if (!channel || !*channel) return NULL;

    char *key = xasprintf("%s_%s", channel, imapopts[opt].name);
    const char *val = config_getoverflowstring(key, NULL);
    free(key);
    return val;
}

static void bad_channel_value(const char *channel, enum imapopt opt, const char *text)
{
    syslog(LOG_ERR, "config error: bad value '%s' for %s_%s, using that of %s", text, channel,
           imapopts[opt].name, imapopts[opt].name);
}

const char *config_getchannelstring(const char *channel, enum imapopt opt)
{
    const char *text = channel_text(channel, opt);

    return text ? text : config_getstring(opt);
}

bool config_haschannelvalue(const char *channel, enum imapopt opt)
{
    return channel_text(channel, opt);
}

bool config_getchannelswitch(const char *channel, enum imapopt opt)
{
    const char *text = channel_text(channel, opt);

    if (text) {
        int on = parse_switch(text);
        if (on >= 0) return on;
        bad_channel_value(channel, opt, text);
    }
    return config_getswitch(opt);
}

int config_getchannelduration(const char *channel, enum imapopt opt)
{
    const char *text = channel_text(channel, opt);
    int64_t seconds;

    if (text) {
        if (!config_parseduration(text, imapopts[opt].unit, &seconds)) return clamp_int(seconds);
        bad_channel_value(channel, opt, text);
    }
    return config_getduration(opt);
}

int config_getchannelint(const char *channel, enum imapopt opt)
{
    const char *text = channel_text(channel, opt);
    struct config_value own = { .text = NULL };
    struct buf why = BUF_INITIALIZER;
    int n = config_getint(opt);

    if (text && config_value_set(&imapopts[opt], &own, text, &why))
        bad_channel_value(channel, opt, text);
    else if (text)
        n = (int)own.num;
    free(own.text);
    buf_free(&why);
    return n;
}

/* -- partitions -- */

static const char *partition_key(const char *prefix, const char *partition)
{
    if (!partition || !*partition) return NULL;

    char *key = xasprintf("%s%s", prefix, partition);
    const char *dir = config_getoverflowstring(key, NULL);
    free(key);
    return dir;
}

const char *config_partitiondir(const char *partition)
{
    return partition_key("partition-", partition);
}

const char *config_metapartitiondir(const char *partition)
{
    return partition_key("metapartition-", partition);
}

const char *config_archivepartitiondir(const char *partition)
{
    return partition_key("archivepartition-", partition);
}

const char *config_backuppartitiondir(const char *partition)
{
    return partition_key("backuppartition-", partition);
}

const char *config_metadir(const char *kind, const char *partition)
{
    char *prefix = xasprintf("metadir-%s-", kind);
    const char *dir = partition_key(prefix, partition);

    free(prefix);
    return dir;
}

static void one_partition(const char *key, const char *val, void *rock)
{
    static const char prefix[] = "partition-";
    struct pair_walk *walk = rock;
    const char *rest;

    if (strstarts(key, prefix)) {
        const char *name = key + sizeof(prefix) - 1;
        if (*name) walk->fn(name, config_partitiondir(name), walk->rock);
    }
    else if (config_skip_ident(key, &rest) && strstarts(rest, prefix) &&
             !config_overflow_get(rest)) {
        walk->fn(rest + sizeof(prefix) - 1, val, walk->rock);
    }
}

void config_foreachpartition(void (*fn)(const char *partition, const char *dir, void *rock),
                             void *rock)
{
    struct pair_walk walk = { fn, rock };

    config_foreachoverflowstring(one_partition, &walk);
}
