/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_CHECK_REPLICATION_INT_H
#define INCLUDED_CHECK_REPLICATION_INT_H
/*
 * check_replication_int -- what the comparing files of check_replication share
 */
#include "check_replication_model.h"

/* What is being compared, and where its differences go. */
struct check_place {
    struct check_run *run;
    const char *user, *mailbox;
    uint32_t uid;
    bool whole; /* records of the sync protocol: they tell less */
};

/* So many more of them were looked at. */
void check_place_count(const struct check_place *p, enum check_what what, uint64_t a, uint64_t b);
/* As in struct check_diff. */
void check_place_differ(const struct check_place *p, enum check_what what, const char *field,
                        const char *a, const char *b, const char *note);

#endif
