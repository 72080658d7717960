/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * store_subs -- does a user's history of subscriptions say what his subscriptions are?
 *
 * Read as they are: sub_history_read() would put right what is to be found here.
 */
#include <config.h>

#include "store.h"

#include <stdlib.h>
#include <string.h>

#include "cyrusdb.h"
#include "sub_codec.h"
#include "sub_entry.h"
#include "user.h"

struct subs {
    const char *userid;
    struct sub_list history;
    size_t undecodable;
};

static int add_entry(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct subs *subs = rock;
    struct sub_entry e = { 0 };

    if (keylen && *key == '\x1f') return 0;
    e.name = sub_key_parse(key, keylen, subs->userid);
    if (!e.name || sub_entry_decode(data, datalen, &e))
        subs->undecodable++;
    else
        sub_list_set(&subs->history, &e);
    free(e.name);
    free(e.uniqueid);
    return 0;
}

void store_check_subs(const char *userid, struct user_meta *meta, struct buf *problems)
{
    struct subs subs = { .userid = userid };
    strarray_t names = STRARRAY_INITIALIZER;
    struct db *db = NULL;
    const char *path = user_meta_path(meta, "subhistory");

    int r = sub_list(userid, &names);
    if (r) buf_printf(problems, "subscriptions of %s can't be read\n", userid);
    if (!r && !cyrusdb_open("twoskip", path, CYRUSDB_NOCOMPACT, &db)) {
        r = cyrusdb_foreach(db, "", 0, add_entry, &subs);
        if (r || subs.undecodable) buf_printf(problems, "history of subscriptions of %s can't be read\n", userid);
    }
    for (int i = 0; i < strarray_size(&names); i++) {
        const struct sub_entry *e = sub_list_find(&subs.history, strarray_nth(&names, i));
        if (!e || !e->on)
            buf_printf(problems, "%s is subscribed to %s, the history does not know\n", userid, strarray_nth(&names, i));
    }
    for (size_t i = 0; i < subs.history.n; i++)
        if (subs.history.v[i].on && !strarray_contains(&names, subs.history.v[i].name))
            buf_printf(problems, "%s is not subscribed to %s, the history says so\n", userid, subs.history.v[i].name);
    cyrusdb_close(db);
    sub_list_fini(&subs.history);
    strarray_fini(&names);
}
