"""Attempt directories: what a guarded command leaves on its host, as sh text; nothing is run here.

A guarded command makes a directory of its own there before it begins: whoever manages to make it
runs the command, everybody else gets what became of it. So a command whose worker died, or whose
connection was cut, can be asked for again: it has ended (its rc and output are there), still runs
(it is followed), or never began (then it is run now). ``/var/tmp`` is a local disk on every host,
and survives a restart, unlike ``/tmp``; a home may be on a file server.

The directory holds ``pid`` (process, process group, what identifies the process among all that
ever had its number, digest of the command: a line each), ``out``, ``err``, and in the end ``rc``.
``pid`` and ``rc`` count only once their last newline is there.
"""

from __future__ import annotations

import hashlib
import re

from opsrunner.remote import GUARD_REFUSED_MESSAGE, GUARD_REFUSED_RC, GUARD_UNKNOWN_MESSAGE, GUARD_UNKNOWN_RC

#: Where the directories of each user are, by number.
BASE = "/var/tmp/opsrunner-$(id -u)"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


def guarded(name: str, *, digest: str, size: int, nonce: str, own_group: bool) -> str:
    """sh text that runs its ``$1`` under the attempt ``name``, or tells what became of it.

    ``digest`` tells commands apart, ``size`` bytes come by standard input. ``own_group``: its process
    group holds nothing but the command, whoever leads it. The text says ``NONCE i GROUP`` when it
    knows which group runs the command. Raises ValueError for a name that is no plain file name.
    """
    filled = {
        "BASE": BASE,
        "NAME": checked(name),
        "NONCE": nonce,
        "SIZE": str(size),
        "DIGEST": digest,
        "OWN": "true" if own_group else "false",
        "REFUSED": GUARD_REFUSED_MESSAGE,
        "REFUSED_RC": str(GUARD_REFUSED_RC),
        "UNKNOWN": GUARD_UNKNOWN_MESSAGE,
        "UNKNOWN_RC": str(GUARD_UNKNOWN_RC),
        "IDENTIFY": IDENTIFY.lstrip("\n"),
    }
    text = _FUNCTIONS + (_SPOOL if size else "") + _MAIN
    return re.sub(r"@([A-Z_]+)@", lambda found: filled[found[1]], text)


def digest(text: bytes, stdin: bytes) -> str:
    """What tells one command from another: an answer is never taken for another command's."""
    return hashlib.sha256(text + b"\0" + stdin).hexdigest()[:32]


def cleanup_line(*prefixes: str) -> str:
    """sh text that removes the current user's attempts named ``PREFIX.…``, of a run or of one step.

    Removing an attempt that still runs makes it forgotten: the command would be run again.
    """
    names = " ".join(f'"$guard_base"/{checked(prefix)}.*' for prefix in prefixes)
    return f'guard_base={BASE}\n[ ! -O "$guard_base" ] || [ -L "$guard_base" ] || rm -rf -- {names}'


def place(name: str) -> str:
    """Where the attempt's directory is, for people."""
    return f"{BASE.replace('$(id -u)', 'UID')}/{name}"


def checked(name: str) -> str:
    """The name, when it is safe as a part of a path and of sh text. Raises ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for an attempt")
    return name


#: sh text: ``identify PID`` sets guard_who to what tells that process from all that ever had its number ("" when it is
#: gone), and guard_group to its process group.
IDENTIFY = r"""
identify() {
  guard_who= guard_group=$1
  if read -r guard_boot </proc/sys/kernel/random/boot_id && read -r guard_stat <"/proc/$1/stat"; then
    set -- ${guard_stat##*) }
    case $1 in [ZX]) ;; *) guard_who="$guard_boot ${20}" guard_group=$3 ;; esac
  else guard_who=$(echo $(ps -o lstart= -p "$1")); fi
} 2>/dev/null
"""

# How it works, and why so (comments in the text itself would travel with every command):
#
# * The command is the shell's foreground child, its output goes to files: a cut link cannot hurt it,
#   and the shell that waits for it is the one that records rc. What copies the files to the link runs
#   beside it and is woken by USR1, so that the end is told at once however long the naps are.
#   It is started by exec in brackets, as dash would have its own "Killed" in err otherwise.
# * The files are opened once (4 and 5): every cat goes on where the one before stopped, whoever ran it.
# * TERM (a cancellation) must not end the shell before its command: it waits, records, and passes on
#   the last words. Traps are undone in the command. Where the server gives no process group of its
#   own, only this process is signalled, and then it has to obey. Who joins goes when the command has.
# * SIGPIPE is ignored until the command begins: a link that is cut just then must not leave a
#   directory without a command.
# * Input is taken as a whole before anything begins: a link that is cut looks to the command like the
#   end of its input, and it would "succeed" with half of it. The file is unlinked as soon as it is open.
# * Names begin with guard_, as an exported variable of the host with that name would be changed.
_FUNCTIONS = r"""
guard_base=@BASE@
guard_dir=$guard_base/@NAME@ guard_input=/dev/null
begin() { echo @NONCE@ i "$1" 2>/dev/null; trap - PIPE; }
refuse() { begin $$; echo "@REFUSED@: $1" >&2; exit @REFUSED_RC@; }
unknown() { echo "@UNKNOWN@: $1 ($guard_dir)" >&2; exit @UNKNOWN_RC@; }
@IDENTIFY@known() { read -r guard_pid && read -r guard_group && read -r guard_was && read -r guard_digest; }
recorded() { known <"$guard_dir/pid"; } 2>/dev/null
ended() { read -r guard_rc <"$guard_dir/rc"; } 2>/dev/null
alive() { (identify "$guard_pid"; [ -n "$guard_who" ] && [ "$guard_who" = "$guard_was" ]); }
copy() {
  if [ -s "$guard_dir/out" ]; then cat <&4 || exit; fi
  if [ -s "$guard_dir/err" ]; then cat <&5 >&2 || exit; fi; }
nap() { sleep "$1" & wait $! || { sleep 1 & wait $!; }; } </dev/null >/dev/null 2>&1
follow() { set -- .01 .02 .05 .1 .2 .3; until over; do copy; nap "$1"; [ $# = 1 ] || shift; done; }
own() {
  [ "$guard_input" = /dev/null ] || rm -f "$guard_input"
  begin "$guard_group"
  (trap "" TERM; trap exit USR1; over() { false; }; follow) </dev/null &
  guard_follower=$!
  [ "$guard_group" = $$ ] || @OWN@ && trap : TERM
  { (exec /bin/sh -c "$1") >>"$guard_dir/out" 2>>"$guard_dir/err" 4<&- 5<&-; guard_rc=$?; } 2>/dev/null
  { echo $guard_rc >"$guard_dir/rc"; } 2>/dev/null
  { kill -s USR1 $guard_follower; wait $guard_follower; } 2>/dev/null
  copy
  exit $guard_rc; }
join() {
  if ended || ! alive; then guard_group=$$; fi
  trap "" TERM
  begin "$guard_group"
  over() { ended || ! alive; }
  follow
  if ended; then copy; exit "$guard_rc"; fi
  copy; unknown "its processes were killed, or the host was restarted"; }
[ -d "$guard_base" ] || mkdir -m 700 "$guard_base" 2>/dev/null
if [ ! -d "$guard_base" ] || [ -L "$guard_base" ] || [ ! -O "$guard_base" ]; then
  refuse "$guard_base is not a directory of this user"
fi
"""

_SPOOL = r"""
if [ ! -d "$guard_dir" ]; then
  guard_input=$guard_dir.@NONCE@
  { head -c @SIZE@ >"$guard_input" && [ "$(wc -c <"$guard_input")" -eq @SIZE@ ]; } 2>/dev/null ||
    { rm -f "$guard_input"; refuse "not all of the input could be stored in $guard_base"; }
fi
"""

_MAIN = r"""
if guard_said=$(mkdir -m 700 "$guard_dir" 2>&1); then
  identify $$
  [ "$guard_group" = $$ ] || @OWN@ || guard_group=$$
  {
    printf "" >"$guard_dir/out" && printf "" >"$guard_dir/err" &&
    printf "%s\n" $$ "$guard_group" "$guard_who" @DIGEST@ >"$guard_dir/pid"
  } 2>/dev/null && own "$1" <"$guard_input" 4<"$guard_dir/out" 5<"$guard_dir/err"
  rm -rf "$guard_dir" "$guard_dir.@NONCE@"
  refuse "cannot write into $guard_dir"
fi
[ "$guard_input" = /dev/null ] || rm -f "$guard_input"
[ -d "$guard_dir" ] || refuse "$guard_said"
set -- 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1
until recorded; do
  [ $# -gt 0 ] || { begin $$; unknown "it was about to begin, and left no trace"; }
  shift; nap .1
done
[ "$guard_digest" = @DIGEST@ ] || { begin $$; unknown "another command was begun under this name"; }
join 4<"$guard_dir/out" 5<"$guard_dir/err"
begin $$; unknown "its directory was removed"
"""
