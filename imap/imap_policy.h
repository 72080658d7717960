/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_IMAP_POLICY_H
#define INCLUDED_IMAP_POLICY_H
/*
 * imap_policy -- who may log in, and as whom, for services with users (handbook 05 §6.5)
 */
#include "saslserver.h"

/* admins, proxyservers, loginuseacl and user_deny.db of this service. */
extern const struct saslserver_policy imap_policy;

#endif
