/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * service_notify -- what a service tells master (handbook 05 §1.8, §1.9)
 *
 * A record is smaller than PIPE_BUF, so records of several processes on the one pipe
 * never mix.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "global.h"
#include "service.h"
#include "xsyslog.h"

int service_notify(int message)
{
    struct notify_message record = { .message = message, .service_pid = getpid() };
    ssize_t n;

    if (service_is_standalone()) return 0;
    do {
        n = write(STATUS_FD, &record, sizeof(record));
    } while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof(record)) return 0;

    int r = n < 0 ? -errno : -EIO;
    syslog(LOG_ERR, "unable to tell master %d: %s", message, strerror(-r));
    return r;
}

void service_daemon_ready(void)
{
    static const char ready[] = "ok\r\n";
    int flags;

    /* Nobody waits: descriptor 3 is /dev/null, open for reading, or something of our own. */
    if (!cyrus_isdaemon()) return;
    flags = fcntl(STATUS_FD, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) return;

    ssize_t n = write(STATUS_FD, ready, sizeof(ready) - 1);
    if (n != (ssize_t)sizeof(ready) - 1)
        syslog(LOG_INFO, "unable to tell master that we are ready: %m");
    close(STATUS_FD);
}
