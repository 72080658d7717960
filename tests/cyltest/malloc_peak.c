/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * malloc_peak -- a preloaded library: the most bytes that a process had from malloc() at one time
 *
 * At its end a process appends the line "PROGRAM PID BYTES" to the file $MALLOC_PEAK_FILE. Counted is
 * what the allocator gives, with what it rounds up; the same run gives the same number. glibc only.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t align, size_t n);
extern void __libc_free(void *p);

static atomic_size_t now, peak;
static char name[64];

static void *more(void *p)
{
    size_t all = atomic_fetch_add(&now, malloc_usable_size(p)) + malloc_usable_size(p);
    size_t most = atomic_load(&peak);

    while (all > most && !atomic_compare_exchange_weak(&peak, &most, all)) continue;
    return p;
}

static void less(void *p)
{
    atomic_fetch_sub(&now, malloc_usable_size(p));
}

void *malloc(size_t n)
{
    return more(__libc_malloc(n));
}

void *calloc(size_t n, size_t size)
{
    return more(__libc_calloc(n, size));
}

void *realloc(void *p, size_t n)
{
    size_t old = malloc_usable_size(p);
    void *q = __libc_realloc(p, n);

    if (q || !n) atomic_fetch_sub(&now, old);
    return q ? more(q) : q;
}

void *memalign(size_t align, size_t n)
{
    return more(__libc_memalign(align, n));
}

void *aligned_alloc(size_t align, size_t n)
{
    return memalign(align, n);
}

int posix_memalign(void **pp, size_t align, size_t n)
{
    *pp = memalign(align, n);
    return *pp ? 0 : ENOMEM;
}

void free(void *p)
{
    less(p);
    __libc_free(p);
}

/* The arguments are written over by who sets the title of his process. */
__attribute__((constructor)) static void begin(void)
{
    snprintf(name, sizeof(name), "%s", program_invocation_short_name);
}

__attribute__((destructor)) static void end(void)
{
    const char *path = getenv("MALLOC_PEAK_FILE");
    char line[128];
    int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666) : -1;
    int n = snprintf(line, sizeof(line), "%s %d %zu\n", name, (int)getpid(), atomic_load(&peak));

    if (fd < 0) return;
    if (write(fd, line, (size_t)n) != n) abort();
    close(fd);
}
