/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * names_config -- the options that decide how names, paths and rights are spelled
 */
#include <config.h>

#include "names_config.h"

#include <stddef.h>
#include <stdlib.h>

#include "libconfig.h"
#include "mailbox_path.h"
#include "xmalloc.h"

static const struct names_config *override;

void names_config_defaults(struct names_config *cfg)
{
    *cfg = (struct names_config){
        .defaultdomain = "internal",
        .deletedprefix = "DELETED",
        .unixhierarchysep = true,
        .altnamespace = true,
        .userprefix = "Other Users",
        .sharedprefix = "Shared Folders",
        .altprefix = "Alt Folders",
        .postuser = "",
        .configdirectory = "/var/imap",
        .deleteright = 'c',
        .username_tolower = true,
        .unix_group_enable = true,
        .calendarprefix = "#calendars",
        .addressbookprefix = "#addressbooks",
        .davdriveprefix = "#drive",
        .davnotificationsprefix = "#notifications",
        .jmapuploadfolder = "#jmap",
        .jmapsubmissionfolder = "#jmapsubmission",
        .jmappushsubscriptionfolder = "#jmappushsubscription",
        .sieve_folder = "#sieve",
    };
}

void names_config_override(const struct names_config *cfg)
{
    override = cfg;
}

static const char *text(enum imapopt opt)
{
    const char *s = config_getstring(opt);

    return s ? s : "";
}

static const char *partition_option(const char *prefix, const char *partition, void *rock)
{
    char *key = xasprintf("%s%s", prefix, partition);
    const char *dir = config_getoverflowstring(key, NULL);

    free(key);
    return dir;
}

static void names_from_config(struct names_config *cfg)
{
    cfg->virtdomains = (enum virtdomains)config_getenum(IMAPOPT_VIRTDOMAINS);
    cfg->defaultdomain = config_defdomain;
    cfg->deletedprefix = text(IMAPOPT_DELETEDPREFIX);
    cfg->unixhierarchysep = config_getswitch(IMAPOPT_UNIXHIERARCHYSEP);
    cfg->altnamespace = config_getswitch(IMAPOPT_ALTNAMESPACE);
    cfg->crossdomains = config_getswitch(IMAPOPT_CROSSDOMAINS);
    cfg->crossdomains_onlyother = config_getswitch(IMAPOPT_CROSSDOMAINS_ONLYOTHER);
    cfg->disable_user_namespace = config_getswitch(IMAPOPT_DISABLE_USER_NAMESPACE);
    cfg->disable_shared_namespace = config_getswitch(IMAPOPT_DISABLE_SHARED_NAMESPACE);
    cfg->userprefix = text(IMAPOPT_USERPREFIX);
    cfg->sharedprefix = text(IMAPOPT_SHAREDPREFIX);
    cfg->altprefix = text(IMAPOPT_ALTPREFIX);
    cfg->postuser = text(IMAPOPT_POSTUSER);
    cfg->calendarprefix = text(IMAPOPT_CALENDARPREFIX);
    cfg->addressbookprefix = text(IMAPOPT_ADDRESSBOOKPREFIX);
    cfg->davdriveprefix = text(IMAPOPT_DAVDRIVEPREFIX);
    cfg->davnotificationsprefix = text(IMAPOPT_DAVNOTIFICATIONSPREFIX);
    cfg->jmapuploadfolder = text(IMAPOPT_JMAPUPLOADFOLDER);
    cfg->jmapsubmissionfolder = text(IMAPOPT_JMAPSUBMISSIONFOLDER);
    cfg->jmappushsubscriptionfolder = text(IMAPOPT_JMAPPUSHSUBSCRIPTIONFOLDER);
    cfg->sieve_folder = text(IMAPOPT_SIEVE_FOLDER);
    cfg->notesmailbox = text(IMAPOPT_NOTESMAILBOX);
}

static void paths_from_config(struct names_config *cfg)
{
    cfg->hashimapspool = config_getswitch(IMAPOPT_HASHIMAPSPOOL);
    cfg->fulldirhash = config_getswitch(IMAPOPT_FULLDIRHASH);
    cfg->archive_enabled = config_getswitch(IMAPOPT_ARCHIVE_ENABLED);
    cfg->metapartition_files = (uint32_t)config_getbitfield(IMAPOPT_METAPARTITION_FILES);
    cfg->configdirectory = config_dir;
    cfg->mboxname_lockpath = config_getstring(IMAPOPT_MBOXNAME_LOCKPATH);
    cfg->partition_option = partition_option;
}

void names_config_get(struct names_config *cfg)
{
    if (override) {
        *cfg = *override;
    }
    else if (!config_loaded()) {
        names_config_defaults(cfg);
    }
    else {
        *cfg = (struct names_config){ .configdirectory = NULL };
        names_from_config(cfg);
        paths_from_config(cfg);
        cfg->deleteright = names_deleteright();
        cfg->acl_admin_implies_write = names_acl_admin_implies_write();
        cfg->username_tolower = config_getswitch(IMAPOPT_USERNAME_TOLOWER);
        cfg->unix_group_enable = config_getswitch(IMAPOPT_UNIX_GROUP_ENABLE);
    }
}

const char *names_defaultdomain(void)
{
    return override ? override->defaultdomain : config_defdomain;
}

const char *names_deletedprefix(void)
{
    return override ? override->deletedprefix : text(IMAPOPT_DELETEDPREFIX);
}

char names_deleteright(void)
{
    return override ? override->deleteright : *text(IMAPOPT_DELETERIGHT);
}

bool names_acl_admin_implies_write(void)
{
    return override ? override->acl_admin_implies_write
                    : config_getswitch(IMAPOPT_ACL_ADMIN_IMPLIES_WRITE);
}

/* The words of the option stand in the order of enum mailbox_metafile. */
_Static_assert(IMAP_ENUM_METAPARTITION_FILES_HEADER == UINT64_C(1) << META_HEADER &&
                   IMAP_ENUM_METAPARTITION_FILES_INDEX == UINT64_C(1) << META_INDEX &&
                   IMAP_ENUM_METAPARTITION_FILES_CACHE == UINT64_C(1) << META_CACHE &&
                   IMAP_ENUM_METAPARTITION_FILES_ANNOTATIONS == UINT64_C(1) << META_ANNOTATIONS &&
                   IMAP_ENUM_METAPARTITION_FILES_ARCHIVECACHE == UINT64_C(1) << META_ARCHIVECACHE,
               "metapartition_files is passed on as it is");
_Static_assert((int)VIRTDOMAINS_OFF == IMAP_ENUM_VIRTDOMAINS_OFF &&
                   (int)VIRTDOMAINS_USERID == IMAP_ENUM_VIRTDOMAINS_USERID &&
                   (int)VIRTDOMAINS_ON == IMAP_ENUM_VIRTDOMAINS_ON,
               "virtdomains is passed on as it is");
