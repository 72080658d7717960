/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_POLICY_H
#define INCLUDED_SYNC_POLICY_H
/*
 * sync_policy -- how safe a change must be before it is acknowledged, for each user (doc/rolling.md, Synchronous)
 */
#include <stdbool.h>

/* Annotation of an INBOX, shared; without it the option durability counts. */
#define SYNC_POLICY_ENTRY "/vendor/cylinder/durability"

struct sync_policy {
    enum sync_policy_kind {
        SYNC_POLICY_ASYNC, /* here */
        SYNC_POLICY_SEMI,  /* on n replicas, or late, which is said in the log */
        SYNC_POLICY_SYNC,  /* on n replicas, or the client is told that it is not */
    } kind;
    int n;  /* 0: all */
    int ms; /* patience; 0: sync_wait_ms of each channel */
};

/* "local", "async", "semi", "semi(2)", "semi(2, 50)", "sync", "sync(1)"; false: none of them. */
bool sync_policy_parse(const char *text, struct sync_policy *policy);
/* The option's; what can't be understood is logged, and semi. */
void sync_policy_default(struct sync_policy *policy);
/* Of a user; "": of shared mailboxes, the option's. */
void sync_policy_of(const char *userid, struct sync_policy *policy);

#endif
