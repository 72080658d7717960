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
#include "xmalloc.h"
#include "xsyslog.h"

#define MAX_REPLICAS 100
#define MAX_MS 3600000 /* an hour */

static const struct {
    const char *word;
    enum sync_policy_kind kind;
    int nnumbers; /* at most */
} words[] = {
    { "local", SYNC_POLICY_ASYNC, 0 },
    { "async", SYNC_POLICY_ASYNC, 0 },
    { "semi", SYNC_POLICY_SEMI, 2 },
    { "sync", SYNC_POLICY_SYNC, 1 },
};

static bool parse_number(const char *digits, uint32_t most, int *n)
{
    uint32_t number;

    if (parse_u32_cstr(digits, &number) || number < 1 || number > most) return false;
    *n = (int)number;
    return true;
}

/* "(1)", "(1,50)", "(1, 50)" */
static bool parse_numbers(const char *text, int most, struct sync_policy *policy)
{
    size_t len = strlen(text);

    if (len < 3 || text[0] != '(' || text[len - 1] != ')') return false;
    char *n = xstrndup(text + 1, len - 2), *ms = strchr(n, ',');
    if (ms) *ms++ = '\0';
    if (ms && *ms == ' ') ms++;
    bool ok = parse_number(n, MAX_REPLICAS, &policy->n) && (!ms || parse_number(ms, MAX_MS, &policy->ms));
    free(n);
    return ok && most >= (ms ? 2 : 1);
}

bool sync_policy_parse(const char *text, struct sync_policy *policy)
{
    for (size_t i = 0; i < array_size(words); i++) {
        size_t len = strlen(words[i].word);
        *policy = (struct sync_policy){ .kind = words[i].kind };
        if (strncasecmp(text, words[i].word, len)) continue;
        if (!text[len] || parse_numbers(text + len, words[i].nnumbers, policy)) return true;
    }
    return false;
}

void sync_policy_default(struct sync_policy *policy)
{
    const char *text = config_getstring(IMAPOPT_DURABILITY);

    if (sync_policy_parse(text ? text : "semi", policy)) return;
    xsyslog(LOG_ERR, "durability is none of local, async, semi, semi(N), semi(N, MS), sync, sync(N): it is semi", "value=<%s>", text);
    *policy = (struct sync_policy){ .kind = SYNC_POLICY_SEMI };
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
