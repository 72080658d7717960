/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * auth -- who a session is, and which identifiers of ACLs mean it
 *
 * The front of the mechanisms: it keeps the chosen table of functions and, per
 * identity, the list of groups, which is asked for when the first "group:"
 * identifier is met, because most ACLs have none.
 */
#include <config.h>

#include "auth.h"

#include <stdlib.h>
#include <string.h>

#include "auth_unix.h"
#include "imap_err.h"
#include "names_config.h"
#include "util.h"
#include "xmalloc.h"

#define MAXMECHS 8
#define ANONYMOUS "anonymous"
#define GROUP "group:"

static const struct auth_mechanism *mechs[MAXMECHS] = { &auth_unix };
static const struct auth_mechanism *chosen = &auth_unix;

struct auth_state {
    char *userid;
    bool have_groups, unknown_groups;
    strarray_t groups;
};

void auth_register(const struct auth_mechanism *mech)
{
    for (size_t i = 0; i < MAXMECHS; i++) {
        if (mechs[i] && strcmp(mechs[i]->name, mech->name)) continue;
        mechs[i] = mech;
        return;
    }
}

bool auth_select(const char *name)
{
    for (size_t i = 0; i < MAXMECHS && mechs[i]; i++) {
        if (strcmp(mechs[i]->name, name)) continue;
        chosen = mechs[i];
        return true;
    }
    return false;
}

/* Names that mean the same in every mechanism. */
static const char *common_name(const char *identifier, size_t len)
{
    if (memcaseeq(identifier, len, "anyone", 6) || memcaseeq(identifier, len, "anybody", 7))
        return "anyone";
    if (memcaseeq(identifier, len, ANONYMOUS, strlen(ANONYMOUS))) return ANONYMOUS;
    return NULL;
}

/* "user%domain" is "user@domain"; the default domain is none. */
static size_t canonify_domain(char *id, size_t len)
{
    struct names_config cfg;
    char *mark = NULL;

    names_config_get(&cfg);
    if (cfg.virtdomains == VIRTDOMAINS_OFF) return len;
    for (char *p = id; *p; p++) {
        if (*p == '@' || *p == '%') mark = p;
    }
    if (!mark) return len;
    *mark = '@';
    if (!cyr_strcasecmp(mark + 1, cfg.defaultdomain)) *mark = '\0';
    return strlen(id);
}

int auth_canonifyid(const char *identifier, size_t len, char *out, size_t outsize)
{
    char id[AUTH_IDMAX];

    if (!len || len >= sizeof(id) || memchr(identifier, '\0', len)) return IMAP_INVALID_IDENTIFIER;
    memcpy(id, identifier, len);
    id[len] = '\0';
    len = canonify_domain(id, len);

    const char *common = common_name(id, len);
    if (!common) return chosen->canonify(id, len, out, outsize);
    if (strlen(common) >= outsize) return IMAP_INVALID_IDENTIFIER;
    memcpy(out, common, strlen(common) + 1);
    return 0;
}

struct auth_state *auth_newstate(const char *userid)
{
    struct auth_state *state = xzmalloc(sizeof(*state));

    state->userid = xstrdup(userid && *userid ? userid : ANONYMOUS);
    return state;
}

void auth_freestate(struct auth_state **statep)
{
    if (!*statep) return;
    free((*statep)->userid);
    strarray_fini(&(*statep)->groups);
    xzfree(*statep);
}

const char *auth_userid(const struct auth_state *state)
{
    return state ? state->userid : ANONYMOUS;
}

const strarray_t *auth_groups(const struct auth_state *state)
{
    static const strarray_t none = STRARRAY_INITIALIZER;
    /* the list is part of the identity; when it is asked for does not change it */
    struct auth_state *s = (struct auth_state *)(uintptr_t)state;

    if (!s) return &none;
    if (!s->have_groups && strcmp(s->userid, ANONYMOUS)) {
        s->unknown_groups = chosen->groups(s->userid, &s->groups) != 0;
        if (s->unknown_groups) strarray_fini(&s->groups);
    }
    s->have_groups = true;
    return &s->groups;
}

bool auth_groups_unknown(const struct auth_state *state)
{
    auth_groups(state);
    return state && state->unknown_groups;
}

int auth_memberof_len(const struct auth_state *state, const char *identifier, size_t len)
{
    const char *userid = auth_userid(state);

    if (len == 6 && !memcmp(identifier, "anyone", 6)) return 1;
    if (strlen(userid) == len && !memcmp(userid, identifier, len)) return 3;
    if (len <= strlen(GROUP) || memcmp(identifier, GROUP, strlen(GROUP))) return 0;

    const strarray_t *groups = auth_groups(state);
    for (int i = 0; i < groups->count; i++) {
        const char *group = strarray_nth(groups, i);
        if (strlen(group) == len && !memcmp(group, identifier, len)) return 2;
    }
    return 0;
}

int auth_memberof(const struct auth_state *state, const char *identifier)
{
    return auth_memberof_len(state, identifier, strlen(identifier));
}

bool auth_is_listed(const struct auth_state *state, const char *identifiers)
{
    strarray_t *list = strarray_split(identifiers ? identifiers : "", NULL, 0);
    bool found = false;

    for (int i = 0; !found && i < strarray_size(list); i++) found = auth_memberof(state, strarray_nth(list, i)) != 0;
    strarray_free(list);
    return found;
}
