/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_CYR_DBTOOL_H
#define INCLUDED_CYR_DBTOOL_H
/*
 * cyr_dbtool -- what the files of the two database tools share
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct db;

struct dbtool {
    const char *fname, *backend;
    char *owned;                   /* fname, where it was found by user or mailbox */
    const char *userid, *mailbox;  /* whose file it is; NULL: named by its path */
    int kind;                      /* of --decode; -1: records are shown as they are */
    bool force;                    /* a damaged file may be written */
    unsigned bad;                  /* damaged ranges, undecodable records */
    const char *key, *value; /* arguments; NULL: none */
    unsigned flags;          /* CYRUSDB_* of the open */
    bool onetxn;             /* all of it in one transaction, which is open */
    struct db *db;
};

/* The action "batch": commands from stdin; an exit code. */
int dbtool_batch(struct dbtool *tool);
/* Says on stdout that the path must be absolute. */
void dbtool_say_absolute(void);

typedef int dbtool_record_fn(void *tool, const char *key, size_t keylen, const char *data, size_t datalen);

/* ---- cyr_dbtool_damage.c ---- */
/* 1, told on stderr: which file or directory lacks which right. */
int dbtool_check_rights(const struct dbtool *tool, bool changes);
/* Counts what is damaged in tool->bad and tells it on stderr; CYRUSDB_* of cyrusdb_salvage. */
int dbtool_survey(struct dbtool *tool);
/* All records that can be read; the file is not opened as a database. */
int dbtool_salvage(struct dbtool *tool, dbtool_record_fn *fn);
/* Makes the file anew of what can be read; FILE.damaged keeps the old bytes (cyrusdb_remake). Not 0: it is as it was, told. */
int dbtool_rebuild(struct dbtool *tool);

/* ---- cyr_dbtool_decode.c ---- */
/* The kind of that name (NULL: of the file's name), or -1. */
int dbtool_find_kind(const char *name, const char *fname);
/* Replace *out by a line (without LF) for the record; false: the server could not read it. */
bool dbtool_decode(const struct dbtool *tool, const char *key, size_t keylen, const char *val, size_t vallen,
                   struct buf *out);

/* ---- cyr_dbtool_path.c ---- */
/* File and backend of tool->userid or tool->mailbox; an exit code, told. backend NULL: the counters file. */
int dbtool_resolve(struct dbtool *tool, const char *kind);
/* Checks the counters file, and shows it; an exit code. */
int dbtool_counters(const struct dbtool *tool, bool show);

#endif
