/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_policy -- how safe a change must be before it is acknowledged, for each user
 *
 * The annotation is replicated with the INBOX, so a user has the same policy after a failover.
 */
#include <config.h>

#include "sync_policy.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "annotate.h"
#include "buf.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "util.h"
#include "xsyslog.h"

#define MAX_REPLICAS 100

static const struct {
    const char *word;
    enum sync_policy_kind kind;
    bool takes_number;
} words[] = {
    { "local", SYNC_POLICY_ASYNC, false },
    { "async", SYNC_POLICY_ASYNC, false },
    { "semi", SYNC_POLICY_SEMI, true },
    { "sync", SYNC_POLICY_SYNC, true },
};

/* "(1)" */
static bool parse_number(const char *text, int *n)
{
    size_t len = strlen(text);
    uint32_t number;

    if (len < 3 || text[0] != '(' || text[len - 1] != ')') return false;
    char *digits = strndup(text + 1, len - 2);
    bool ok = digits && !parse_u32_cstr(digits, &number) && number >= 1 && number <= MAX_REPLICAS;
    free(digits);
    if (ok) *n = (int)number;
    return ok;
}

bool sync_policy_parse(const char *text, struct sync_policy *policy)
{
    for (size_t i = 0; i < array_size(words); i++) {
        size_t len = strlen(words[i].word);
        *policy = (struct sync_policy){ words[i].kind, 0 };
        if (strncasecmp(text, words[i].word, len)) continue;
        if (!text[len] || (words[i].takes_number && parse_number(text + len, &policy->n))) return true;
    }
    return false;
}

void sync_policy_default(struct sync_policy *policy)
{
    const char *text = config_getstring(IMAPOPT_DURABILITY);

    if (sync_policy_parse(text ? text : "semi", policy)) return;
    xsyslog(LOG_ERR, "durability is none of local, async, semi, semi(N), sync, sync(N): it is semi", "value=<%s>", text);
    *policy = (struct sync_policy){ SYNC_POLICY_SEMI, 0 };
}

void sync_policy_of(const char *userid, struct sync_policy *policy)
{
    struct buf value = BUF_INITIALIZER;
    mbentry_t *inbox = NULL;
    char *name = *userid ? mboxname_user_mbox(userid, NULL) : NULL;
    bool own = name && !mboxlist_lookup(name, &inbox, NULL) && !annotatemore_lookup(inbox, SYNC_POLICY_ENTRY, "", NULL, &value) &&
               buf_len(&value) && sync_policy_parse(buf_cstring(&value), policy);

    if (!own) sync_policy_default(policy);
    mbentry_free(&inbox);
    buf_free(&value);
    free(name);
}
