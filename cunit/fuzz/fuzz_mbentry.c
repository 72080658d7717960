/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Records of mailboxes.db, and of the other databases with text values: any bytes
 * as each of them. The first byte says which; mailboxes.db records that are taken
 * must be taken again after they were written.
 */
#include <config.h>

#include <stdlib.h>

#include "annotation_codec.h"
#include "buf.h"
#include "conv_codec.h"
#include "counters_codec.h"
#include "mbentry.h"
#include "mboxname.h"
#include "quota_codec.h"
#include "seen_codec.h"
#include "user_codec.h"
#include "fuzz.h"

static struct buf out;

static void name_record(const char *val, size_t len)
{
    mbentry_t *e, *again;

    if (mbentry_parse_n(dbname_of("user\x1f"
                                  "a",
                                  6),
                        val, len, &e))
        return;
    mbentry_print_n(e, e->mtime, &out);
    if (mbentry_parse_n(dbname_of("x", 1), out.s, out.len, &again)) abort();
    mbentry_free(&again);
    mbentry_free(&e);
}

static void id_record(const char *val, size_t len)
{
    mbentry_t *e, *again;

    if (mbentry_parse_i("id", 2, val, len, &e)) return;
    mbentry_print_i(e, e->mtime, &out);
    if (mbentry_parse_i("id", 2, out.s, out.len, &again)) abort();
    mbentry_free(&again);
    mbentry_free(&e);
}

static void old_record(const char *val, size_t len)
{
    mbentry_t *e;

    mbentry_parse_old(syncname_of("user.a", 6), val, len, &e);
    mbentry_free(&e);
}

static void conversation(const char *val, size_t len)
{
    struct conversation *conv;

    if (conv_record_parse(val, len, &conv)) return;
    conv_record_print(conv, &out);
    conversation_free(&conv);
    if (conv_record_parse(out.s, out.len, &conv)) abort();
    conversation_free(&conv);
}

static int ignore(const struct conv_guidrec *g, void *rock)
{
    return 0;
}

static void conversations_rest(const char *val, size_t len)
{
    static const char oldkey[] = "Gb3c0003af2d5b70a9dd59056fc478612c34b35ff";
    static const char key[] = "Gb3c0003af2d5b70a9dd59056fc478612c34b35ff:1:2";
    struct conv_msgid m;
    struct conv_status st;
    struct conv_quota cq;
    struct conv_guidrec g;
    strarray_t list = STRARRAY_INITIALIZER;

    if (!conv_msgid_parse(val, len, &m)) conv_msgid_print(&m, &out);
    conv_msgid_fini(&m);
    conv_status_parse(val, len, &st);
    conv_quota_parse(val, len, &cq);
    conv_folders_parse(val, len, &list);
    conv_counted_flags_parse(val, len, &list);
    strarray_fini(&list);
    conv_guidrec_parse(val, len, val, len, &g);
    conv_guidrec_parse(key, sizeof(key) - 1, val, len, &g);
    conv_guidrec_parse_old(oldkey, sizeof(oldkey) - 1, val, len, ignore, NULL);
}

static void small_records(const char *val, size_t len)
{
    struct seendata sd = SEENDATA_INITIALIZER;
    struct annotation_key key;
    struct annotation_value v;
    struct counters c;
    struct quota q;

    seen_decode(&sd, val, len, NULL);
    seen_freedata(&sd);
    annotation_key_parse(val, len, &key);
    annotation_value_parse(val, len, &v);
    counters_decode(&c, val, len);
    quota_init(&q, "r");
    if (!quota_decode(&q, val, len)) {
        quota_encode(&q, &out);
        if (quota_decode(&q, out.s, out.len)) abort();
    }
    quota_free(&q);
}

static void names(const char *val, size_t len)
{
    struct namespace ns;
    char *text = malloc(len + 1);

    for (size_t i = 0; i < len; i++) text[i] = val[i];
    text[len] = '\0';
    mboxname_init_namespace(&ns, len & 1);
    mbname_t *m = mbname_from_intname(text);
    mbname_extname(m, &ns, "u");
    mbname_free(&m);
    m = mbname_from_extname(extname_of(text), &ns, "u");
    if (m) mbname_intname(m);
    mbname_free(&m);
    m = mbname_from_recip(text, &ns);
    mbname_recip(m, &ns);
    mbname_free(&m);
    mboxname_policycheck(text);
    free(text);
}

static void user(const char *val, size_t len)
{
    struct user_record *rec, *again;

    if (user_record_decode("id", 2, val, len, &rec)) return;
    user_record_encode(rec, &out);
    if (user_record_decode("id", 2, out.s, out.len, &again)) abort();
    user_record_free(&again);
    user_record_free(&rec);
}

void fuzz_mbentry(const uint8_t *data, size_t size)
{
    static void (*const kinds[])(const char *, size_t) = {
        name_record, id_record, old_record, conversation, conversations_rest, small_records, names, user,
    };

    if (!size) return;
    kinds[data[0] % (sizeof(kinds) / sizeof(kinds[0]))]((const char *)data + 1, size - 1);
}
