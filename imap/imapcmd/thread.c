/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * THREAD, UID THREAD (RFC 5256; handbook 04 §3.15)
 */
#include <config.h>

#include "imap_err.h"
#include "imapcmd.h"
#include "index_search.h"
#include "search_args.h"
#include "thread.h"

struct collector {
    struct threader *threader;
    size_t n;
};

static void found(const struct index_record *rec, const struct index_message *msg, void *rock)
{
    struct collector *c = rock;

    c->n++;
    threader_add(c->threader, rec, msg);
}

static bool parse(struct imap_session *s, struct search_keys *keys,
                  enum thread_algorithm *algorithm)
{
    struct buf word = BUF_INITIALIZER;
    bool ok = imap_arg_word(s, &word);

    if (ok) {
        *algorithm = thread_algorithm_lookup(buf_cstring(&word));
        ok = *algorithm != THREAD_UNKNOWN;
        if (!ok) imap_bad(s, "Invalid Thread algorithm %s", buf_cstring(&word));
    }
    buf_free(&word);
    return ok && search_keys_charset(s, keys) &&
           search_keys_parse(s, keys, buf_cstring(&keys->charset));
}

static int run(struct imap_session *s, struct search_keys *keys, enum thread_algorithm algorithm,
               size_t *np, struct seqset *unread)
{
    struct search_source source;
    struct collector c = { 0 };
    struct buf text = BUF_INITIALIZER;

    int r = index_search_source(s->index, search_uses_conversations(keys->expr), &source);
    source.saved = s->saved;
    source.utf8 = s->ns.utf8;
    source.progress = imap_progress;
    source.progress_rock = s;
    source.unread = unread;
    c.threader = threader_new(algorithm, &source);
    if (!r) r = index_search(s->index, keys->expr, &source, found, &c);
    if (!r) r = index_search_settle(s->index, &source);
    index_search_end(s->index);
    if (!r) {
        threader_write(c.threader, s->usinguid, &text);
        prot_printf(s->out, "* THREAD%s", buf_len(&text) ? " " : "");
        prot_putbuf(s->out, &text);
        prot_puts(s->out, "\r\n");
    }
    *np = c.n;
    buf_free(&text);
    threader_free(&c.threader);
    return r;
}

void cmd_thread(struct imap_session *s)
{
    struct search_keys keys;
    enum thread_algorithm algorithm;
    size_t n = 0;
    struct seqset *unread = seqset_init(0, SEQ_SPARSE);

    search_keys_init(s, &keys);
    if (parse(s, &keys, &algorithm)) {
        imap_report(s, s->usinguid, NULL);
        s->reported = false;
        int r = s->closing || index_gone(s->index) ? 0 : run(s, &keys, algorithm, &n, unread);
        if (!s->closing) search_answer(s, r, n, unread);
    }
    seqset_free(unread);
    search_keys_fini(&keys);
}
