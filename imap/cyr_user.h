/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_CYR_USER_H
#define INCLUDED_CYR_USER_H
/*
 * cyr_user -- parts of the program: what is printed of a user
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

#endif
