/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * global -- how every program starts and ends (handbook 05 §1.5, §1.13, §3.0, §4.1)
 *
 *     int main(int argc, char **argv)
 *     {
 *         cyrus_std_options(argc, argv, usage);          --help, --version
 *         ... getopt, -C FILE in alt_config ...
 *         cyrus_init(alt_config, "ctl_mboxlist", CYRUSINIT_TOOL, CONFIG_NEED_PARTITION_DATA);
 *         ...
 *         cyrus_done();
 *         return EX_OK;
 *     }
 */
#ifndef INCLUDED_GLOBAL_H
#define INCLUDED_GLOBAL_H

#include <stdbool.h>
#include <stddef.h>

/* -- start and end -- */
/* What kind of program it is: how errors are told, and what becomes of root. */
#define CYRUSINIT_TOOL 0u     /* fatal errors on stderr; root becomes the cyrus user */
#define CYRUSINIT_SERVICE 1u  /* fatal errors in the log; root is refused (64) */
#define CYRUSINIT_KEEPUID 2u  /* stays who it is: master, which changes by itself; cyr_info */
#define CYRUSINIT_SIGNALS 4u  /* signals_add_handlers() */
/*
 * Opens the log as ident, reads the configuration (NULL: the compiled-in path) with the
 * config_read() flags, sets umask, log facility and prefix, log_file and debug, becomes
 * the cyrus user. Every failure ends the program: 78 for the configuration, 64 `must
 * run as the Cyrus user`.
 */
void cyrus_init(const char *alt_config, const char *ident, unsigned flags, unsigned config_flags);
/* Frees the configuration and closes the log. */
void cyrus_done(void);

/*
 * "fatal error: " stands in front of what fatal() prints to stderr; a tool with another
 * habit sets its own ("sync_reset: "). NULL: nothing is printed.
 */
void cyrus_set_fatal_prefix(const char *prefix);
/* Called by fatal() after the text is out, before the end: the BYE of a service. */
void cyrus_set_fatal_hook(void (*hook)(const char *message, int code));

/*
 * Looks for --help (usage on stdout, exit 0) and --version (exit 0) before "--". Other
 * arguments are left to getopt.
 */
void cyrus_std_options(int argc, char **argv, const char *usage);
/* "3.6.1-Cylinder-0.1.0": greetings, cyr_info version (as "cyrus-imapd VERSION"), ID. */
const char *cyrus_version(void);

/* -- who we are -- */
/* Name of the account to run as: $CYRUS_USER, cyrus_user, or as built. */
const char *cyrus_user(void);
/* Name of the group: $CYRUS_GROUP, cyrus_group; NULL: the primary group of the user. */
const char *cyrus_group(void);
/* Becomes that user and group. 0, or -1 with the cause logged. */
int become_cyrus(void);
/* True in a child that master started as a daemon (CYRUS_ISDAEMON). */
bool cyrus_isdaemon(void);

/* -- messages of the administrator (handbook 05 §1.14) -- */
/*
 * First line, without CR LF, of msg/shutdown.SERVICE or msg/shutdown. True when one of
 * them exists.
 */
bool shutdown_file(char *text, size_t size);
/* First line of msg/motd without leading '['; true when there is one. */
bool motd_file(char *text, size_t size);

/* True when suppress_capabilities names it (any case). */
bool capa_is_disabled(const char *capability);

#endif
