/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * master_socket -- listening sockets (handbook 05 §1.6)
 *
 * A service that listens on several addresses gets an entry of the table for each.
 * A service without any socket stays disabled until the next reload.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "libconfig.h"
#include "master.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* What the listen attribute says. */
struct place {
    char *host, *port; /* NULL: any, none */
    bool is_unix;
};

/* False when the text makes no sense. */
static bool parse_listen(const char *text, struct place *place)
{
    const char *colon;

    *place = (struct place){ .host = NULL };
    if (*text == '/') {
        place->is_unix = true;
        return true;
    }
    if (*text == '[') {
        const char *end = strchr(++text, ']');
        if (!end || (end[1] && end[1] != ':')) return false;
        if (end[1] && !end[2]) return false;
        place->host = xstrndup(text, (size_t)(end - text));
        if (end[1]) place->port = xstrdup(end + 2);
        return true;
    }
    colon = strrchr(text, ':');
    if (colon && !colon[1]) return false;
    if (colon && colon > text) place->host = xstrndup(text, (size_t)(colon - text));
    place->port = xstrdup(colon ? colon + 1 : text);
    return *place->port;
}

static void place_fini(struct place *place)
{
    free(place->host);
    free(place->port);
}

/* Socket type and family of proto; false when there is no such proto. */
static bool parse_proto(const char *proto, int *type, int *family)
{
    static const struct {
        const char *name;
        int type, family;
    } protos[] = {
        { "tcp", SOCK_STREAM, AF_UNSPEC }, { "tcp4", SOCK_STREAM, AF_INET },
        { "tcp6", SOCK_STREAM, AF_INET6 }, { "udp", SOCK_DGRAM, AF_UNSPEC },
        { "udp4", SOCK_DGRAM, AF_INET },   { "udp6", SOCK_DGRAM, AF_INET6 },
    };

    for (size_t i = 0; i < array_size(protos); i++) {
        if (strcmp(protos[i].name, proto)) continue;
        *type = protos[i].type;
        *family = protos[i].family;
        return true;
    }
    return false;
}

/* Type-of-service byte of the option qosmarking: csN, afXY, ef. */
static int tos_value(void)
{
    const char *word = config_getstring(IMAPOPT_QOSMARKING);

    if (word && strstarts(word, "cs")) return (word[2] - '0') << 5;
    if (word && strstarts(word, "af")) return ((word[2] - '0') * 8 + (word[3] - '0') * 2) << 2;
    return word && !strcmp(word, "ef") ? 46 << 2 : 0;
}

static void set_options(int fd, int family)
{
    int on = 1, tos = tos_value();

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
        setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
    }
    else if (family == AF_INET) {
        setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
    }
}

static const char *family_name(int family)
{
    return family == AF_UNIX ? "unix" : family == AF_INET6 ? "ipv6" : "ipv4";
}

/* The descriptor, or -errno. */
static int listen_at(const struct sockaddr *addr, socklen_t len, int type)
{
    int fd = socket(addr->sa_family, type | SOCK_CLOEXEC, 0);
    int r = 0;

    if (fd < 0) return -errno;
    set_options(fd, addr->sa_family);
    mode_t old = umask(0);
    if (bind(fd, addr, len)) r = -errno;
    umask(old);
    if (!r && addr->sa_family == AF_UNIX &&
        chmod(((const struct sockaddr_un *)addr)->sun_path, 0777))
        r = -errno;
    if (!r && type == SOCK_STREAM && listen(fd, master.backlog)) r = -errno;
    if (r) close(fd);
    return r ? r : fd;
}

/* One more entry for another address of the same service. */
static struct service *another(const struct service *s, unsigned id)
{
    struct service *t = service_new(s->name);

    t->listen = xstrdup(s->listen);
    t->proto = xstrdup(s->proto);
    strarray_cat(&t->cmd, &s->cmd);
    t->program = xstrdup(s->program);
    t->id = id;
    t->babysit = s->babysit;
    t->listed = s->listed;
    t->prefork = s->prefork;
    t->maxchild = s->maxchild;
    t->maxfds = s->maxfds;
    t->maxforkrate = s->maxforkrate;
    return t;
}

struct opening {
    struct service *first;
    int count; /* sockets open */
    int error; /* the last one */
    bool bind_fatal;
};

static void open_one(struct opening *o, const struct sockaddr *addr, socklen_t len, int type)
{
    const char *family = family_name(addr->sa_family);
    int fd = listen_at(addr, len, type);

    if (fd < 0) {
        if (o->bind_fatal)
            master_fatal(EX_UNAVAILABLE, "unable to bind to %s/%s socket: %s", o->first->name,
                         family, strerror(-fd));
        syslog(LOG_ERR, "unable to bind to %s/%s socket: %s", o->first->name, family,
               strerror(-fd));
        o->error = -fd;
        return;
    }
    struct service *s = o->count ? another(o->first, (unsigned)o->count) : o->first;
    s->family = family;
    s->sock = fd;
    if (pipe2(s->stat, O_CLOEXEC) || fcntl(s->stat[0], F_SETFL, O_NONBLOCK))
        master_fatal(1, "can't open status pipe of %s: %s", s->name, strerror(errno));
    s->enabled = true;
    o->count++;
}

static void open_unix(struct opening *o, int type)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    const char *path = o->first->listen;

    if (strlen(path) >= sizeof(addr.sun_path)) {
        syslog(LOG_ERR, "invalid listen '%s' (too long), disabling %s", path, o->first->name);
        return;
    }
    memcpy(addr.sun_path, path, strlen(path) + 1);
    struct stat st;
    if (!lstat(path, &st) && S_ISSOCK(st.st_mode)) unlink(path);
    open_one(o, (struct sockaddr *)&addr, sizeof(addr),
             strcmp(o->first->proto, "tcp") ? SOCK_DGRAM : type);
}

static void open_inet(struct opening *o, const struct place *place, int type, int family)
{
    struct addrinfo hints = { .ai_flags = AI_PASSIVE, .ai_family = family, .ai_socktype = type };
    struct addrinfo *list;

    int r = getaddrinfo(place->host, place->port, &hints, &list);
    if (r) {
        syslog(LOG_INFO, "%s, disabling %s", gai_strerror(r), o->first->name);
        return;
    }
    for (const struct addrinfo *ai = list; ai; ai = ai->ai_next)
        open_one(o, ai->ai_addr, ai->ai_addrlen, type);
    freeaddrinfo(list);
}

void socket_open(struct service *s, bool bind_fatal)
{
    struct opening o = { .first = s, .bind_fatal = bind_fatal };
    struct place place;
    int type, family;

    if (!parse_proto(s->proto, &type, &family)) {
        syslog(LOG_INFO, "invalid proto '%s', disabling %s", s->proto, s->name);
        return;
    }
    if (parse_listen(s->listen, &place)) {
        if (place.is_unix)
            open_unix(&o, type);
        else
            open_inet(&o, &place, type, family);
        if (!o.count && o.error)
            syslog(LOG_ERR, "unable to create %s listener socket: %s", s->name, strerror(o.error));
    }
    else {
        syslog(LOG_ERR, "invalid listen '%s', disabling %s", s->listen, s->name);
    }
    place_fini(&place);
}
