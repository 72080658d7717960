/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_walk -- merge two UID-ordered streams of index records
 *
 * Promise: every record of both streams is handed out exactly once, in UID order,
 * beside the record of the other side with the same UID if there is one. A stream
 * is read on only after its record was handed out, whatever the other side does.
 *
 * Failure: a stream's own error, or a UID that does not rise (IMAP_MAILBOX_BADFORMAT),
 * ends the walk at once: nothing is handed out beside a record that cannot be
 * trusted. The cause of a stream's own error is logged by the stream.
 */
#include <config.h>

#include "sync_walk.h"

#include "imap_err.h"

static void end_init(struct sync_walk_end *end, struct sync_stream stream)
{
    *end = (struct sync_walk_end){ .stream = stream, .advance = stream.next != NULL };
}

void sync_walk_init(struct sync_walk *walk, struct sync_stream local, struct sync_stream remote)
{
    end_init(&walk->local, local);
    end_init(&walk->remote, remote);
    walk->error = 0;
    walk->error_uid = 0;
    walk->error_side = SYNC_WALK_END;
}

static int end_peek(struct sync_walk_end *end, uint32_t *error_uid)
{
    if (!end->advance) return 0;

    const struct index_record *rec = NULL;
    int r = end->stream.next(end->stream.rock, &rec);
    end->head = NULL;
    end->advance = false;
    if (r) {
        *error_uid = end->lastuid;
        return r;
    }
    if (!rec) return 0;
    if (rec->uid <= end->lastuid) {
        *error_uid = rec->uid;
        return IMAP_MAILBOX_BADFORMAT;
    }
    end->head = rec;
    end->lastuid = rec->uid;
    return 0;
}

static const struct index_record *end_take(struct sync_walk_end *end)
{
    end->advance = true;
    return end->head;
}

static bool walk_peek(struct sync_walk *walk, struct sync_walk_end *end, enum sync_walk_side side)
{
    walk->error = end_peek(end, &walk->error_uid);
    if (walk->error) walk->error_side = side;
    return !walk->error;
}

enum sync_walk_side sync_walk_next(struct sync_walk *walk, const struct index_record **ours,
                                   const struct index_record **theirs)
{
    *ours = *theirs = NULL;
    if (walk->error) return SYNC_WALK_END;
    if (!walk_peek(walk, &walk->local, SYNC_WALK_LOCAL)) return SYNC_WALK_END;
    if (!walk_peek(walk, &walk->remote, SYNC_WALK_REMOTE)) return SYNC_WALK_END;

    const struct index_record *a = walk->local.head;
    const struct index_record *b = walk->remote.head;

    if (!a && !b) return SYNC_WALK_END;
    if (a && (!b || a->uid <= b->uid)) *ours = end_take(&walk->local);
    if (b && (!a || b->uid <= a->uid)) *theirs = end_take(&walk->remote);

    if (*ours && *theirs) return SYNC_WALK_BOTH;
    return *ours ? SYNC_WALK_LOCAL : SYNC_WALK_REMOTE;
}

/* ---- an array ---- */

static int array_next(void *rock, const struct index_record **recp)
{
    struct sync_array *array = rock;

    if (array->pos == array->n) return 0;
    const void *at = (const char *)array->base + array->pos * array->stride;
    *recp = at;
    array->pos++;
    return 0;
}

struct sync_stream sync_stream_array(struct sync_array *array, const void *base, size_t n,
                                     size_t stride)
{
    *array = (struct sync_array){ .base = base, .n = n, .stride = stride };
    return (struct sync_stream){ array_next, array };
}
