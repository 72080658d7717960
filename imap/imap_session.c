/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * imap_session -- the life of one IMAP connection: begin, login, select, logout
 *
 * A session owns its SASL and TLS state, its identity and the view of the selected
 * mailbox. The streams are the caller's. Errors are imap_err codes.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "cyrusdb.h"
#include "imap_context.h"
#include "imap_err.h"
#include "imap_notify.h"
#include "imap_policy.h"
#include "imap_session.h"
#include "index.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "proc.h"
#include "service.h"
#include "sessionid.h"
#include "telemetry.h"
#include "tls.h"
#include "user_home.h"
#include "user_strays.h"
#include "verified.h"
#include "xmalloc.h"
#include "xsyslog.h"

static int new_sasl(struct imap_session *s)
{
    const struct service_client *client = s->client;
    const struct saslserver_args args = {
        .service = "imap",
        .servername = config_servername,
        .localaddr = *client->localaddr ? client->localaddr : NULL,
        .remoteaddr = *client->remoteaddr ? client->remoteaddr : NULL,
        .extssf = s->options->extssf,
        .policy = &s->policy,
    };

    return saslserver_new(&args, &s->sasl);
}

int imap_session_init(struct imap_session *s, const struct imap_options *options,
                      const struct service_client *client, struct protstream *in,
                      struct protstream *out, struct tls_ctx **tls_ctx)
{
    memset(s, 0, sizeof(*s));
    s->options = options;
    s->client = client;
    s->in = in;
    s->out = out;
    s->tls_ctx = tls_ctx;
    s->telemetry_fd = -1;
    s->policy = imap_policy;
    return new_sasl(s);
}

static void forget_identity(struct imap_session *s)
{
    imap_session_end_sync(s);
    imap_notify_set(s, NULL);
    telemetry_stop(s->telemetry_fd, s->in, s->out);
    s->telemetry_fd = -1;
    xzfree(s->userid);
    auth_freestate(&s->auth);
    s->isadmin = s->isproxyadmin = false;
    user_home_set_guard(USER_HOME_UNGUARDED);
    s->list_subscribed = s->ns.dav = false;
    s->condstore = s->qresync = s->uidonly = false;
    s->utf8accept = s->rev2 = false;
    imap_session_set_utf8(s, false);
    imap_session_save(s, NULL);
}

void imap_session_set_utf8(struct imap_session *s, bool on)
{
    struct prot_limits limits = *prot_limits(s->in);

    s->ns.utf8 = limits.utf8 = on;
    prot_setlimits(s->in, &limits);
}

void imap_session_fini(struct imap_session *s)
{
    imap_session_unselect(s);
    forget_identity(s);
    saslserver_free(&s->sasl);
    tls_session_free(&s->tls);
    buf_free(&s->tag);
    buf_free(&s->cmdname);
    buf_free(&s->modname);
}

void imap_session_logout(struct imap_session *s)
{
    imap_session_unselect(s);
    forget_identity(s);
    saslserver_reset(s->sasl);
    imap_session_register(s, NULL);
}

void imap_session_register(struct imap_session *s, const char *cmd)
{
    proc_register(service_name(), s->client->clienthost, s->userid,
                  s->index ? index_mboxname(s->index) : NULL, cmd);
}

void imap_session_unselect(struct imap_session *s)
{
    uint32_t count;

    if (!s->index) return;
    imap_contexts_end(s);
    if (config_getswitch(IMAPOPT_AUTOEXPUNGE) && !index_gone(s->index) &&
        (index_rights(s->index) & ACL_EXPUNGE))
        index_expunge(s->index, NULL, &count);
    index_close(&s->index);
    imap_notify_touch(s);
}

void imap_session_rest(struct imap_session *s)
{
    if (s->index) index_rest(s->index);
    prot_rest(s->in);
    prot_rest(s->out);
    cyrusdb_done();
    verified_rest();
    xmalloc_trim();
}

/* A personal namespace is only shown to those who have an INBOX. */
static void check_inbox(struct imap_session *s)
{
    char *inbox = mboxname_user_mbox(s->userid, NULL);
    mbentry_t *mbentry = NULL;

    struct namespace configured = s->ns;

    configured.utf8 = false;
    int r = mboxlist_lookup(inbox, &mbentry, NULL);
    if (r == IMAP_MAILBOX_NONEXISTENT && !s->isadmin && strcmp(s->userid, "anonymous"))
        r = autocreate_user(s->userid, &configured);
    else if (!r)
        user_mend_files(mbentry);
    /* an entry that can't be read is none that is not there */
    s->ns.accessible[NAMESPACE_INBOX] = r != IMAP_MAILBOX_NONEXISTENT && !s->isadmin;
    mbentry_free(&mbentry);
    free(inbox);
}

void imap_session_check_inbox(struct imap_session *s)
{
    if (!s->ns.accessible[NAMESPACE_INBOX] && !s->isadmin) check_inbox(s);
}

int imap_session_login(struct imap_session *s)
{
    const struct saslserver_identity *id = saslserver_identity(s->sasl);

    s->userid = xstrdup(id->userid);
    s->isadmin = id->is_admin || id->is_proxyadmin;
    s->isproxyadmin = id->is_proxyadmin;
    s->auth = auth_newstate(s->userid);
    int r = mboxname_init_namespace(&s->ns, s->isadmin);
    if (r) {
        forget_identity(s);
        return r;
    }
    user_home_set_guard(s->isadmin ? USER_HOME_UNGUARDED : USER_HOME_CLIENT);
    check_inbox(s);
    s->telemetry_fd = telemetry_log(s->userid, session_id(), s->in, s->out);
    imap_session_register(s, NULL);
    return 0;
}
