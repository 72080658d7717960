/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conversations_sums -- the lists in a B record: folders, senders, thread (handbook 01 §5.6)
 *
 * Pure changes of the record in memory; its printer puts the lists into their order.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "charset.h"
#include "conversations_int.h"
#include "rfc822_addr.h"
#include "util.h"
#include "xmalloc.h"

void conv_add(uint32_t *n, int delta)
{
    if (delta < 0 && *n < (uint32_t)-delta)
        *n = 0;
    else
        *n += (uint32_t)delta;
}

struct conv_folder *conv_folder_item(struct conversation *conv, uint32_t number)
{
    for (size_t i = 0; i < conv->nfolders; i++)
        if (conv->folders[i].number == number) return &conv->folders[i];
    conv->folders = xgrow(conv->folders, conv->nfolders, sizeof(*conv->folders));
    struct conv_folder *f = &conv->folders[conv->nfolders++];
    f->number = number;
    return f;
}

/* ---- senders ---- */

static char *dup_text(const struct msgtext *t)
{
    return t->s ? xstrndup(t->s, t->len) : NULL;
}

static bool same_text(const char *have, const struct msgtext *t)
{
    if (!have || !t->s) return !have && !t->s;
    return memcaseeq(have, strlen(have), t->s, t->len);
}

static bool is_encoded(const char *name)
{
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p >= 0x80) return true;
    return false;
}

static bool has_non_ascii(const char *name)
{
    struct buf decoded = BUF_INITIALIZER;

    charset_decode_mimeheader(name, strlen(name), false, &decoded);
    bool yes = is_encoded(buf_cstring(&decoded));
    buf_free(&decoded);
    return yes;
}

/* Of two names the one with letters beyond ASCII, else the longer, else the smaller in byte order. */
static bool is_better_name(const char *name, const char *than)
{
    bool a = has_non_ascii(name), b = has_non_ascii(than);

    if (a != b) return a;
    if (strlen(name) != strlen(than)) return strlen(name) > strlen(than);
    return strcmp(name, than) < 0;
}

/* Keeps the smaller of two spellings; takes over text. */
static void keep_smaller(char **have, char *text)
{
    if (text && (!*have || strcmp(text, *have) < 0)) {
        free(*have);
        *have = text;
    }
    else {
        free(text);
    }
}

static void keep_better_name(char **have, char *name)
{
    if (name && (!*have || is_better_name(name, *have))) {
        free(*have);
        *have = name;
    }
    else {
        free(name);
    }
}

static struct conv_sender *find_sender(struct conversation *conv, const struct rfc822_address *addr)
{
    for (size_t i = 0; i < conv->nsenders; i++) {
        struct conv_sender *s = &conv->senders[i];
        if (same_text(s->domain, &addr->domain) && same_text(s->mailbox, &addr->mailbox)) return s;
    }
    return NULL;
}

static void remove_sender(struct conversation *conv, struct conv_sender *s)
{
    free(s->name);
    free(s->route);
    free(s->mailbox);
    free(s->domain);
    size_t left = conv->nsenders - (size_t)(s - conv->senders) - 1;
    memmove(s, s + 1, left * sizeof(*s));
    conv->nsenders--;
}

void conv_sender_add(struct conversation *conv, const struct rfc822_address *addr, time_t lastseen,
                     int delta)
{
    struct conv_sender *s = find_sender(conv, addr);

    if (!s) {
        if (delta <= 0) return;
        conv->senders = xgrow(conv->senders, conv->nsenders, sizeof(*conv->senders));
        s = &conv->senders[conv->nsenders++];
    }
    keep_better_name(&s->name, dup_text(&addr->name));
    keep_smaller(&s->route, dup_text(&addr->route));
    keep_smaller(&s->mailbox, dup_text(&addr->mailbox));
    keep_smaller(&s->domain, dup_text(&addr->domain));
    conv_add(&s->exists, delta);
    if (lastseen > s->lastseen) s->lastseen = lastseen;
    if (!s->exists) remove_sender(conv, s);
}

/* ---- thread ---- */

void conv_thread_add(struct conversation *conv, const struct message_guid *guid,
                     time_t internaldate, int delta)
{
    size_t i;

    for (i = 0; i < conv->nthread; i++)
        if (message_guid_equal(&conv->thread[i].guid, guid)) break;
    if (i == conv->nthread) {
        if (delta <= 0) return;
        conv->thread = xgrow(conv->thread, conv->nthread, sizeof(*conv->thread));
        conv->thread[conv->nthread++].guid = *guid;
    }
    struct conv_thread *t = &conv->thread[i];
    conv_add(&t->exists, delta);
    t->internaldate = internaldate;
    if (t->exists) return;
    memmove(t, t + 1, (conv->nthread - i - 1) * sizeof(*t));
    conv->nthread--;
}
