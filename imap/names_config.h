/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_NAMES_CONFIG_H
#define INCLUDED_NAMES_CONFIG_H
/*
 * names_config -- the options that decide how names, paths and rights are spelled
 *
 * The functions of floor 2 are pure over their arguments and these values. They
 * are read from the configuration at each use, so a program that has read its
 * imapd.conf has nothing to set up. Tests put their own values in front.
 */
#include <stdbool.h>
#include <stdint.h>

enum virtdomains { VIRTDOMAINS_OFF, VIRTDOMAINS_USERID, VIRTDOMAINS_ON };

struct names_config {
    /* names */
    enum virtdomains virtdomains;
    const char *defaultdomain; /* never NULL */
    const char *deletedprefix; /* option deletedprefix, never NULL */
    bool unixhierarchysep, altnamespace;
    bool crossdomains, crossdomains_onlyother;
    bool disable_user_namespace, disable_shared_namespace;
    const char *userprefix, *sharedprefix, *altprefix;
    const char *postuser;
    /* paths */
    bool hashimapspool, fulldirhash;
    bool archive_enabled;
    uint32_t metapartition_files; /* bits 1 << enum mailbox_metafile (mailbox_path.h) */
    const char *configdirectory;
    const char *mboxname_lockpath; /* NULL: <configdirectory>/lock */
    /* rights */
    char deleteright; /* first letter of the option */
    bool acl_admin_implies_write;
    bool username_tolower;
    bool unix_group_enable;
    /* special folders (handbook 02 §1.6); NULL or "": none */
    const char *calendarprefix, *addressbookprefix, *davdriveprefix, *davnotificationsprefix;
    const char *jmapuploadfolder, *jmapsubmissionfolder, *jmappushsubscriptionfolder, *sieve_folder,
        *notesmailbox;
    /* "partition-", "metapartition-", "metadir-header-", "archivepartition-" ... + partition
     * name; NULL if not set. Strings live as long as the configuration. */
    const char *(*partition_option)(const char *prefix, const char *partition, void *rock);
    void *rock;
};

/* Fill *cfg from the configuration (or from the override). Strings are borrowed from it. */
void names_config_get(struct names_config *cfg);
/* The few that every name and every ACL entry needs, without the rest. */
const char *names_defaultdomain(void); /* never NULL */
const char *names_deletedprefix(void); /* never NULL */
char names_deleteright(void);
bool names_acl_admin_implies_write(void);
/* For tests: use this instead of the configuration, NULL: the configuration again. Borrowed, must
 * outlive its use. */
void names_config_override(const struct names_config *cfg);
/* The values of an empty imapd.conf (for tests). configdirectory is "/var/imap". */
void names_config_defaults(struct names_config *cfg);

#endif
