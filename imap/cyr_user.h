/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_CYR_USER_H
#define INCLUDED_CYR_USER_H
/*
 * cyr_user -- parts of the program: what is printed of a user, and what is derived of his
 */
#include <stdbool.h>

struct user_record;
struct cyr_user_list;

/* One user in full; reads his quota roots and counts his mailboxes. */
int cyr_user_show(const struct user_record *rec, bool json);
/* Many users, each added in order; _end prints the end and frees. */
struct cyr_user_list *cyr_user_list_begin(bool json);
void cyr_user_list_add(struct cyr_user_list *list, const struct user_record *rec);
void cyr_user_list_end(struct cyr_user_list **listp);

/*
 * All that is derived of him is compared with what it comes from, each difference is a line on stdout, and, unless dry, put right. *left:
 * something is (still) not as it should be. IMAP_NOTFOUND.
 */
int cyr_user_repair(const char *userid, bool dry, bool *left);

#endif
