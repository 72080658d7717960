/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_user_status -- how far behind a replica is with one user (sync_client --status --user)
 *
 * In seconds: the age of the oldest event of his that the channel is not done with, of which the journal has the time. In modseqs: what a
 * comparison has proven now (--ask), or what the table of acknowledgements says (sync_acked.h, which may be lost: then it is not known until somebody
 * asks). No number of this server alone says that the replica has more.
 */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "sync_acked.h"
#include "sync_client_compare.h"
#include "sync_client_lag.h"
#include "sync_client_roll.h"
#include "util.h"

struct look {
    const char *channel, *userid, *server, *transport;
    modseq_t modseq;   /* of the user, from before the replica was asked; 0: each mailbox counts for itself */
    time_t oldest;     /* change that is not there; 0: none is known */
    uint64_t items;    /* that the channel is not done with */
    bool lost;         /* events were lost: nothing follows from their absence */
    bool proven;       /* the replica was asked */
    bool other;        /* a server that was named, not the channel's */
    time_t equal;      /* when he was last found equal, 0: never */
    struct sync_acked acked; /* modseq 0: nothing is known */
    bool mute;               /* nor will be, without asking */
    struct sync_lag lag;
    strarray_t differences;
    const char *error; /* why there are no numbers, or the replica could not be asked */
};

/* ---- what this server knows ---- */

/* Also one who was deleted: the replica may not know it yet. */
static int find_user(struct look *look)
{
    char *inbox = mboxname_user_mbox(look->userid, NULL);
    mbentry_t *mbentry = NULL;
    int r = inbox ? mboxlist_lookup_allow_all(inbox, &mbentry, NULL) : IMAP_MAILBOX_NONEXISTENT;

    if (r) look->error = error_message(r);
    look->modseq = sync_lag_user_modseq(look->userid);
    mbentry_free(&mbentry);
    free(inbox);
    return r;
}

static void older(struct look *look, time_t t)
{
    if (t && (!look->oldest || t < look->oldest)) look->oldest = t;
}

/* What has failed is older than the file that it stands in. */
static void add_failing(struct look *look)
{
    json_t *status = sync_status_read(look->channel);
    const json_t *item;
    size_t i;

    json_array_foreach(json_object_get(status, "failing"), i, item) {
        const char *line = json_string_value(json_object_get(item, "item"));
        if (line && sync_actions_concern(line, look->userid))
            older(look, (time_t)json_integer_value(json_object_get(item, "since")));
    }
    json_decref(status);
}

static int look_here(struct look *look)
{
    struct sync_backlog backlog;
    int r = sync_source_backlog(look->channel, look->userid, &backlog);

    look->items = backlog.events + backlog.lines;
    look->lost = backlog.unreadable;
    older(look, backlog.oldest);
    if (backlog.lines) add_failing(look);
    look->equal = sync_compare_equal(look->channel, look->userid);
    (void)sync_acked_read(look->channel, look->userid, &look->acked);
    look->mute = sync_acked_is_mute(look->channel);
    return r;
}

/* ---- what the replica says ---- */

static int compare(struct look *look)
{
    struct sync_acked now;

    struct sync_client sc = { .servername = look->server, .transport = look->transport, .channel = look->channel, .connect_once = true, .reads_only = true,
                              .lag = &look->lag, .held = &look->differences, .acks = !look->other };

    sync_acked_now(look->userid, &now);
    int r = sync_client_connect(&sc);

    now.instance = sc.instance;
    if (!r) r = sync_verify_user(&sc, look->userid);
    bool equal = !r && !strarray_size(&look->differences);
    if (equal && !look->other) r = sync_acked_whole(look->channel, look->userid, &now);
    if (equal) look->acked = now;
    sync_client_fini(&sc);
    return r;
}

/* An error is one of the comparison: what is known without it is told all the same. */
static int ask(struct look *look)
{
    time_t began = time(NULL);
    int r = look->server ? compare(look) : IMAP_SERVER_UNAVAILABLE;

    if (r) {
        look->error = look->server ? error_message(r) : "sync_host not defined";
        return r;
    }
    look->proven = true;
    if (strarray_size(&look->differences)) {
        if (!look->items) older(look, look->lag.since);
        return 0;
    }
    look->oldest = 0; /* what the channel is not done with is there already */
    look->equal = began;
    return look->other ? 0 : sync_compare_was_equal(look->channel, look->userid, began);
}

/* ---- the numbers ---- */

/* Of a user whose mailboxes share one count: the lowest that is lacking; 0: nothing is. */
static modseq_t first_lacking(const struct sync_lag *lag)
{
    modseq_t first = 0;

    for (int i = 0; i < ptrarray_size(&lag->mailboxes); i++) {
        const struct sync_lag_mailbox *m = ptrarray_nth(&lag->mailboxes, i);
        if (m->first && (!first || m->first < first)) first = m->first;
    }
    return first;
}

static modseq_t widest(const struct sync_lag *lag)
{
    modseq_t most = 0;

    for (int i = 0; i < ptrarray_size(&lag->mailboxes); i++) {
        const struct sync_lag_mailbox *m = ptrarray_nth(&lag->mailboxes, i);
        if (m->first) most = cyr_max(most, m->modseq - m->first + 1);
    }
    return most;
}

/* False: not known. acknowledged: 0 where there is no such number. */
static bool modseqs_behind(const struct look *look, modseq_t *behind, modseq_t *acknowledged)
{
    modseq_t first = first_lacking(&look->lag);
    bool done = !look->items && !look->lost; /* as far as events tell: of a replica without rows that follow nothing else is known */

    *behind = *acknowledged = 0;
    if (!look->modseq) {
        if (look->proven) *behind = widest(&look->lag);
        return look->proven || done;
    }
    if (look->proven)
        *acknowledged = first && first <= look->modseq ? first - 1 : look->modseq;
    else if (done && look->mute)
        *acknowledged = look->modseq;
    else if (look->acked.modseq <= look->modseq)
        *acknowledged = look->acked.modseq;
    *behind = look->modseq - *acknowledged;
    return look->proven || *acknowledged;
}

/* ---- telling ---- */

static json_t *lagging_mailboxes(const struct sync_lag *lag)
{
    json_t *list = json_array();

    for (int i = 0; i < ptrarray_size(&lag->mailboxes); i++) {
        const struct sync_lag_mailbox *m = ptrarray_nth(&lag->mailboxes, i);
        if (!m->first) continue;
        json_array_append_new(list, json_pack("{s:o, s:I, s:I}", "mailbox", sync_status_text(m->name), "modseq",
                                              (json_int_t)m->modseq, "acknowledged_modseq", (json_int_t)(m->first - 1)));
    }
    return list;
}

static json_t *to_json(const struct look *look)
{
    time_t now = time(NULL);
    modseq_t behind, acknowledged;
    bool known = modseqs_behind(look, &behind, &acknowledged);
    json_t *json = json_pack("{s:s, s:s, s:o, s:I, s:b, s:I, s:I}", "channel", look->channel, "server",
                             look->server ? look->server : "", "user", sync_status_text(look->userid), "items_behind",
                             (json_int_t)look->items, "events_lost", look->lost, "seconds_behind",
                             (json_int_t)(look->oldest && look->oldest < now ? now - look->oldest : 0), "equal", (json_int_t)look->equal);

    json_object_set_new(json, "modseqs_behind", known ? json_integer((json_int_t)behind) : json_null());
    json_object_set_new(json, "modseq", look->modseq ? json_integer((json_int_t)look->modseq) : json_null());
    json_object_set_new(json, "acknowledged_modseq", acknowledged ? json_integer((json_int_t)acknowledged) : json_null());
    json_object_set_new(json, "acknowledged", json_integer(look->proven ? now : (json_int_t)look->acked.when));
    json_object_set_new(json, "proven", json_boolean(look->proven));
    if (look->error) json_object_set_new(json, "error", sync_status_text(look->error));
    if (!look->proven) return json;
    json_object_set_new(json, "mailboxes", lagging_mailboxes(&look->lag));
    json_t *differences = json_array();
    for (int i = 0; i < strarray_size(&look->differences); i++)
        json_array_append_new(differences, sync_status_text(strarray_nth(&look->differences, i)));
    json_object_set_new(json, "differences", differences);
    return json;
}

json_t *sync_status_user(const struct sync_status *what, const char *channel, const char *userid, int *rp)
{
    struct sync_client replica = { .servername = what->server, .channel = channel };
    (void)sync_client_find_server(&replica);
    struct look look = { .channel = channel, .userid = userid, .server = replica.servername, .transport = replica.transport, .other = what->server, .lag = SYNC_LAG_INITIALIZER,
                         .differences = STRARRAY_INITIALIZER };

    int r = find_user(&look);
    if (!r) r = look_here(&look);
    if (!r && what->ask) r = ask(&look);
    if (r) *rp = r;
    json_t *json = to_json(&look);
    sync_lag_fini(&look.lag);
    strarray_fini(&look.differences);
    return json;
}

/* ---- for people ---- */

static json_int_t number(const json_t *json, const char *key)
{
    return json_integer_value(json_object_get(json, key));
}

static const char *string(const json_t *json, const char *key)
{
    return json_string_value(json_object_get(json, key));
}

static void print_modseqs(const json_t *json)
{
    const json_t *behind = json_object_get(json, "modseqs_behind");
    bool exact = json_is_true(json_object_get(json, "proven")) || !json_integer_value(behind);

    if (json_is_integer(behind))
        printf("%s%" JSON_INTEGER_FORMAT " modseqs", exact ? "" : "at most ", json_integer_value(behind));
    else
        fputs("modseqs not known (--ask)", stdout);
}

void sync_status_user_print(const json_t *json)
{
    const char *channel = string(json, "channel"), *error = string(json, "error");
    const json_t *item;
    char text[32];
    size_t i;

    printf("%s on channel %s (%s): ", string(json, "user"), *channel ? channel : "\"\"", string(json, "server"));
    print_modseqs(json);
    printf(", %" JSON_INTEGER_FORMAT " seconds behind, %" JSON_INTEGER_FORMAT " events\n", number(json, "seconds_behind"),
           number(json, "items_behind"));
    printf("  last found equal: %s\n", verified_time_text((time_t)number(json, "equal"), text));
    if (json_is_true(json_object_get(json, "events_lost"))) puts("  events are lost: everything will be looked at");
    if (error) printf("  error: %s\n", error);
    json_array_foreach(json_object_get(json, "mailboxes"), i, item)
        printf("  %s: %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT "\n", string(item, "mailbox"),
               number(item, "acknowledged_modseq"), number(item, "modseq"));
    json_array_foreach(json_object_get(json, "differences"), i, item) printf("  differs: %s\n", json_string_value(item));
}
