/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_CLIENT_ROLL_H
#define INCLUDED_SYNC_CLIENT_ROLL_H
/*
 * sync_client_roll -- replication that follows the events (handbook 03 §13, doc/rolling.md)
 *
 * The rooms: _source reads the journal and the text logs of a channel, _unit does what is to be done for one
 * user, _retry keeps what has failed, _status is what the operator sees; sync_client_roll itself is the loop.
 *
 * An event is done with when the replica has what it speaks of, or when it stands in the channel's log-retry.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "buf.h"
#include "hash.h"
#include "strarray.h"
#include "sync_actions.h"
#include "sync_client.h"
#include "sync_client_channel.h"

/* ---- _source: where events come from ---- */
struct sync_source;
/* file: only this text log, once; NULL: the journal and the text logs of the channel. */
int sync_source_open(const char *channel, const char *file, struct sync_source **sourcep);
void sync_source_close(struct sync_source **sourcep);
/* Adds what is there; much of it comes in several turns, but a transaction always as a whole. 0, or an imap_err code. */
int sync_source_read(struct sync_source *source, struct sync_actions *actions);
/* All that was read is done with. */
int sync_source_commit(struct sync_source *source);
/* And the replica has all of it: who waits for that is told, if the channel is synchronous (sync_wait.h). */
void sync_source_acknowledge(struct sync_source *source);
bool sync_source_is_synchronous(const struct sync_source *source);
/*
 * The place in the journal up to which all is done with; 0: it is not known, since there is a text log, which may hold what was put away for
 * this reader while it read, or no reader.
 */
uint64_t sync_source_place(struct sync_source *source);
/* What the last read has left out, since it came from another server and is not for this channel. */
const struct sync_actions *sync_source_foreign(const struct sync_source *source);
/* Returns when there may be something new, or after that time. */
void sync_source_wait(struct sync_source *source, int ms);

/* What is left to read, for the status; nothing is changed. */
struct sync_backlog {
    uint64_t events;  /* of the journal */
    uint64_t bytes;   /* of the journal */
    uint64_t lines;   /* of text logs */
    time_t oldest;    /* 0: nothing is left */
    bool unreadable;  /* events were lost: everything is to be looked at */
};
/* userid: only what is to be done for that user; NULL: all. */
int sync_source_backlog(const char *channel, const char *userid, struct sync_backlog *backlog);

/* ---- _retry: what has failed ---- */
struct sync_retry_entry {
    char *line, *owner, *reason;
    unsigned fails;
    time_t since;
    uint64_t due; /* of monotonic_ms() */
};
struct sync_retry {
    const char *channel;
    hash_table entries; /* by line */
    bool changed;       /* since it was saved */
};
/* Reads what an earlier run left, due at once. */
int sync_retry_open(struct sync_retry *retry, const char *channel);
/* Makes it durable, if it has changed. */
int sync_retry_save(struct sync_retry *retry);
/* What is left goes to the text log, where every reader finds it, and nothing is kept apart. */
int sync_retry_give_back(struct sync_retry *retry);
void sync_retry_fini(struct sync_retry *retry);
/* Adds the lines that are due. */
void sync_retry_take_due(struct sync_retry *retry, struct sync_actions *actions);
bool sync_retry_has(const struct sync_retry *retry, const char *line);
/* Is there anything of that user's? */
bool sync_retry_concerns(const struct sync_retry *retry, const char *userid);
/* What was done for an owner: lines that were due are settled, or have failed again; fresh ones are added. */
struct sync_failure {
    char *line, *reason;
    bool passing; /* somebody else is at it: soon again */
};
void sync_retry_settle(struct sync_retry *retry, const char *owner, const ptrarray_t *failures);
/* Milliseconds until the next is due, at most `most`. */
int sync_retry_wait_ms(const struct sync_retry *retry, int most);

/* ---- _unit: what is to be done for one owner ---- */
/*
 * 0: done, what failed is appended to failures (struct sync_failure). Else the connection broke, and nothing is known.
 * promote: a mailbox that fails makes the whole user be looked at.
 */
int sync_unit_run(struct sync_client *sc, const struct sync_unit *unit, bool promote, ptrarray_t *failures);
/* There is nothing to be done but for mailboxes that have changed. */
bool sync_unit_is_plain(const struct sync_unit *unit);
/* As if all of it had failed. */
void sync_unit_give_up(const struct sync_unit *unit, const char *reason, ptrarray_t *failures);
void sync_failure_add(ptrarray_t *failures, const char *line, const char *reason, bool passing);
void sync_failures_fini(ptrarray_t *failures);

/* ---- _status ---- */
struct sync_roll_status {
    const char *channel, *server;
    const char *state; /* "connecting", "idle", "working" */
    time_t since;      /* of the state */
    time_t last_success, last_error_time;
    struct buf last_error;
};
void sync_status_write(const struct sync_roll_status *status, const struct sync_retry *retry);
struct sync_status {
    const char *channel, *server; /* NULL: all there are, each with its own server */
    strarray_t users;             /* how far behind each of these is; none: the channel */
    bool ask;                     /* the replicas are asked */
    bool json;
};
/* Prints it: exit code of the program. */
int sync_status_print(const struct sync_status *what);
/* Names may be any bytes, JSON may not. */
json_t *sync_status_text(const char *s);
/* "log-status" of the channel, or an empty object. */
json_t *sync_status_read(const char *channel);
/* How far behind the replica of the channel is with that user; an error goes to *rp. For people: print it. */
json_t *sync_status_user(const struct sync_status *what, const char *channel, const char *userid, int *rp);
void sync_status_user_print(const json_t *json);

/* ---- the loop ---- */
struct sync_roll {
    struct sync_client *sc;
    const char *file;          /* -f: this text log, once */
    bool once;                 /* -1 */
    int interval;              /* -d: seconds between two runs; -1: sync_repeat_interval */
    int lifetime;              /* -t: seconds of a connection */
    int jobs;                  /* -j: workers; up to 1: none */
    const char *shutdown_file; /* -F; NULL: sync_shutdown_file */
};
/* Runs until a signal or the shutdown file ends it: exit code. */
int sync_client_roll(struct sync_roll *roll);

#endif
