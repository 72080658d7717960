/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * imap_capability -- what this server says it can do (handbook 04 §1.2)
 *
 * Only what works is in the table. suppress_capabilities takes names out of it;
 * the rest depends on the state of the session.
 */
#include <config.h>

#include <inttypes.h>

#include "global.h"
#include "imap_session.h"
#include "libconfig.h"
#include "quota_codec.h"
#include "tls.h"

static const struct {
    const char *name;
    bool greeting; /* also before login */
} capabilities[] = {
    { "IMAP4rev1", true },
    { "LITERAL+", true },
    { "ID", true },
    { "ENABLE", true },
    { "IMAP4rev2", true }, /* RFC 9051 §7.2.2: each list has it; not of 3.6.1 */
    { "ACL", false },
    { "ANNOTATE-EXPERIMENT-1", false },
    { "BINARY", false },
    { "CATENATE", false },
    { "CHILDREN", false },
    { "CONDSTORE", false },
    { "CREATE-SPECIAL-USE", false },
    { "ESEARCH", false },
    { "ESORT", false },
    { "LIST-EXTENDED", false },
    { "LIST-MYRIGHTS", false },
    { "LIST-STATUS", false },
    { "MAILBOX-REFERRALS", false }, /* RLIST and RLSUB; none is ever given */
    { "METADATA", false },
    { "MOVE", false },
    { "MULTIAPPEND", false },
    { "NAMESPACE", false },
    { "OBJECTID", false },
    { "PREVIEW", false },
    { "QRESYNC", false },
    { "QUOTA", false },
    { "RIGHTS=kxten", false },
    { "SAVEDATE", false },
    { "SEARCH=FUZZY", false },
    { "SORT", false },
    { "SORT=DISPLAY", false },
    { "SPECIAL-USE", false },
    { "STATUS=SIZE", false },
    { "THREAD=ORDEREDSUBJECT", false },
    { "THREAD=REFERENCES", false },
    { "UIDPLUS", false },
    { "UNSELECT", false },
    { "URLAUTH", false },
    { "URLAUTH=BINARY", false },
    { "WITHIN", false },
    { "ANNOTATEMORE", false },
    { "DIGEST=SHA1", false },
    { "LIST-METADATA", false },
    { "SCAN", false },
    { "SORT=MODSEQ", false },
    { "SORT=UID", false },
    { "THREAD=REFS", false },
    { "X-CREATEDMODSEQ", false },
    { "X-REPLICATION", false },
    { "X-SIEVE-MAILBOX", false },
    { "XLIST", false },
    { "XMOVE", false },
    /* What 3.6.1 has not. */
    { "CONTEXT=SEARCH", false },
    { "CONTEXT=SORT", false },
    { "INPROGRESS", false },
    { "MULTISEARCH", false },
    { "NOTIFY", false },
    { "PARTIAL", false },
    { "QUOTA=RES-MESSAGE", false },
    { "QUOTA=RES-STORAGE", false },
    { "QUOTASET", false },
    { "REPLACE", false },
    { "SEARCHRES", false },
    { "UIDONLY", false },
    { "UTF8=ACCEPT", false },
};

static void add_static(const struct imap_session *s, bool all, struct buf *out)
{
    const char *sep = "";

    for (size_t i = 0; i < array_size(capabilities); i++) {
        const char *name = capabilities[i].name;
        if (!all && !capabilities[i].greeting) continue;
        if (capa_is_disabled(name)) continue;
        if (!strcmp(name, "X-REPLICATION") && !s->isadmin) continue; /* its commands are not for others */
        if (!strcmp(name, "ANNOTATEMORE") && !config_getswitch(IMAPOPT_ANNOTATION_ENABLE_LEGACY_COMMANDS)) continue;
        if (!strcmp(name, "MAILBOX-REFERRALS") && config_getswitch(IMAPOPT_PROXYD_DISABLE_MAILBOX_REFERRALS)) continue;
        /* With literalminus long literals are refused, so that is what is said (RFC 7888 §5). */
        if (!strcmp(name, "LITERAL+") && config_getswitch(IMAPOPT_LITERALMINUS)) name = "LITERAL-";
        buf_printf(out, "%s%s", sep, name);
        sep = " ";
    }
}

static void add_login(struct imap_session *s, struct buf *out)
{
    if (tls_enabled() && !s->tls && !s->userid && !s->compressed) buf_appendcstr(out, " STARTTLS");
    if (s->userid) return;
    bool required = config_getswitch(IMAPOPT_TLS_REQUIRED) && !s->tls && s->options->extssf < 2;
    if (required || !saslserver_plaintext_ok(s->sasl)) buf_appendcstr(out, " LOGINDISABLED");
    if (!required) saslserver_mechlist(s->sasl, " AUTH=", " AUTH=", " SASL-IR", out);
}

void imap_capabilities(struct imap_session *s, bool all, struct buf *out)
{
    add_static(s, all, out);
    add_login(s, out);
    if (!all) return;
    if (s->isadmin) buf_appendcstr(out, " UNAUTHENTICATE");
    if (!s->compressed) buf_appendcstr(out, " COMPRESS=DEFLATE");
    for (int i = 0; i < QUOTA_NUMRESOURCES; i++) buf_printf(out, " X-QUOTA=%s", quota_names[i]);
    if (s->userid && !capa_is_disabled("X-RAWQUOTA")) buf_appendcstr(out, " X-RAWQUOTA");
    if (s->userid && !capa_is_disabled("X-NAMEHISTORY")) buf_appendcstr(out, " X-NAMEHISTORY");
    if (s->userid && !capa_is_disabled("X-SUBHISTORY")) buf_appendcstr(out, " X-SUBHISTORY");
    if (s->isadmin && !capa_is_disabled("X-RENAMES")) buf_appendcstr(out, " X-RENAMES");
    if (s->userid && !capa_is_disabled("X-USERSTATE")) buf_appendcstr(out, " X-USERSTATE");
    if (s->userid && !capa_is_disabled("X-SIEVEFILES")) buf_appendcstr(out, " X-SIEVEFILES");
    if (s->isadmin && !capa_is_disabled("X-LEASE")) buf_appendcstr(out, " X-LEASE");
    if (s->isadmin && !capa_is_disabled("X-RANGES")) buf_appendcstr(out, " X-RANGES");
    if (s->isadmin && !capa_is_disabled("X-PIPELINE")) buf_appendcstr(out, " X-PIPELINE");
    if (s->isadmin && !capa_is_disabled("X-ROLE")) buf_appendcstr(out, " X-ROLE");
    if (s->isadmin && !capa_is_disabled("X-USAGE")) buf_appendcstr(out, " X-USAGE");
    if (s->isadmin && !capa_is_disabled("X-HOME")) buf_appendcstr(out, " X-HOME");
    if (s->isadmin && !capa_is_disabled("X-FOLDERS")) buf_appendcstr(out, " X-FOLDERS");
    if (s->isadmin && !capa_is_disabled("X-TOGETHER")) buf_appendcstr(out, " X-TOGETHER");
    if (s->isadmin && !capa_is_disabled("X-LEAVE")) buf_appendcstr(out, " X-LEAVE");
    if (s->isadmin && !capa_is_disabled("X-UNMAILBOXES")) buf_appendcstr(out, " X-UNMAILBOXES");
    if (s->options->idle_poll) buf_appendcstr(out, " IDLE");
    buf_printf(out, " APPENDLIMIT=%" PRIu64, imap_appendlimit(s));
}

uint64_t imap_appendlimit(const struct imap_session *s)
{
    return s->options->maxmessagesize ? s->options->maxmessagesize : UINT32_MAX;
}
