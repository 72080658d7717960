/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_CHECK_REPLICATION_REPORT_H
#define INCLUDED_CHECK_REPLICATION_REPORT_H
/*
 * check_replication_report -- differences as lines for people, or as one JSON document
 */
#include <stdio.h>

#include "check_replication_model.h"

struct check_report;

/* labels: of A and B, borrowed. json: nothing is written before check_report_end(). */
struct check_report *check_report_new(FILE *out, const char *const labels[2], bool json);
/* Take a difference; report is a struct check_report. */
void check_report_diff(void *report, const struct check_diff *diff);
/* Something of that end (0, 1) could not be compared. user and mailbox may be NULL. Also told on stderr. */
void check_report_error(struct check_report *report, int end, const char *user, const char *mailbox,
                        const char *text);
/* The table of what was compared, or the whole document; frees. */
void check_report_end(struct check_report **report, const struct check_run *run, bool table);

#endif
