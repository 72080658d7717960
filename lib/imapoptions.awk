# SPDX-License-Identifier: BSD-3-Clause
#
# imapoptions.awk -- from lib/imapoptions, makes one of
#   -v out=h    lib/imapopts.h: enum imapopt and the values of enums and bitfields
#   -v out=c    lib/imapopts.c: the table imapopts[]
#   -v out=man  man/imapd.conf.5: the template (-v template=FILE) with the options in it
#
# Usage: awk -v out=X -f imapoptions.awk lib/imapoptions.acted lib/imapoptions
# Bad input ends with exit 1 and the line at fault.

function die(text) {
    print FILENAME ":" FNR ": " text > "/dev/stderr"
    failed = 1
    exit 1
}

function ident(s) {
    s = toupper(s)
    gsub(/[^A-Z0-9]/, "_", s)
    return s
}

# gsub() and backslashes differ between awks, so: byte by byte.
function escape(s, chars, with,   i, c, res) {
    for (i = 1; i <= length(s); i++) {
        c = substr(s, i, 1)
        res = res (index(chars, c) ? (c == "\\" ? "\\" with : "\\" c) : c)
    }
    return res
}

function cstring(s) { return "\"" escape(s, "\\\"", "\\") "\"" }

function roff(s) {
    s = escape(s, "\\-", "e")
    return s ~ /^[.']/ ? "\\&" s : s
}

# Takes DEFAULT off the front of rest: sets dflt and isset[n].
function take_default() {
    if (substr(rest, 1, 1) == "\"") {
        end = index(substr(rest, 2), "\"")
        if (!end) die("quote is not closed")
        dflt[n] = substr(rest, 2, end - 1)
        rest = substr(rest, end + 2)
        isset[n] = 1
    } else {
        match(rest, /^[^ ]+/)
        dflt[n] = substr(rest, 1, RLENGTH)
        rest = substr(rest, RLENGTH + 1)
        isset[n] = dflt[n] != "unset"
    }
}

function take_attributes(   i, a, parts, cnt) {
    cnt = split(rest, parts, " ")
    for (i = 1; i <= cnt; i++) {
        a = parts[i]
        if (a ~ /^since=/) since[n] = substr(a, 7)
        else if (a ~ /^gone=/) gone[n] = substr(a, 6)
        else if (a ~ /^use=/) use[n] = substr(a, 5)
        else if (a ~ /^unit=[dhmsbkg]$/) unit[n] = substr(a, 6)
        else if (a ~ /^values=/) values[n] = substr(a, 8)
        else die("unknown attribute " a)
    }
}

function check_option() {
    if (type[n] !~ /^(string|int|switch|enum|stringlist|bitfield|duration|bytesize)$/)
        die("unknown type " type[n])
    if (name[n] in seen) die("option " name[n] " is there twice")
    seen[name[n]] = n
    if (since[n] == "") die("since= is missing")
    if ((type[n] == "duration" || type[n] == "bytesize") != (unit[n] != ""))
        die("unit= is for durations and byte sizes, and needed there")
    if ((type[n] ~ /^(enum|stringlist|bitfield)$/) != (values[n] != ""))
        die("values= is for enum, stringlist and bitfield, and needed there")
    if (n > 1 && own[n] == own[n - 1] && name[n] <= name[n - 1]) die("not in order: " name[n])
}

FNR == 1 { file++ }
/^#/ || /^[ \t]*$/ { next }

file == 1 {
    if (NF != 1) die("one name a line")
    acted[$1] = FNR
    next
}

$1 == "%own" { in_own = 1; next }

{
    bar = index($0, " |")
    if (!bar) die("no | before the meaning")
    n++
    own[n] = in_own + 0
    name[n] = $1
    type[n] = $2
    if (name[n] !~ /^[a-z0-9_]+$/) die("bad name " name[n])
    mean[n] = substr($0, bar + 2)
    sub(/^ +/, "", mean[n])
    rest = substr($0, 1, bar - 1)
    sub(/^[^ ]+ +[^ ]+ +/, "", rest)
    take_default()
    take_attributes()
    check_option()
}

# ---- lib/imapopts.h

function values_of(i, words) { return split(values[i], words, ",") }

function print_enum(i,   words, cnt, w, alias) {
    if (type[i] == "enum") printf "\nenum imapopt_%s {\n", name[i]
    else print ""
    cnt = values_of(i, words)
    for (w = 1; w <= cnt; w++) {
        split(words[w], alias, "=")
        printf type[i] == "enum" ? "    IMAP_ENUM_%s_%s = %d,\n" \
                                 : "#define IMAP_ENUM_%s_%s (UINT64_C(1) << %d)\n", \
            ident(name[i]), ident(alias[1]), w - 1
    }
    if (type[i] == "enum") print "};"
}

function print_header(   i) {
    print "/* SPDX-License-Identifier: BSD-3-Clause */"
    print "/* Made from lib/imapoptions by lib/imapoptions.awk; don't edit. */"
    print "#ifndef INCLUDED_IMAPOPTS_H\n#define INCLUDED_IMAPOPTS_H\n\n#include <stdint.h>\n"
    print "enum imapopt {\n    IMAPOPT_ZERO = 0,"
    for (i = 1; i <= n; i++) printf "    IMAPOPT_%s,\n", ident(name[i])
    print "    IMAPOPT_LAST\n};"
    print "\n/* config_getenum() gives one of the first kind, config_getbitfield() bits of the second. */"
    for (i = 1; i <= n; i++) if (type[i] == "enum" || type[i] == "bitfield") print_enum(i)
    print "\n#endif"
}

# ---- lib/imapopts.c

function print_values(i,   words, cnt, w, alias, na, k) {
    if (values[i] == "") return
    printf "static const struct imapopt_value %s_values[] = {\n", name[i]
    cnt = values_of(i, words)
    for (w = 1; w <= cnt; w++) {
        na = split(words[w], alias, "=")
        for (k = 1; k <= na; k++)
            printf "    { \"%s\", %s, %s },\n", alias[k], \
                (type[i] == "bitfield" ? sprintf("UINT64_C(1) << %d", w - 1) : w - 1), \
                (k > 1 ? "true" : "false")
    }
    print "    { NULL, 0, false },\n};"
}

function all_values(i,   words, cnt, w, alias, s) {
    cnt = values_of(i, words)
    for (w = 1; w <= cnt; w++) {
        split(words[w], alias, "=")
        s = s (w > 1 ? " " : "") alias[1]
    }
    return s
}

function print_row(i,   d) {
    d = dflt[i]
    if (type[i] == "bitfield" && d == "all") d = all_values(i)
    printf "    [IMAPOPT_%s] = {\n        .name = \"%s\", .type = IMAPOPT_TYPE_%s, .dflt = %s,\n", \
        ident(name[i]), name[i], ident(type[i]), isset[i] ? cstring(d) : "NULL"
    printf "        .since = \"%s\", .gone = %s, .use = %s,\n", since[i], \
        gone[i] == "" ? "NULL" : cstring(gone[i]), \
        use[i] == "" ? "IMAPOPT_ZERO" : "IMAPOPT_" ident(use[i])
    printf "        .unit = %s, .values = %s, .own = %s, .acted = %s,\n    },\n", \
        unit[i] == "" ? "0" : "'" unit[i] "'", values[i] == "" ? "NULL" : name[i] "_values", \
        own[i] ? "true" : "false", (name[i] in acted) ? "true" : "false"
}

function print_table(   i) {
    print "/* SPDX-License-Identifier: BSD-3-Clause */"
    print "/* Made from lib/imapoptions by lib/imapoptions.awk; don't edit. */"
    print "#include <config.h>\n\n#include \"imapopt_table.h\"\n"
    for (i = 1; i <= n; i++) print_values(i)
    print "\nconst struct imapopt_def imapopts[IMAPOPT_LAST] = {"
    for (i = 1; i <= n; i++) print_row(i)
    print "};"
}

# ---- man/imapd.conf.5

function man_default(i) {
    if (!isset[i]) return "unset"
    if (dflt[i] == "") return "empty"
    return dflt[i]
}

function print_man_option(i,   words) {
    print ".TP"
    printf ".B %s:\n.RI ( %s , \" default: \" \"%s\" )\n.br\n", roff(name[i]), type[i], \
        roff(man_default(i))
    if (mean[i] != "") print roff(mean[i]) "."
    if (gone[i] != "")
        print "Deprecated since version " gone[i] \
            (use[i] == "" ? "; accepted and ignored." : ", use \\fB" roff(use[i]) "\\fR.")
    if (unit[i] != "") print "A number without a unit is in \\fB" unit[i] "\\fR."
    if (values[i] != "") {
        words = values[i]
        gsub(/,/, ", ", words)
        print "Values: " roff(words) "."
    }
    if (own[i]) print "Not known to other servers."
    else if (!(name[i] in acted)) print "Accepted, and not acted on by this server."
}

function print_man(   line, i) {
    while ((getline line < template) > 0) {
        if (line == "@OPTIONS@" || line == "@OWN_OPTIONS@") {
            for (i = 1; i <= n; i++)
                if (own[i] == (line == "@OWN_OPTIONS@")) print_man_option(i)
        } else print line
    }
}

END {
    if (failed) exit 1
    for (a in acted) if (!(a in seen)) {
        print "imapoptions.acted: no option named " a > "/dev/stderr"
        exit 1
    }
    for (i = 1; i <= n; i++) if (use[i] != "" && !(use[i] in seen)) {
        print "imapoptions: " name[i] " points at " use[i] > "/dev/stderr"
        exit 1
    }
    if (out == "h") print_header()
    else if (out == "c") print_table()
    else if (out == "man") print_man()
    else {
        print "imapoptions.awk: -v out=h, c or man" > "/dev/stderr"
        exit 1
    }
}
