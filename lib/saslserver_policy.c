/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * saslserver_policy -- who a name is, and who may act as whom (handbook 05 §6.4, §6.5)
 *
 * The order of the questions is fixed: realm, administrators only, denied users, proxy.
 * An administrator is never locked out by user_deny.db; a session that acts as somebody else
 * is an administrator's only if that other one is.
 */
#include <config.h>

#include <string.h>

#include "imap_err.h"
#include "libconfig.h"
#include "saslserver.h"
#include "strarray.h"
#include "util.h"
#include "xsyslog.h"

#define MAXNAME 80

/* Identifiers that are no ordinary names, in any case. */
static const char *special_name(const char *name, size_t len)
{
    static const struct {
        const char *name, *canonical;
    } specials[] = { { "anybody", "anyone" },
                     { "anyone", "anyone" },
                     { "anonymous", "anonymous" } };

    for (size_t i = 0; i < array_size(specials); i++)
        if (memcaseeq(name, len, specials[i].name, strlen(specials[i].name)))
            return specials[i].canonical;
    return NULL;
}

/* With virtdomains the last '@' or '%' begins the domain, which is cut off if it is the default. */
static void settle_domain(struct buf *name)
{
    const char *def = config_defdomain ? config_defdomain : "";

    if (config_getenum(IMAPOPT_VIRTDOMAINS) == IMAP_ENUM_VIRTDOMAINS_OFF) return;
    for (size_t at = name->len; at-- > 0;) {
        if (name->s[at] != '@' && name->s[at] != '%') continue;
        name->s[at] = '@';
        if (memcaseeq(name->s + at + 1, name->len - at - 1, def, strlen(def)))
            buf_truncate(name, at);
        return;
    }
}

static bool allowed_byte(char ch)
{
    unsigned char c = (unsigned char)ch;

    return c >= 0x20 && c < 0x7f && !strchr("%&*/:?", c);
}

int saslserver_canonify(const char *name, size_t len, struct buf *out)
{
    const char *special = special_name(name, len);

    if (special) {
        buf_setcstr(out, special);
        return 0;
    }
    buf_setmap(out, name, len);
    settle_domain(out);
    if (!out->len || out->len > MAXNAME) return IMAP_INVALID_USER;
    for (size_t i = 0; i < out->len; i++)
        if (!allowed_byte(out->s[i])) return IMAP_INVALID_USER;
    if (config_getswitch(IMAPOPT_USERNAME_TOLOWER)) buf_lcase(out);
    buf_cstring(out);
    return 0;
}

static bool is_listed(const char *words, const char *id)
{
    strarray_t *sa = strarray_split(words ? words : "", NULL, 0);
    bool found = strarray_find(sa, id, 0) >= 0;

    strarray_free(sa);
    return found;
}

static bool memberof(const struct saslserver_policy *policy, const char *id, enum imapopt opt)
{
    const char *identifiers = config_getstring(opt);

    if (!identifiers || !*identifiers) return false;
    if (policy->memberof) return policy->memberof(policy->rock, id, identifiers);
    return is_listed(identifiers, id);
}

/* A name with a realm counts only if the realm is known, unless domains are the server's own. */
static bool realm_ok(const char *authid)
{
    const char *realm = strchr(authid, '@'), *realms = config_getstring(IMAPOPT_LOGINREALMS);
    bool given = realms && *realms;

    if (!realm) return true;
    if (config_getenum(IMAPOPT_VIRTDOMAINS) != IMAP_ENUM_VIRTDOMAINS_OFF && !given) return true;
    return given && is_listed(realms, realm + 1);
}

static bool may_proxy(const struct saslserver_policy *policy, const char *authid,
                      const char *userid)
{
    if (config_getswitch(IMAPOPT_LOGINUSEACL) && policy->useacl &&
        policy->useacl(policy->rock, authid, userid))
        return true;
    return policy->allow_proxy && memberof(policy, authid, IMAPOPT_PROXYSERVERS);
}

int saslserver_authorize(const struct saslserver_policy *policy, const char *authid,
                         const char *userid, bool *is_admin, bool *is_proxyadmin, const char **why)
{
    bool admin, self = !strcmp(authid, userid);

    *is_admin = *is_proxyadmin = false;
    *why = NULL;
    if (!realm_ok(authid)) {
        *why = "cross-realm login denied";
        return IMAP_PERMISSION_DENIED;
    }
    admin = memberof(policy, authid, IMAPOPT_ADMINS);
    if (policy->adminsonly && !admin) {
        *why = "only admins may authenticate";
        return IMAP_PERMISSION_DENIED;
    }
    if (!admin && policy->allowed && !policy->allowed(policy->rock, userid)) {
        *why = SASLSERVER_WHY_DENIED;
        return IMAP_PERMISSION_DENIED;
    }
    if (!self && !admin && !may_proxy(policy, authid, userid)) {
        *why = "user is not allowed to proxy";
        return IMAP_PERMISSION_DENIED;
    }
    *is_admin = self && admin;
    *is_proxyadmin = !self && memberof(policy, userid, IMAPOPT_ADMINS);
    return 0;
}
