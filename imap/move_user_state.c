/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * move_user_state -- the file of a move: <configdirectory>/moves/USER
 *
 * One dlist. The name of the file is the user id, with %XX for what is no letter, digit, "_", "-", "@" or "." inside.
 */
#include <config.h>

#include "move_user.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "diskio.h"
#include "dlist.h"
#include "imap_err.h"
#include "libconfig.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define FILE_VERSION 1

static const char *const step_names[] = { "copying", "switching", "switched", "returning", "aborting" };

const char *move_step_name(enum move_step step)
{
    return step_names[step];
}

void move_state_free(struct move_state **statep)
{
    struct move_state *state = *statep;

    if (!state) return;
    free(state->userid);
    free(state->id);
    free(state->target);
    free(state->channel);
    free(state->partition);
    free(state->command);
    free(state);
    *statep = NULL;
}

/* ---- names ---- */

static void path_of(const char *userid, struct buf *path)
{
    buf_printf(path, "%s/moves/", config_dir);
    for (const char *p = userid; *p; p++) {
        if (isalnum((unsigned char)*p) || strchr("_-@", *p) || (*p == '.' && p > userid))
            buf_putc(path, *p);
        else
            buf_printf(path, "%%%02X", (unsigned char)*p);
    }
}

static int failed(const char *what, struct buf *path, int r)
{
    if (r) xsyslog_errno(LOG_ERR, r, "IOERROR: the file of a move", "action=<%s> filename=<%s>", what, buf_cstring(path));
    return r ? IMAP_IOERROR : 0;
}

/* ---- what is in the file ---- */

static void set_text(struct dlist *kl, const char *name, const char *text)
{
    if (text) dlist_setatom(kl, name, text);
}

static struct dlist *print(const struct move_state *state)
{
    struct dlist *kl = dlist_newkvlist(NULL, "MOVE");

    dlist_setnum32(kl, "VERSION", FILE_VERSION);
    set_text(kl, "USERID", state->userid);
    set_text(kl, "UNIQUEID", state->id);
    set_text(kl, "TARGET", state->target);
    set_text(kl, "CHANNEL", state->channel);
    set_text(kl, "PARTITION", state->partition);
    set_text(kl, "COMMAND", state->command);
    set_text(kl, "STEP", move_step_name(state->step));
    set_text(kl, "BEFORE", user_state_name(state->before));
    set_text(kl, "THERE", user_state_name(state->there));
    dlist_setnum64(kl, "GRACE", (uint64_t)state->grace);
    dlist_setdate(kl, "SWITCHED", state->switched);
    return kl;
}

static bool get_text(const struct dlist *kl, const char *name, bool needed, char **text)
{
    const char *val = NULL;

    if (!dlist_getchild(kl, name)) return !needed;
    if (!dlist_getatom(kl, name, &val)) return false;
    *text = xstrdup(val);
    return true;
}

static bool get_step(const struct dlist *kl, enum move_step *step)
{
    const char *val = NULL;

    if (!dlist_getatom(kl, "STEP", &val)) return false;
    for (size_t i = 0; i < array_size(step_names); i++) {
        if (strcmp(val, step_names[i])) continue;
        *step = (enum move_step)i;
        return true;
    }
    return false;
}

static bool parse(const struct dlist *kl, struct move_state *state)
{
    const char *before = NULL, *there = NULL;
    uint32_t version;
    uint64_t grace;

    if (!dlist_getnum32(kl, "VERSION", &version) || version != FILE_VERSION) return false;
    if (!get_text(kl, "USERID", true, &state->userid) || !get_text(kl, "UNIQUEID", true, &state->id) ||
        !get_text(kl, "TARGET", true, &state->target) || !get_text(kl, "CHANNEL", false, &state->channel) ||
        !get_text(kl, "PARTITION", false, &state->partition) || !get_text(kl, "COMMAND", false, &state->command))
        return false;
    if (!get_step(kl, &state->step) || !dlist_getnum64(kl, "GRACE", &grace) || grace > INT64_MAX ||
        !dlist_getdate(kl, "SWITCHED", &state->switched))
        return false;
    state->grace = (int64_t)grace;
    if (dlist_getatom(kl, "THERE", &there) && !user_state_parse(there, &state->there)) return false;
    return dlist_getatom(kl, "BEFORE", &before) && user_state_parse(before, &state->before);
}

/* ---- the file ---- */

int move_state_read(const char *userid, struct move_state **statep)
{
    struct buf path = BUF_INITIALIZER;
    struct diskio_map map = DISKIO_MAP_INITIALIZER;
    struct dlist *kl = NULL;

    *statep = NULL;
    path_of(userid, &path);
    int r = diskio_map_file(buf_cstring(&path), &map, NULL);
    if (r) {
        r = r == -ENOENT ? IMAP_NOTFOUND : failed("read", &path, r);
    }
    else {
        struct move_state *state = xzmalloc(sizeof(*state));
        bool ok = !dlist_parsemap(&kl, false, map.base, map.len) && parse(kl, state) && !strcmp(state->userid, userid);
        if (ok)
            *statep = state;
        else
            move_state_free(&state);
        r = ok ? 0 : IMAP_MAILBOX_BADFORMAT;
    }
    dlist_free(&kl);
    diskio_map_free(&map);
    buf_free(&path);
    return r;
}

int move_state_write(const struct move_state *state)
{
    struct buf path = BUF_INITIALIZER, text = BUF_INITIALIZER;
    struct dlist *kl = print(state);

    path_of(state->userid, &path);
    dlist_printbuf(kl, false, &text);
    int r = failed("replace", &path, diskio_replacefile(buf_cstring(&path), buf_base(&text), buf_len(&text)));
    dlist_free(&kl);
    buf_free(&path);
    buf_free(&text);
    return r;
}

int move_state_remove(const char *userid)
{
    struct buf path = BUF_INITIALIZER;

    path_of(userid, &path);
    int r = diskio_unlink_quiet(buf_cstring(&path));
    if (!r) r = diskio_sync_parent(buf_cstring(&path));
    r = failed("remove", &path, r);
    buf_free(&path);
    return r;
}

/* The user id that such a name stands for; false: it is none of ours. */
static bool name_to_userid(const char *name, struct buf *userid)
{
    buf_reset(userid);
    for (const char *p = name; *p; p++) {
        if (*p != '%') {
            buf_putc(userid, *p);
            continue;
        }
        if (hexval(p[1]) < 0 || hexval(p[2]) < 0) return false;
        buf_putc(userid, (char)(hexval(p[1]) * 16 + hexval(p[2])));
        p += 2;
    }
    return *name != '.';
}

int move_state_list(strarray_t *userids)
{
    struct buf path = BUF_INITIALIZER, userid = BUF_INITIALIZER;
    struct dirent *entry;

    path_of("", &path);
    DIR *d = opendir(buf_cstring(&path));
    int r = d || errno == ENOENT ? 0 : failed("list", &path, -errno);
    while (d && (entry = readdir(d))) {
        struct move_state *state = NULL;
        if (!name_to_userid(entry->d_name, &userid)) continue;
        int er = move_state_read(buf_cstring(&userid), &state);
        const char *end = strrchr(entry->d_name, '.');
        bool half = er && end && !strcmp(end, ".NEW"); /* what a crash has left of one that was being written */
        if (er != IMAP_NOTFOUND && !half) strarray_append(userids, buf_cstring(&userid));
        move_state_free(&state);
    }
    if (d) closedir(d);
    strarray_sort(userids, cmpstringp_raw);
    buf_free(&path);
    buf_free(&userid);
    return r;
}
