/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * service_private -- the common options of services
 */
#ifndef CYL_SERVICE_PRIVATE_H
#define CYL_SERVICE_PRIVATE_H

#include <stdbool.h>

#include "strarray.h"

struct buf;

struct service_options {
    const char *config; /* -C; NULL: the compiled-in file */
    unsigned max_use;   /* -U: clients per process, at least 1 */
    unsigned timeout;   /* -T: idle seconds, 0: for ever */
    bool debug;         /* -D */
    bool standalone;    /* -X */
};

/*
 * Takes the common options out of argv; what is left, with argv[0], is appended to rest.
 * 0, or -EINVAL with the text in err.
 */
int service_options_parse(int argc, char **argv, struct service_options *opt, strarray_t *rest,
                          struct buf *err);
/*
 * debug_command with its printf marks filled in, each once and in this order: %s program,
 * %d pid, %s service.
 */
void service_debug_text(const char *command, const char *program, const char *name,
                        struct buf *out);
/* Runs debug_command, if there is one. */
void service_debug_command(const char *program, const char *name);

#endif
