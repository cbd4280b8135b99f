# man.awk: the man page of a command, out of what `cairn COMMAND --help` says, so that the two agree.

function escaped(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    return text ~ /^[.']/ ? "\\\\&" text : text
}
function say(text) { print escaped(text) }
function end_block() { if (block) print ".Ed"; block = 0 }
# lines that stand as they are
function as_it_is(text) {
    if (!block) print ".Bd -literal -offset indent"
    block = 1
    say(text)
}

NR == 1 {
    name = $2
    summary = substr($0, index($0, " - ") + 3)
    print ".Dd " date
    print ".Dt CAIRN-" toupper(name) " 1"
    print ".Os"
    print ".Sh NAME"
    print ".Nm cairn-" name
    print ".Nd " escaped(summary)
    next
}
/^Usage: / {
    print ".Sh SYNOPSIS"
    as_it_is(substr($0, 8))
    end_block()
    print ".Sh DESCRIPTION"
    next
}
# of a command that has several forms
/^Usage:$/ { end_block(); print ".Sh SYNOPSIS"; in_usage = 1; next }
/^Options:$/ { end_block(); print ".Sh OPTIONS"; print ".Bl -tag -width indent"; in_options = 1; next }
in_options && /^  --/ {
    option = substr($0, 3)
    text = ""
    if (match(option, /  +/)) {
        text = substr(option, RSTART + RLENGTH)
        option = substr(option, 1, RSTART - 1)
    }
    split(option, parts, " ")
    print ".It Fl " escaped(substr(parts[1], 2)) (parts[2] != "" ? " Ar " escaped(parts[2]) : "")
    if (text != "") say(text)
    next
}
in_options && /^ +[^ ]/ { sub(/^ +/, ""); say($0); next }
in_options && /^$/ { print ".El"; in_options = 0; next }
in_usage && /^$/ { end_block(); in_usage = 0; next }
/^  / { as_it_is(substr($0, 3)); was_text = 0; next }
/^$/ { end_block(); if (was_text) pending = 1; was_text = 0; next }
{
    end_block()
    if (!in_description++ && !/^Exit status/ && name == "verify") print ".Sh DESCRIPTION"
    else if (pending) print ".Pp"
    pending = 0
    was_text = 1
    say($0)
}
END {
    end_block()
    if (in_options) print ".El"
    print ".Sh SEE ALSO"
    print ".Xr cairn 1"
}
