/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * STORE, UID STORE (RFC 3501 §6.4.6, RFC 7162 §3.1.3, RFC 5257, handbook 04 §3.13)
 *
 * One command is one transaction. What changed is told like any other change; with
 * .SILENT only MODSEQ, and only to clients that want it.
 */
#include <config.h>

#include <stdlib.h>

#include "annotate.h"
#include "imap_err.h"
#include "imapcmd.h"
#include "index.h"

struct store_args {
    struct index_store store;
    strarray_t user_flags;
    bool silent;
};

static bool parse_unchangedsince(struct imap_session *s, struct store_args *args)
{
    struct buf word = BUF_INITIALIZER;
    bool ok = false;

    prot_getc(s->in); /* '(' */
    do {
        s->c = getword(s->in, &word);
        buf_ucase(&word);
        if (buf_cmpcstr(&word, "UNCHANGEDSINCE")) {
            imap_bad(s, "Invalid %s modifier %s", buf_cstring(&s->modname), buf_cstring(&word));
            goto done;
        }
        if (s->c == ' ')
            s->c = getmodseq(s->in, &args->store.unchangedsince);
        else
            s->c = IMPARSE_BAD;
        if (s->c < 0) {
            imap_bad(s, "Invalid argument to %s UNCHANGEDSINCE", buf_cstring(&s->modname));
            goto done;
        }
        args->store.has_unchangedsince = true;
    } while (s->c == ' ');
    ok = imap_arg_close(s, &s->modname);
done:
    buf_free(&word);
    return ok;
}

static bool parse_attribute(struct imap_session *s, struct store_args *args)
{
    static const struct {
        const char *name;
        enum index_store_op op;
        bool silent;
    } attributes[] = {
        { "FLAGS", INDEX_STORE_REPLACE, false },
        { "FLAGS.SILENT", INDEX_STORE_REPLACE, true },
        { "+FLAGS", INDEX_STORE_ADD, false },
        { "+FLAGS.SILENT", INDEX_STORE_ADD, true },
        { "-FLAGS", INDEX_STORE_REMOVE, false },
        { "-FLAGS.SILENT", INDEX_STORE_REMOVE, true },
        { "ANNOTATION", INDEX_STORE_ANNOTATE, false },
    };
    struct buf word = BUF_INITIALIZER;
    bool ok = false;

    if (!imap_arg_word(s, &word)) goto done;
    buf_ucase(&word);
    for (size_t i = 0; i < array_size(attributes) && !ok; i++) {
        if (buf_cmpcstr(&word, attributes[i].name)) continue;
        args->store.op = attributes[i].op;
        args->silent = attributes[i].silent;
        ok = true;
    }
    if (!ok) imap_bad(s, "Invalid Store attribute");
done:
    buf_free(&word);
    return ok;
}

bool imap_parse_flag(struct imap_session *s, const char *flag, const char *where,
                     uint32_t *system_flags, strarray_t *user_flags)
{
    if (*flag == '\\') {
        uint32_t bit = index_system_flag_bit(flag);
        if (!bit) {
            imap_bad(s, "Invalid system flag in %s command", where);
            return false;
        }
        *system_flags |= bit;
        return true;
    }
    if (!imparse_isatom(flag)) {
        imap_bad(s, "Invalid flag name %s in %s command", flag, where);
        return false;
    }
    strarray_add_case(user_flags, flag);
    return true;
}

static bool parse_flags(struct imap_session *s, struct store_args *args)
{
    struct buf flag = BUF_INITIALIZER;
    bool list = false, ok = false;

    if (!imap_arg_more(s)) return false;
    s->c = prot_getc(s->in);
    if (s->c == '(')
        list = true;
    else if (s->c >= 0)
        prot_ungetc(s->c, s->in);
    do {
        s->c = getword(s->in, &flag);
        if (s->c >= 0 && !buf_len(&flag) && list && s->c == ')') break; /* "()" */
        if (s->c < 0 || !buf_len(&flag)) {
            imap_bad(s, "Missing required argument to %s", buf_cstring(&s->cmdname));
            goto done;
        }
        if (!imap_parse_flag(s, buf_cstring(&flag), "Store", &args->store.system_flags,
                             &args->user_flags))
            goto done;
    } while (s->c == ' ');
    ok = !list || imap_arg_close(s, &s->cmdname);
done:
    buf_free(&flag);
    return ok;
}

static int run_store(struct imap_session *s, struct store_args *args, const char *set,
                     struct seqset **modified)
{
    struct seqset *msgnos = imap_sequence_msgnos(s, set), *changed = NULL;
    struct imap_known known = { 0 };
    modseq_t modseq = 0;

    args->store.user_flags = &args->user_flags;
    args->store.ignorequota = s->options->ignorequota;
    int r = index_store(s->index, msgnos, &args->store, modified, &changed, &modseq);
    seqset_free(msgnos);
    known.uids = changed;
    known.modseq = modseq;
    if (!r || !seqset_isempty(changed)) imap_report(s, s->usinguid, args->silent ? &known : NULL);
    seqset_free(changed);
    return r;
}

static void answer(struct imap_session *s, int r, struct seqset *modified)
{
    if (s->closing) return;
    if (r || !modified || seqset_isempty(modified)) {
        imap_result(s, r);
        return;
    }
    struct seqset *shown = s->usinguid ? seqset_dup(modified) : index_msgnos_of(s->index, modified);
    char *text = seqset_cstring(shown);
    imap_ok(s, "[MODIFIED %s] Completed", text ? text : "");
    free(text);
    seqset_free(shown);
}

void cmd_store(struct imap_session *s)
{
    struct store_args args = { 0 };
    struct buf set = BUF_INITIALIZER;
    struct seqset *modified = NULL;

    if (!imap_arg_sequence(s, &set)) goto done;
    if (!imap_arg_more(s)) goto done;
    if (imap_arg_peek(s) == '(') {
        if (!parse_unchangedsince(s, &args)) goto done;
    }
    else if (prot_error(s->in))
        goto done;
    if (!parse_attribute(s, &args)) goto done;
    if (args.store.op == INDEX_STORE_ANNOTATE) {
        if (!imap_parse_annotations(s, &args.store.annotations)) goto done;
    }
    else if (!parse_flags(s, &args))
        goto done;
    if (!imap_arg_end(s)) goto done;

    imap_report(s, s->usinguid, NULL);
    if (s->closing) goto done;
    if (args.store.has_unchangedsince) imap_enable_condstore(s, "UNCHANGEDSINCE");
    int r = run_store(s, &args, buf_cstring(&set), &modified);
    answer(s, r, modified);
done:
    seqset_free(modified);
    entryattlist_free(&args.store.annotations);
    strarray_fini(&args.user_flags);
    buf_free(&set);
}
