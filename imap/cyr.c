/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyr -- runs a program for one instance of this machine, or for all
 *
 *     cyr -i instance command [argument...]
 *     cyr -a [-q] command [argument...]
 *     cyr -l
 *
 * An instance is a file <sysconfdir>/instances.d/NAME.conf (CYRUS_INSTANCES names another directory), an imapd.conf; all that belongs to the
 * instance follows from it. The command is a program of this package, beside cyr itself or where it was installed, and gets the file
 * by -C. Names have no slashes, so neither leads anywhere else.
 *
 * With -i the program takes the place of this one, so its exit code, its signals and its terminal are its own. With -a each instance has a
 * process, one after the other, and none keeps the others back.
 *
 * Exit: 64 usage, 66 no such instance (or none at all), 126 and 127 the command can't be run, or is not there, as of a shell; -a: 0 when
 * all have ended with 0, 1 when one has not.
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "exitcodes.h"
#include "global.h"
#include "strarray.h"
#include "util.h"

#define SUFFIX ".conf"
#define EX_CANTRUN 126
#define EX_NOTTHERE 127

static const char usage_text[] = "Usage: cyr -i INSTANCE COMMAND [ARGUMENT...]\n"
                                 "       cyr -a [-q] COMMAND [ARGUMENT...]\n"
                                 "       cyr -l\n"
                                 "  -i  run the command for this instance\n"
                                 "  -a  run it for all instances, one after the other; -q: without a line for each\n"
                                 "  -l  list the instances and their files\n"
                                 "Instances are the files NAME.conf of " SYSCONFDIR "/instances.d, or of $CYRUS_INSTANCES.\n"
                                 "  --help, --version\n";

static void usage(void)
{
    fputs(usage_text, stderr);
    exit(EX_USAGE);
}

/* ---- instances ---- */

static const char *directory(void)
{
    const char *dir = getenv("CYRUS_INSTANCES");

    return dir && *dir ? dir : SYSCONFDIR "/instances.d";
}

static bool is_good_name(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!cyr_isalnum(name[i]) && !strchr("._-", name[i])) return false;
    return len && *name != '.' && *name != '-';
}

static void conf_path(const char *name, struct buf *path)
{
    buf_reset(path);
    buf_printf(path, "%s/%s" SUFFIX, directory(), name);
}

/* Sorted. False: the directory can't be read; said. */
static bool list_instances(strarray_t *names)
{
    DIR *d = opendir(directory());

    if (!d) {
        fprintf(stderr, "cyr: %s: %s\n", directory(), strerror(errno));
        return false;
    }
    for (const struct dirent *e; (e = readdir(d));) {
        size_t len = strlen(e->d_name);
        if (len <= strlen(SUFFIX) || strcmp(e->d_name + len - strlen(SUFFIX), SUFFIX) != 0) continue;
        len -= strlen(SUFFIX);
        if (!is_good_name(e->d_name, len)) continue;
        char *name = strndup(e->d_name, len);
        if (name) strarray_appendm(names, name);
    }
    closedir(d);
    strarray_sort(names, cmpstringp_raw);
    return true;
}

static int print_instances(void)
{
    strarray_t names = STRARRAY_INITIALIZER;
    struct buf path = BUF_INITIALIZER;
    bool read = list_instances(&names);

    for (int i = 0; i < strarray_size(&names); i++) {
        conf_path(strarray_nth(&names, i), &path);
        printf("%s\t%s\n", strarray_nth(&names, i), buf_cstring(&path));
    }
    buf_free(&path);
    strarray_fini(&names);
    return read ? EX_OK : EX_NOINPUT;
}

/* ---- programs ---- */

static bool program_in(const char *dir, const char *command, struct buf *path)
{
    buf_reset(path);
    buf_printf(path, "%s/%s", dir, command);
    return !access(buf_cstring(path), X_OK);
}

/* Beside this program (a build tree, or a package somewhere else), or where it was installed. */
static bool find_program(const char *command, struct buf *path)
{
    static const char *const dirs[] = { SBINDIR, LIBEXECDIR };
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash = NULL;

    if (n > 0) {
        self[n] = '\0';
        slash = strrchr(self, '/');
    }
    if (slash) *slash = '\0';
    if (slash && program_in(self, command, path)) return true;
    for (size_t i = 0; i < array_size(dirs); i++)
        if (program_in(dirs[i], command, path)) return true;
    return false;
}

struct command {
    struct buf program;
    char **args; /* of the command line: its name, then its arguments */
};

static void find_command(struct command *cmd, char **args)
{
    cmd->args = args;
    if (!args[0]) usage();
    if (is_good_name(args[0], strlen(args[0])) && find_program(args[0], &cmd->program)) return;
    fprintf(stderr, "cyr: %s: no such command\n", args[0]);
    exit(EX_NOTTHERE);
}

/* Returns only when that can't be done: exit code. */
static int run_here(const struct command *cmd, const char *instance)
{
    struct buf conf = BUF_INITIALIZER;
    size_t n = 0;

    conf_path(instance, &conf);
    if (!is_good_name(instance, strlen(instance)) || access(buf_cstring(&conf), R_OK)) {
        fprintf(stderr, "cyr: no instance %s: %s\n", instance,
                is_good_name(instance, strlen(instance)) ? strerror(errno) : "that is no name of one");
        buf_free(&conf);
        return EX_NOINPUT;
    }
    while (cmd->args[n]) n++;
    char **argv = calloc(n + 3, sizeof(*argv));
    if (!argv) return EX_OSERR;
    argv[0] = cmd->args[0];
    argv[1] = (char *)(uintptr_t)"-C";
    argv[2] = conf.s;
    memcpy(argv + 3, cmd->args + 1, n * sizeof(*argv)); /* with the NULL */
    execv(cmd->program.s, argv);
    fprintf(stderr, "cyr: %s: %s\n", cmd->program.s, strerror(errno));
    free(argv);
    buf_free(&conf);
    return EX_CANTRUN;
}

/* ---- for all ---- */

static volatile sig_atomic_t stopped;

static void on_signal(int signo)
{
    stopped = signo;
}

static void catch_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal };

    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

/* Nobody reads what was meant for all. */
static void no_input(void)
{
    int null = open("/dev/null", O_RDONLY);

    if (null > 0) {
        (void)dup2(null, 0);
        close(null);
    }
}

static int wait_for(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0)
        if (errno == EINTR && stopped) kill(pid, SIGTERM);
    return status;
}

/* True: it ended with 0. */
static bool run_one(const struct command *cmd, const char *instance)
{
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        no_input();
        _exit(run_here(cmd, instance));
    }
    if (pid < 0) {
        fprintf(stderr, "cyr: %s: %s: %s\n", instance, cmd->args[0], strerror(errno));
        return false;
    }
    int status = wait_for(pid);
    if (WIFSIGNALED(status))
        fprintf(stderr, "cyr: %s: %s: killed by signal %d\n", instance, cmd->args[0], WTERMSIG(status));
    else if (status)
        fprintf(stderr, "cyr: %s: %s: exit %d\n", instance, cmd->args[0], WEXITSTATUS(status));
    return !status;
}

static int run_all(const struct command *cmd, bool quiet)
{
    strarray_t names = STRARRAY_INITIALIZER;
    int failed = 0;

    if (!list_instances(&names)) return EX_NOINPUT;
    if (!strarray_size(&names)) fprintf(stderr, "cyr: %s: no instances\n", directory());
    int code = strarray_size(&names) ? EX_OK : EX_NOINPUT;
    catch_signals();
    for (int i = 0; i < strarray_size(&names) && !stopped; i++) {
        if (!quiet) printf("== %s\n", strarray_nth(&names, i));
        failed += !run_one(cmd, strarray_nth(&names, i));
    }
    strarray_fini(&names);
    if (stopped) return 128 + stopped;
    return failed ? 1 : code;
}

int main(int argc, char **argv)
{
    const char *instance = NULL;
    bool all = false, list = false, quiet = false;
    struct command cmd = { .program = BUF_INITIALIZER };
    int opt;

    if (argc > 1 && !strncmp(argv[1], "--", 2)) cyrus_std_options(argc, argv, usage_text);
    while ((opt = getopt(argc, argv, "+ai:lq")) != EOF) {
        switch (opt) {
        case 'a': all = true; break;
        case 'i': instance = optarg; break;
        case 'l': list = true; break;
        case 'q': quiet = true; break;
        default: usage();
        }
    }
    if (all + list + !!instance != 1 || (quiet && !all) || (list && argv[optind])) usage();
    if (list) return print_instances();
    find_command(&cmd, argv + optind);
    int code = all ? run_all(&cmd, quiet) : run_here(&cmd, instance);
    buf_free(&cmd.program);
    return code;
}
