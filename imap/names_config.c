/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * names_config -- the options that decide how names, paths and rights are spelled
 */
#include <config.h>

#include "names_config.h"

#include <stddef.h>

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

void names_config_get(struct names_config *cfg)
{
    if (override)
        *cfg = *override;
    else
        names_config_defaults(cfg);
}

const char *names_defaultdomain(void)
{
    return override ? override->defaultdomain : "internal";
}

const char *names_deletedprefix(void)
{
    return override ? override->deletedprefix : "DELETED";
}

char names_deleteright(void)
{
    return override ? override->deleteright : 'c';
}

bool names_acl_admin_implies_write(void)
{
    return override && override->acl_admin_implies_write;
}
