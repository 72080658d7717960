/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mailbox_path -- where files of mailboxes and users are
 *
 * A path is put together from a root out of the configuration and a part that is
 * made from a uniqueid or a name. What goes into the second part is checked here
 * and nowhere later: no component is empty, "." or "..", or holds '/' or a
 * control byte, whatever a peer or a damaged record may say.
 */
#include <config.h>

#include "mailbox_path.h"

#include <string.h>

#include "buf.h"
#include "dirhash.h"
#include "imap_err.h"
#include "mbentry.h"
#include "mboxname.h"
#include "names_config.h"
#include "util.h"

struct mailbox_place mailbox_place_of(const struct mbentry *entry)
{
    bool legacy = (entry->mbtype & MBTYPE_LEGACY_DIRS) || !entry->uniqueid;

    return (struct mailbox_place){ entry->partition, entry->name, legacy ? NULL : entry->uniqueid };
}

static const struct metafile {
    const char *word; /* in metapartition_files */
    const char *file;
    const char *option; /* a root of its own; NULL: none */
} metafiles[META_NUMFILES] = {
    [META_HEADER] = { "header", "cyrus.header", "metadir-header-" },
    [META_INDEX] = { "index", "cyrus.index", "metadir-index-" },
    [META_CACHE] = { "cache", "cyrus.cache", "metadir-cache-" },
    [META_EXPUNGE] = { "expunge", "cyrus.expunge", NULL },
    [META_SQUAT] = { "squat", "cyrus.squat", "metadir-squat-" },
    [META_ANNOTATIONS] = { "annotations", "cyrus.annotations", "metadir-index-" },
    [META_LOCK] = { "lock", NULL, NULL },
    [META_DAV] = { "dav", "cyrus.dav", "metadir-dav-" },
    [META_ARCHIVECACHE] = { "archivecache", "cyrus.cache", "metadir-archivecache-" },
};

int mailbox_metafile_from_name(const char *word)
{
    for (int i = 0; i < META_NUMFILES; i++) {
        if (!strcmp(word, metafiles[i].word)) return i;
    }
    return -1;
}

/* ---- roots ---- */

bool partition_name_isvalid(const char *partition)
{
    size_t len = strlen(partition);

    if (!len || len > 64) return false;
    for (const char *p = partition; *p; p++) {
        if (!cyr_islower(*p) && !cyr_isdigit(*p)) return false;
    }
    return true;
}

static const char *option(const char *prefix, const char *partition)
{
    struct names_config cfg;

    names_config_get(&cfg);
    if (!partition || !prefix || !cfg.partition_option || !partition_name_isvalid(partition))
        return NULL;
    const char *value = cfg.partition_option(prefix, partition, cfg.rock);
    return value && *value ? value : NULL;
}

const char *partition_root(const char *partition)
{
    return option("partition-", partition);
}

const char *partition_archiveroot(const char *partition)
{
    struct names_config cfg;
    const char *root = NULL;

    names_config_get(&cfg);
    if (cfg.archive_enabled) root = option("archivepartition-", partition);
    return root ? root : partition_root(partition);
}

const char *partition_metaroot(const char *partition, enum mailbox_metafile file)
{
    struct names_config cfg;
    const char *root = option(metafiles[file].option, partition);

    names_config_get(&cfg);
    if (!root && (cfg.metapartition_files & (1u << file)))
        root = option("metapartition-", partition);
    if (root) return root;
    return file == META_ARCHIVECACHE ? partition_archiveroot(partition) : partition_root(partition);
}

/* ---- components ---- */

static bool component_ok(const char *s, size_t len)
{
    if (!len || (s[0] == '.' && (len == 1 || (len == 2 && s[1] == '.')))) return false;
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '/' || (unsigned char)s[i] < ' ' || s[i] == 0x7f) return false;
    }
    return true;
}

static int checked(const struct buf *out)
{
    return out->len < MAX_MAILBOX_PATH ? 0 : IMAP_MAILBOX_BADNAME;
}

/* "/uuid/a/b/ID" */
static int append_uuid(struct buf *out, const char *id)
{
    size_t len = strlen(id);

    if (len < 2 || !component_ok(id, len) || id[0] == '.' || id[1] == '.')
        return IMAP_MAILBOX_BADNAME;
    buf_printf(out, "/uuid/%c/%c/%s", id[0], id[1], id);
    return checked(out);
}

/* The letter of len bytes of a name, up to its first dot ('^' in internal names). */
static char hash_of(const char *s, size_t len, bool full)
{
    char name[MAX_MAILBOX_BUFFER];
    size_t n = 0;

    for (; n < len && n + 1 < sizeof(name) && s[n] != '.' && s[n] != '^'; n++) name[n] = s[n];
    name[n] = '\0';
    return dir_hash_c(name, full);
}

/* "/domain/[h/]domain"; nothing for no domain. */
static int append_domain(struct buf *out, const char *domain, size_t len, bool hash, bool full)
{
    if (!domain) return 0;
    if (!component_ok(domain, len)) return IMAP_MAILBOX_BADNAME;
    buf_appendcstr(out, "/domain/");
    if (hash) buf_printf(out, "%c/", hash_of(domain, len, full));
    buf_appendmap(out, domain, len);
    return 0;
}

/*
 * An internal name or lock name as directories: [/domain/[h/]domain] [/h] /comp/comp...
 * The letter is that of the second component, or of the only one.
 */
static int append_name(struct buf *out, const char *name)
{
    struct names_config cfg;
    const char *mark = strchr(name, '!');

    names_config_get(&cfg);
    if (mark) {
        int r = append_domain(out, name, (size_t)(mark - name), cfg.hashimapspool, cfg.fulldirhash);
        if (r) return r;
        name = mark + 1;
    }
    if (cfg.hashimapspool) {
        const char *dot = strchr(name, '.'), *comp = dot ? dot + 1 : name;
        buf_printf(out, "/%c", hash_of(comp, strcspn(comp, "."), cfg.fulldirhash));
    }
    for (;;) {
        size_t len = strcspn(name, ".");
        if (!component_ok(name, len)) return IMAP_MAILBOX_BADNAME;
        buf_putc(out, '/');
        buf_appendmap(out, name, len);
        if (!name[len]) return checked(out);
        name += len + 1;
    }
}

/* ---- mailboxes ---- */

static int place_in_root(const char *root, const struct mailbox_place *place, struct buf *out)
{
    buf_reset(out);
    if (!root) return IMAP_PARTITION_UNKNOWN;
    buf_appendcstr(out, root);
    if (place->uniqueid) return append_uuid(out, place->uniqueid);
    return place->name ? append_name(out, place->name) : IMAP_MAILBOX_BADNAME;
}

int mailbox_path_dir(const struct mailbox_place *place, struct buf *out)
{
    return place_in_root(partition_root(place->partition), place, out);
}

int mailbox_path_archivedir(const struct mailbox_place *place, struct buf *out)
{
    return place_in_root(partition_archiveroot(place->partition), place, out);
}

int mailbox_path_metadir(const struct mailbox_place *place, enum mailbox_metafile file,
                         struct buf *out)
{
    return place_in_root(partition_metaroot(place->partition, file), place, out);
}

int mailbox_path_meta(const struct mailbox_place *place, enum mailbox_metafile file,
                      struct buf *out)
{
    if (!metafiles[file].file) return IMAP_INTERNAL;
    int r = mailbox_path_metadir(place, file, out);
    if (r) return r;
    buf_putc(out, '/');
    buf_appendcstr(out, metafiles[file].file);
    return checked(out);
}

int mailbox_path_message(const struct mailbox_place *place, bool archived, uint32_t uid,
                         struct buf *out)
{
    int r = archived ? mailbox_path_archivedir(place, out) : mailbox_path_dir(place, out);

    if (r) return r;
    buf_printf(out, "/%u.", uid);
    return checked(out);
}

uint32_t mailbox_path_parse_uid(const char *filename)
{
    size_t len = strlen(filename);
    uint32_t uid;

    if (len < 2 || filename[0] == '0' || filename[len - 1] != '.' ||
        parse_u32(filename, len - 1, &uid))
        return 0;
    return uid;
}

int mailbox_path_alldirs(const struct mailbox_place *place, strarray_t *dirs)
{
    struct buf dir = BUF_INITIALIZER;
    int r = mailbox_path_dir(place, &dir);

    if (!r) strarray_add(dirs, buf_cstring(&dir));
    if (!r) r = mailbox_path_archivedir(place, &dir);
    if (!r) strarray_add(dirs, buf_cstring(&dir));
    for (int file = 0; file < META_NUMFILES && !r; file++) {
        r = mailbox_path_metadir(place, (enum mailbox_metafile)file, &dir);
        if (!r) strarray_add(dirs, buf_cstring(&dir));
    }
    buf_free(&dir);
    return r;
}

static int path_in_partition(const char *partition, const char *sub, struct buf *out)
{
    const char *root = partition_root(partition);

    buf_reset(out);
    if (!root) return IMAP_PARTITION_UNKNOWN;
    buf_appendcstr(out, root);
    buf_appendcstr(out, sub);
    return checked(out);
}

int partition_path_stage(const char *partition, struct buf *out)
{
    return path_in_partition(partition, "/stage.", out);
}

int partition_path_sync(const char *partition, unsigned pid, struct buf *out)
{
    int r = path_in_partition(partition, "/sync.", out);

    if (r) return r;
    buf_printf(out, "/%u", pid);
    return checked(out);
}

/* ---- users ---- */

static void begin_configdirectory(struct buf *out, struct names_config *cfg)
{
    names_config_get(cfg);
    buf_reset(out);
    buf_appendcstr(out, cfg->configdirectory);
}

int user_path_dir(const char *inboxid, struct buf *out)
{
    struct names_config cfg;

    begin_configdirectory(out, &cfg);
    buf_appendcstr(out, "/user");
    return append_uuid(out, inboxid);
}

int user_path_shared(const char *domain, const char *suffix, struct buf *out)
{
    struct names_config cfg;

    begin_configdirectory(out, &cfg);
    int r = append_domain(out, domain, domain ? strlen(domain) : 0, true, cfg.fulldirhash);
    if (r) return r;
    buf_printf(out, "/shared.%s", suffix);
    return checked(out);
}

/* <configdirectory>[/domain/h/domain]/user/h/localpart.suffix */
static int user_path_legacy(const mbname_t *m, const char *suffix, struct buf *out)
{
    struct names_config cfg;
    const char *localpart = mbname_localpart(m), *domain = mbname_domain(m);

    begin_configdirectory(out, &cfg);
    if (!component_ok(localpart, strlen(localpart))) return IMAP_MAILBOX_BADNAME;
    int r = append_domain(out, domain, domain ? strlen(domain) : 0, true, cfg.fulldirhash);
    if (r) return r;
    buf_printf(out, "/user/%c/%s.%s", dir_hash_c(localpart, cfg.fulldirhash), localpart, suffix);
    return checked(out);
}

int user_path(const char *userid, const char *inboxid, const char *suffix, struct buf *out)
{
    if (!userid) return user_path_shared(NULL, suffix, out);
    if (inboxid) {
        int r = user_path_dir(inboxid, out);
        if (r) return r;
        buf_printf(out, "/%s.db", suffix);
        return checked(out);
    }
    mbname_t *m = mbname_from_userid(userid);
    int r = mbname_localpart(m) ? user_path_legacy(m, suffix, out) : IMAP_MAILBOX_BADNAME;
    mbname_free(&m);
    return r;
}

/* ---- locks ---- */

void lock_name_user(const char *userid, struct buf *out)
{
    buf_reset(out);
    buf_appendcstr(out, "*U*");
    for (; userid && *userid; userid++) buf_putc(out, *userid == '.' ? '^' : *userid);
}

void lock_name_mailbox(const struct mailbox_place *place, struct buf *out)
{
    buf_reset(out);
    buf_appendcstr(out, place->uniqueid ? place->uniqueid : place->name);
}

int lock_path(const char *lockname, struct buf *out)
{
    struct names_config cfg;

    names_config_get(&cfg);
    buf_reset(out);
    if (cfg.mboxname_lockpath && *cfg.mboxname_lockpath)
        buf_appendcstr(out, cfg.mboxname_lockpath);
    else
        buf_printf(out, "%s/lock", cfg.configdirectory);
    int r = append_name(out, lockname);
    if (r) return r;
    buf_appendcstr(out, ".lock");
    return checked(out);
}
