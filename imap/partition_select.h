/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_PARTITION_SELECT_H
#define INCLUDED_PARTITION_SELECT_H
/*
 * partition_select -- on which partition a new tree of mailboxes begins (handbook 05 §2, partition_select_*)
 */
/* Name of a configured partition, malloc'ed: defaultpartition, else by free space; NULL: there is none. */
char *partition_select_local(void);
/* The same with the chance, in [0, 1), that a choice by weights takes: it runs through the partitions in their order. */
char *partition_select_with(double chance);

#endif
