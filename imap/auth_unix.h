/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_AUTH_UNIX_H
#define INCLUDED_AUTH_UNIX_H
/*
 * auth_unix -- the mechanism "unix": users and groups of the system (handbook 05 §6.4, §6.5)
 */
#include "auth.h"

extern const struct auth_mechanism auth_unix;

#endif
