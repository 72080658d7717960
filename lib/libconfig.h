/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libconfig -- imapd.conf (handbook 05 §2)
 *
 * A program reads the file once, at its start; after that the values never change,
 * and every string given out here lives until config_reset(). A value is asked
 * for by its number (IMAPOPT_*, imapopts.h) with the getter of its type; asking
 * with another getter ends the program, as it is a mistake in the code. Keys that are
 * no options ("partition-default", "sasl_mech_list", ...) are in the overflow table.
 *
 * IDENT, the name of the service or tool, decides which `IDENT_option: value`
 * lines count for this program.
 */
#ifndef INCLUDED_LIBCONFIG_H
#define INCLUDED_LIBCONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imapopts.h"

struct buf;

/* -- reading -- */
#define CONFIG_NEED_PARTITION_DATA 1u /* partition-NAME must be set (not on a murder frontend) */

/* Service or tool name; copied. Before config_read; NULL: none. */
void config_setident(const char *ident);
/*
 * Reads the file (NULL: SYSCONFDIR/imapd.conf), with $CYRUS_PREFIX in front if such a file is
 * there. An error is fatal(): 78 with the text of config_load().
 */
void config_read(const char *path, unsigned flags);
/*
 * The same, but an error is returned: a sysexits code (EX_CONFIG, for a file that can't be
 * read EX_CONFIG as well) with the text in err; the configuration is empty then. 0: read.
 */
int config_load(const char *path, unsigned flags, struct buf *err);
/* The same from memory, for tests: `name` stands for the file name in messages. */
int config_load_string(const char *text, size_t len, unsigned flags, struct buf *err);
/*
 * For tests: takes over options given as text ("conversations: yes\nadmins: boss\n") after
 * forgetting all earlier ones. configdirectory may be missing. An error is fatal().
 */
void config_read_string(const char *text);
/* Forgets everything read: all options have their defaults. */
void config_reset(void);
/* True once a configuration has been read. */
bool config_loaded(void);

/* -- values -- */
/*
 * string and stringlist (the word), and the text of any other type as it was written or
 * as is its default; NULL when unset.
 */
const char *config_getstring(enum imapopt opt);
int config_getint(enum imapopt opt);
bool config_getswitch(enum imapopt opt);
/* IMAP_ENUM_OPTION_VALUE. */
int config_getenum(enum imapopt opt);
/* Bits IMAP_ENUM_OPTION_VALUE. */
uint64_t config_getbitfield(enum imapopt opt);
/* Seconds, possibly negative; 0 when unset. Beyond int: its limit. */
int config_getduration(enum imapopt opt);
/* Bytes; 0 when unset. */
uint64_t config_getbytesize(enum imapopt opt);
/* True when the file (or a deprecated name of the option in it) sets it. */
bool config_isset(enum imapopt opt);

/* -- keys that are no options -- */
/* IDENT_key, else key, else def. The key is compared in lower case. */
const char *config_getoverflowstring(const char *key, const char *def);
/* Calls fn for every overflow pair, in byte order of the keys. */
void config_foreachoverflowstring(void (*fn)(const char *key, const char *val, void *rock),
                                  void *rock);

/*
 * Value of a replication option for a channel: CHANNEL_option if set, else the option
 * (handbook 05 §2.2). channel NULL or "": the option.
 */
const char *config_getchannelstring(const char *channel, enum imapopt opt);
/* The channel has a value of its own. */
bool config_haschannelvalue(const char *channel, enum imapopt opt);
bool config_getchannelswitch(const char *channel, enum imapopt opt);
int config_getchannelduration(const char *channel, enum imapopt opt);
int config_getchannelint(const char *channel, enum imapopt opt);

/* -- directories of a partition; NULL: none -- */
const char *config_partitiondir(const char *partition);
const char *config_metapartitiondir(const char *partition);
const char *config_archivepartitiondir(const char *partition);
const char *config_backuppartitiondir(const char *partition);
/*
 * metadir-KIND-NAME, KIND one of header index cache squat dav archivecache; NULL: none of its own.
 */
const char *config_metadir(const char *kind, const char *partition);
/* Calls fn for every partition-NAME, in byte order of the names. */
void config_foreachpartition(void (*fn)(const char *partition, const char *dir, void *rock),
                             void *rock);

/* -- parsing of the value types, also for arguments of tools (cyr_expire -X 3d12h) -- */
/* Seconds of "[-]1d2h3m4s5", a last bare number in `unit` (d h m s). 0 or -EINVAL, -ERANGE. */
int config_parseduration(const char *text, char unit, int64_t *seconds);
/* Bytes of "64K" (also KB, KiB; b k m g, 1024 each), a bare number in `unit`. 0 or -EINVAL, -ERANGE. */
int config_parsebytesize(const char *text, char unit, uint64_t *bytes);

/* -- what nearly everybody needs; as long as the configuration lives -- */
extern const char *config_filename;       /* of the main file; NULL before it is read */
extern const char *config_ident;          /* NULL: none */
extern const char *config_dir;            /* configdirectory */
extern const char *config_servername;     /* servername, else the host's name; never NULL */
extern const char *config_defpartition;   /* lower case; NULL: choose */
extern const char *config_defdomain;      /* never NULL */
extern const char *config_mupdate_server; /* NULL: not a murder member */

#endif
