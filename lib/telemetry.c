/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * telemetry -- protocol traces for users whose log directory exists
 *
 * The directory is the switch: without it nothing is opened. The file is opened for appending and begins
 * with a line that says who and when. A trace that can't be written is logged once and left out.
 */
#include <config.h>

#include "telemetry.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "diskio.h"
#include "libconfig.h"
#include "prot.h"
#include "sessionid.h"
#include "xsyslog.h"

static bool is_name(const char *s)
{
    return s && *s && *s != '.' && !strchr(s, '/');
}

static int write_head(int fd, const char *userid)
{
    struct buf head = BUF_INITIALIZER;
    time_t now = time(NULL);
    char when[32];

    buf_printf(&head, "---------- %s %s\n", userid, ctime_r(&now, when) ? when : "\n");
    int r = diskio_write(fd, buf_base(&head), buf_len(&head));
    buf_free(&head);
    return r;
}

int telemetry_start(const char *configdir, const char *userid, const char *suffix,
                    struct protstream *in, struct protstream *out)
{
    struct buf path = BUF_INITIALIZER;
    struct stat st;
    int fd = -1;

    if (!is_name(userid) || !is_name(suffix)) return -1;
    buf_printf(&path, "%s/log/%s", configdir, userid);
    if (!stat(buf_cstring(&path), &st) && S_ISDIR(st.st_mode)) {
        buf_printf(&path, "/%s", suffix);
        fd = diskio_open(buf_cstring(&path), O_WRONLY | O_APPEND | O_CREAT, 0644);
        int r = fd < 0 ? fd : write_head(fd, userid);
        if (r) {
            xsyslog_errno(LOG_ERR, r, "IOERROR: can't write telemetry", "filename=<%s>",
                          buf_cstring(&path));
            if (fd >= 0) (void)diskio_close(fd);
            fd = -1;
        }
    }
    buf_free(&path);
    if (fd < 0) return -1;
    prot_setlog(in, fd);
    prot_setlog(out, fd);
    return fd;
}

int telemetry_log(const char *userid, const char *sessionid, struct protstream *in,
                  struct protstream *out)
{
    struct buf suffix = BUF_INITIALIZER;

    if (sessionid && config_getswitch(IMAPOPT_TELEMETRY_BYSESSIONID))
        buf_setcstr(&suffix, sessionid);
    else
        buf_printf(&suffix, "%s-%d", config_ident ? config_ident : "cyrus", (int)getpid());
    int fd = telemetry_start(config_dir, userid, buf_cstring(&suffix), in, out);
    buf_free(&suffix);
    return fd;
}

void telemetry_stop(int fd, struct protstream *in, struct protstream *out)
{
    if (fd < 0) return;
    prot_setlog(in, -1);
    prot_setlog(out, -1);
    (void)diskio_close(fd);
}

void telemetry_traffic(const struct protstream *in, const struct protstream *out)
{
    if (!config_getswitch(IMAPOPT_AUDITLOG)) return;
    syslog(LOG_NOTICE,
           "auditlog: traffic sessionid=<%s> bytes_in=<%" PRIu64 "> bytes_out=<%" PRIu64 ">",
           session_id(), prot_bytes(in), prot_bytes(out));
}
