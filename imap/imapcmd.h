/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_IMAPCMD_H
#define INCLUDED_IMAPCMD_H
/*
 * imapcmd -- the IMAP commands; each parses its arguments, works, and answers once
 *
 * The table that names them is imapcmd/commands.c.
 */
#include "imap_session.h"
#include "metadata.h"
#include "strarray.h"

void cmd_append(struct imap_session *s);
void cmd_authenticate(struct imap_session *s);
void cmd_cancelupdate(struct imap_session *s);
void cmd_capability(struct imap_session *s);
void cmd_check(struct imap_session *s);
void cmd_close(struct imap_session *s);
void cmd_compress(struct imap_session *s);
void cmd_copy(struct imap_session *s);
void cmd_create(struct imap_session *s);
void cmd_delete(struct imap_session *s);
void cmd_deleteacl(struct imap_session *s);
void cmd_enable(struct imap_session *s);
void cmd_esearch(struct imap_session *s);
void cmd_examine(struct imap_session *s);
void cmd_expunge(struct imap_session *s);
void cmd_fetch(struct imap_session *s);
void cmd_genurlauth(struct imap_session *s);
void cmd_getacl(struct imap_session *s);
void cmd_getannotation(struct imap_session *s);
void cmd_getmetadata(struct imap_session *s);
void cmd_getquota(struct imap_session *s);
void cmd_getquotaroot(struct imap_session *s);
void cmd_id(struct imap_session *s);
void cmd_idle(struct imap_session *s);
void cmd_list(struct imap_session *s);
void cmd_listrights(struct imap_session *s);
void cmd_login(struct imap_session *s);
void cmd_logout(struct imap_session *s);
void cmd_lsub(struct imap_session *s);
void cmd_move(struct imap_session *s);
void cmd_myrights(struct imap_session *s);
void cmd_namespace(struct imap_session *s);
void cmd_noop(struct imap_session *s);
void cmd_notify(struct imap_session *s);
void cmd_rename(struct imap_session *s);
void cmd_replace(struct imap_session *s);
void cmd_scan(struct imap_session *s);
void cmd_resetkey(struct imap_session *s);
void cmd_search(struct imap_session *s);
void cmd_select(struct imap_session *s);
void cmd_setacl(struct imap_session *s);
void cmd_setannotation(struct imap_session *s);
void cmd_setmetadata(struct imap_session *s);
void cmd_setquota(struct imap_session *s);
void cmd_sort(struct imap_session *s);
void cmd_starttls(struct imap_session *s);
void cmd_status(struct imap_session *s);
void cmd_store(struct imap_session *s);
void cmd_subscribe(struct imap_session *s);
void cmd_syncapply(struct imap_session *s);
void cmd_syncget(struct imap_session *s);
void cmd_syncrestart(struct imap_session *s);
void cmd_syncrestore(struct imap_session *s);
void cmd_thread(struct imap_session *s);
void cmd_unauthenticate(struct imap_session *s);
void cmd_unselect(struct imap_session *s);
void cmd_unsubscribe(struct imap_session *s);
void cmd_urlfetch(struct imap_session *s);
void cmd_xfer(struct imap_session *s);
void cmd_xlist(struct imap_session *s);

/* -- shared by several commands: false means answered -- */
struct entryattlist;
/* A flag of STORE or APPEND (`where`): into the bits or the list. */
bool imap_parse_flag(struct imap_session *s, const char *flag, const char *where,
                     uint32_t *system_flags, strarray_t *user_flags);
/* SP "(entry (attrib value ...) ...)"; userid of a private value is the session's. */
bool imap_parse_annotations(struct imap_session *s, struct entryattlist **list);
/* Items of STATUS as bits. */
enum {
    STATUS_MESSAGES = 1 << 0,
    STATUS_RECENT = 1 << 1,
    STATUS_UIDNEXT = 1 << 2,
    STATUS_UIDVALIDITY = 1 << 3,
    STATUS_MAILBOXID = 1 << 4,
    STATUS_UNSEEN = 1 << 5,
    STATUS_SIZE = 1 << 6,
    STATUS_CREATEDMODSEQ = 1 << 7,
    STATUS_HIGHESTMODSEQ = 1 << 8,
    STATUS_XCONVEXISTS = 1 << 9,
    STATUS_XCONVUNSEEN = 1 << 10,
    STATUS_XCONVMODSEQ = 1 << 11,
    STATUS_DELETED = 1 << 12,
    STATUS_DELETED_STORAGE = 1 << 13, /* bytes */
    STATUS_APPENDLIMIT = 1 << 14,     /* bytes */
    STATUS_CONVERSATIONS = STATUS_XCONVEXISTS | STATUS_XCONVUNSEEN | STATUS_XCONVMODSEQ,
};
/* The same, read behind a blank; and their answer for one mailbox. */
bool imap_parse_status_items(struct imap_session *s, uint32_t *items);
int imap_print_status(struct imap_session *s, extname_t extname, const mbentry_t *mbentry,
                      uint32_t items);
/* "MESSAGES 3 UIDNEXT 4"; and the answer that has it. */
int imap_status_text(struct imap_session *s, const mbentry_t *mbentry, uint32_t items, struct buf *text);
void imap_print_status_text(struct imap_session *s, extname_t extname, const char *text);
/* "* METADATA name (entry value ...)" of what this session may read. */
void imap_print_metadata(struct imap_session *s, extname_t extname, const mbentry_t *mbentry,
                         const strarray_t *entries);
/* One value to set; entry is a full name. */
struct metadata_setting {
    struct metadata_setting *next;
    char *entry;
    struct buf value;
    bool nil;
};
void metadata_settings_free(struct metadata_setting *list);
/* All of them or none; mbentry NULL: of the server. Errors of metadata_set(). */
int imap_set_metadata(struct imap_session *s, const mbentry_t *mbentry, const struct metadata_setting *list);
struct metadata_who imap_metadata_who(const struct imap_session *s);
/* "* MYRIGHTS name rights". */
void imap_print_myrights(struct imap_session *s, extname_t extname, uint32_t rights);

#endif
