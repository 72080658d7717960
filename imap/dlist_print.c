/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dlist_print -- the text of a tree of named values (handbook 01 §1.9, 03 §1.6, §1.7)
 *
 * Text is gathered in a buffer, which goes to the stream when it has grown; message
 * files go there directly from their mapping. A file is read and its SHA-1
 * compared before its first byte is sent: what is not the message is NIL.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dlist_int.h"
#include "prot.h"
#include "xsyslog.h"

struct printer {
    struct buf *text;
    struct protstream *out; /* NULL: all goes to text */
    bool plus;
};

static void spill(struct printer *pr, size_t limit)
{
    if (!pr->out || pr->text->len <= limit) return;
    prot_putbuf(pr->out, pr->text);
    buf_reset(pr->text);
}

/* A whole file of that size as a view. 0 or -errno. */
static int map_file(const char *path, uint64_t size, struct buf *view)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) return -errno;
    int r = fstat(fd, &st) ? -errno : 0;
    if (!r && (uint64_t)st.st_size != size) r = -EBADMSG;
    if (!r) r = buf_init_mmap(view, fd, 0, (size_t)size);
    close(fd);
    return r;
}

static bool is_message(const struct dlist *dl, const struct buf *data)
{
    struct message_guid guid;

    message_guid_generate(&guid, data->s, data->len);
    return message_guid_equal(&guid, &dl->extra->guid);
}

static void print_filedata(const struct dlist *dl, const struct buf *data, struct printer *pr)
{
    char guid[MESSAGE_GUID_STRLEN];
    const char *part = dl->extra->partition;

    buf_appendcstr(pr->text, "%{");
    dlist_printstring(pr->text, part, strlen(part), pr->plus);
    buf_printf(pr->text, " %s %zu}\r\n", message_guid_encode(&dl->extra->guid, guid), data->len);
    if (!pr->out) {
        buf_append(pr->text, data);
        return;
    }
    spill(pr, 0);
    prot_putbuf(pr->out, data);
}

static void print_file(const struct dlist *dl, struct printer *pr)
{
    struct buf data = BUF_INITIALIZER;
    const char *path = dl->sval ? dl->sval : "(memory)";
    int r = 0;

    if (dl->sval)
        r = map_file(dl->sval, dl->nval, &data);
    else
        buf_init_ro(&data, dl->extra->data.s, dl->extra->data.len);
    if (!r && !is_message(dl, &data)) r = -EBADMSG;
    if (r) {
        char guid[MESSAGE_GUID_STRLEN];
        xsyslog_errno(LOG_ERR, r, "IOERROR: message cannot be sent",
                      "filename=<%s> size=<%" PRIu64 "> guid=<%s>", path, dl->nval,
                      message_guid_encode(&dl->extra->guid, guid));
        buf_appendcstr(pr->text, "NIL");
    }
    else {
        print_filedata(dl, &data, pr);
    }
    buf_free(&data);
}

static void print_name(const struct dlist *dl, struct printer *pr)
{
    const char *name = dl->name ? dl->name : "";

    dlist_printstring(pr->text, name, strlen(name), pr->plus);
    buf_putc(pr->text, ' ');
}

static void print_item(const struct dlist *dl, struct printer *pr);

static void print_children(const struct dlist *dl, struct printer *pr)
{
    for (const struct dlist *item = dl->head; item; item = item->next) {
        if (item != dl->head) buf_putc(pr->text, ' ');
        if (dl->type == DL_KVLIST) print_name(item, pr);
        print_item(item, pr);
    }
    buf_putc(pr->text, ')');
}

/* Bare; but what would be read back as no value is quoted. */
static void print_flag(const struct dlist *dl, struct printer *pr)
{
    if (!dl->slen || !strcmp(dl->sval, "NIL"))
        buf_printf(pr->text, "\"%s\"", dl->sval);
    else
        buf_appendmap(pr->text, dl->sval, dl->slen);
}

static void print_item(const struct dlist *dl, struct printer *pr)
{
    switch (dl->type) {
    case DL_NIL: buf_appendcstr(pr->text, "NIL"); break;
    case DL_ATOM:
    case DL_BUF: dlist_printstring(pr->text, dl->sval, dl->slen, pr->plus); break;
    case DL_FLAG: print_flag(dl, pr); break;
    case DL_NUM:
    case DL_HEX:
    case DL_GUID: buf_appendmap(pr->text, dl->sval, dl->slen); break;
    case DL_FILE: print_file(dl, pr); break;
    case DL_LIST:
        buf_putc(pr->text, '(');
        print_children(dl, pr);
        break;
    case DL_KVLIST:
        buf_appendcstr(pr->text, "%(");
        print_children(dl, pr);
        break;
    }
    spill(pr, PROT_BUFSIZE);
}

void dlist_printbuf(const struct dlist *dl, bool printkeys, struct buf *out)
{
    struct printer pr = { .text = out, .plus = true };

    if (printkeys) print_name(dl, &pr);
    print_item(dl, &pr);
}

int dlist_print(const struct dlist *dl, bool printkeys, struct protstream *out)
{
    struct buf text = BUF_INITIALIZER;
    struct printer pr = { .text = &text, .out = out, .plus = prot_isclient(out) };

    if (printkeys) print_name(dl, &pr);
    print_item(dl, &pr);
    spill(&pr, 0);
    buf_free(&text);
    return prot_error(out) ? EOF : 0;
}
