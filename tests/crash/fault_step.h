/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fault_step -- one command of a recorded scenario, done again while the disk fails
 *
 * The recording has a file for each command (recording.py, step.N), a line of words and then the bytes of a
 * conversation:
 *
 *   imap WHOLE|PARTS USER LENGTH   a session: so many bytes of commands that lead to it, and the command, with tag "op"
 *   lmtp WHOLE|PARTS RECIPIENTS    a session with one delivery to so many
 *   tool WHOLE|PARTS               an argument on each line, the program first; the tool gets -C from us
 *
 * PARTS: it does several things, of which some may be done. Sessions run in this process, tools in one of their own.
 */
#ifndef CYL_CRASH_FAULT_STEP_H
#define CYL_CRASH_FAULT_STEP_H

#include <stdbool.h>

#include "buf.h"
#include "strarray.h"

enum fault_kind { FAULT_IMAP, FAULT_LMTP, FAULT_TOOL };

struct fault_step {
    unsigned number;
    enum fault_kind kind;
    bool parts;
    char *user;        /* FAULT_IMAP */
    size_t context;    /* bytes of input before the command */
    unsigned nrcpt;    /* FAULT_LMTP */
    strarray_t argv;   /* FAULT_TOOL */
    struct buf input;
};

/* What came of it. */
struct fault_answer {
    bool ok;          /* it was answered so */
    bool failed;      /* the journal is read-only now */
    bool retried, ok_again; /* asked once more, with a disk that is well */
    bool taken;       /* the fault came; not of tools */
    unsigned changes; /* calls that change the disk; not of tools */
};

/* False: there is no step of that number, or it is nothing that can be done again. */
bool fault_step_read(const char *dir, unsigned number, struct fault_step *step);
void fault_step_fini(struct fault_step *step);
/* "STORE 1 +FLAGS ...", "cyr_expire -X 0": for people. */
void fault_step_name(const struct fault_step *step, struct buf *out);

/* What is asked of fault_step_run besides the command. */
struct fault_how {
    const char *fault, *kill; /* rules of diskio_trace.h; NULL: none */
    bool only_context;        /* what leads to the command, not the command */
    bool retry;               /* when it is refused */
};
/* In this process, which opens the journal before the fault, as a server has. Sessions only. */
void fault_step_run(const struct fault_step *step, const struct fault_how *how, struct fault_answer *answer);
/* The tool in the place of this process; its exit code is the answer. record: a trace of what it does, or NULL. */
void fault_step_exec(const struct fault_step *step, const struct fault_how *how, const char *config,
                     const char *record) __attribute__((noreturn));

#endif
