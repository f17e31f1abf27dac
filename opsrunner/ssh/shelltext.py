"""The sh text of the long-lived shell on a host, as text; nothing is run here.

The shell reads its script from standard input, a line or more for each command. Every command is a
process of its own (``/bin/sh -c``, as over a channel of its own), in a session of its own, so that
nothing it does to itself (exit, exec, traps, umask, directories, closed files) reaches the shell.
"""

from __future__ import annotations

import shlex

from opsrunner.launch import Launch

#: What the login shell is asked to run; the word behind -s is for who reads the host's list of processes.
SHELL_LINE = "exec /bin/sh -s opsrunner"
#: Bytes of input that a command may be given there; a pipe holds as much, so nobody waits for a reader.
INPUT_LIMIT = 32_768


def boot(nonce: str) -> bytes:
    """What the shell reads first. It answers as to :func:`greeting`, or ends where it cannot serve."""
    return _BOOT.encode() + greeting(nonce)


def greeting(nonce: str) -> bytes:
    """Has the shell say ``NONCE 0 free`` on both streams: it is there, and nothing else was said."""
    return f"opsrunner_end {nonce} 0 free\n".encode()


def servable(launch: Launch) -> bool:
    """Whether a shell can be asked for it: not raw text, and no input but a little that is known beforehand."""
    if not launch.marked or launch.no_input:
        return launch.marked
    return not launch.asks and len(launch.input) <= INPUT_LIMIT and b"\0" not in launch.input


def frame(launch: Launch, nonce: str) -> bytes:
    """Has the shell run a command; ``nonce``, of letters and digits, is never shown to it."""
    given = "none ''" if launch.no_input else f"some {shlex.quote(launch.input.decode('utf-8', 'surrogateescape'))}"
    # In braces: of a line that was cut short, as its connection broke, no part is run.
    return f"{{ opsrunner_run {nonce} {given} {launch.program}; }}\n".encode("utf-8", "surrogateescape")


# How it works, and why so:
#
# * The channel's streams are 3 and 4; the command gets them as 1 and 2 and nothing else. What the
#   shell itself says ("Terminated") goes nowhere.
# * A process that a command leaves behind may hold the streams, and write while the next command
#   runs. So the shell looks, after every command, at each process that was begun since: the kernel
#   gives numbers in order, and the last one is in /proc/loadavg. It looks until no new one has come,
#   as a daemon's first process ends after it has begun the second. Where one holds a stream, or cannot
#   be looked at, or there were too many, it says "held" and ends: the channel then tells when the
#   streams are closed, as a channel of the command's own would have. Where the numbers have begun
#   anew meanwhile, all processes are looked at.
# * A file that was closed or replaced while it was looked at may have been moved: a process holds nothing
#   when it was found so twice, one right behind the other.
# * Threads of the kernel hold nothing, nor do new threads of processes that were there before, though a
#   login that is not root may not look at them.
# * Input goes through printf, which must be the shell's own: it may be a secret, and ps shows arguments.
# * A shell that cannot fork ends itself. It says so, where the command has not begun.
# * TERM and the like, sent by a command to its parent, must not end the shell. They are caught, not
#   ignored: what is caught is undone in the command.
# * The shell itself stands in /, to be in nobody's way, and enters the login's directory for each command.
# * hidepid hides other people's processes from a login: /proc/1 tells, and a command may set it.
# * Before the shell says that it is there, it begins a process as it would a command's: what is called
#   setsid may be something else, and files too few. Its number must be among the last: in containers
#   of LXC /proc/loadavg may be the machine's, whose numbers are not theirs. It is tried twice, as the
#   numbers may begin anew just then.
# * Some shells count in SHLVL how deep they are: a command is as deep as if this one were not there.
# * Names begin with opsrunner_, and are unset first: an exported variable of that name would be changed.
_BOOT = r"""
set +aefu
exec 3>&1 4>&2 >/dev/null 2>&1
unset opsrunner_home opsrunner_old opsrunner_level opsrunner_nonce opsrunner_unbegun opsrunner_status
unset opsrunner_before opsrunner_after
unset opsrunner_given opsrunner_input opsrunner_pid opsrunner_stat opsrunner_file opsrunner_tries
trap : HUP INT QUIT TERM
trap '[ -z "$opsrunner_unbegun" ] || opsrunner_end "$opsrunner_unbegun" 0 unbegun' EXIT
opsrunner_home=$PWD opsrunner_old=${OLDPWD+x$OLDPWD}
[ "$opsrunner_home" -ef . ] && cd / || exit
opsrunner_end() { echo "$@" >&3; echo "$@" >&4; }
opsrunner_run() {
  opsrunner_nonce=$1 opsrunner_unbegun=$1 opsrunner_given=$2 opsrunner_input=$3; shift 3
  opsrunner_last || opsrunner_after=
  opsrunner_before=$opsrunner_after
  case $opsrunner_given in
    none) (opsrunner_start "$@" </dev/null) ;;
    *) printf %s "$opsrunner_input" | (opsrunner_start "$@") ;;
  esac
  opsrunner_status=$? opsrunner_unbegun= opsrunner_input=
  opsrunner_held || { opsrunner_end "$opsrunner_nonce" "$opsrunner_status" free; return; }
  opsrunner_end "$opsrunner_nonce" "$opsrunner_status" held
  exit; }
opsrunner_start() {
  cd "$opsrunner_home"
  if [ "$opsrunner_old" ]; then OLDPWD=${opsrunner_old#x}; else unset OLDPWD; fi
  [ -z "$opsrunner_level" ] || SHLVL=$opsrunner_level
  exec setsid "$@" >&3 2>&4 3>&- 4>&-; }
opsrunner_last() {
  read -r opsrunner_after opsrunner_after opsrunner_after opsrunner_after opsrunner_after </proc/loadavg; }
opsrunner_held() {
  [ "$opsrunner_before" ] && [ -e /proc/1 ] || return 0
  opsrunner_pid=$opsrunner_before
  while opsrunner_last; do
    if [ "$opsrunner_after" -lt "$opsrunner_pid" ]; then
      opsrunner_before=0
      for opsrunner_pid in /proc/[0-9]*; do
        [ "$opsrunner_pid" = /proc/$$ ] || ! opsrunner_holds "$opsrunner_pid" || return 0
      done
      opsrunner_before=$opsrunner_after opsrunner_pid=$opsrunner_after
      continue
    fi
    [ $((opsrunner_after - opsrunner_before)) -le 1000 ] || return 0
    [ "$opsrunner_after" -gt "$opsrunner_pid" ] || return 1
    while [ "$opsrunner_pid" -lt "$opsrunner_after" ]; do
      opsrunner_pid=$((opsrunner_pid + 1))
      [ ! -e /proc/$opsrunner_pid ] || ! opsrunner_holds /proc/$opsrunner_pid || return 0
    done
  done; }
opsrunner_holds() {
  read -r opsrunner_stat <"$1/stat" || { [ -e "$1" ]; return; }
  set -- "$1" ${opsrunner_stat##*) }
  case $2 in [ZX]) return 1 ;; esac
  case $8 in ''|*[!0-9]*) return 0 ;; esac
  [ $(($8 & 2097152)) = 0 ] || return 1
  for opsrunner_file in "$1"/task/*; do
    if [ "${opsrunner_file##*/}" -le "$opsrunner_before" ]; then return 1; fi
  done
  opsrunner_tries=20
  while [ "$opsrunner_tries" -gt 0 ]; do
    opsrunner_tries=$((opsrunner_tries - 1))
    opsrunner_look "$1" && return 0
    [ $? = 2 ] || { opsrunner_look "$1"; case $? in 0) return 0 ;; 1) return 1 ;; esac; }
  done; }
opsrunner_look() {
  for opsrunner_file in "$1"/fd/*; do
    if [ -e "$opsrunner_file" ]; then
      if [ "$opsrunner_file" -ef /proc/$$/fd/3 ] || [ "$opsrunner_file" -ef /proc/$$/fd/4 ]; then return 0; fi
    elif [ ! -r "$1/fd" ]; then [ -e "$1" ]; return
    elif [ "$opsrunner_file" = "$1/fd/*" ]; then return 1
    else return 2
    fi
  done
  return 1; }
opsrunner_try() {
  opsrunner_last && opsrunner_before=$opsrunner_after || return
  set -- $( (opsrunner_start /bin/sh -c '
    read -r stat </proc/$$/stat && set -- ${stat##*) } && [ "$3 $4" = "$$ $$" ] && echo $$ $SHLVL') 3>&1 </dev/null)
  opsrunner_level=${2:+$((2 * SHLVL - $2))}
  opsrunner_last && [ "$1" -gt "$opsrunner_before" ] && [ "$1" -le "$opsrunner_after" ]; }
[ -z "${KSH_VERSION-}${ZSH_VERSION-}" ] && [ "$(command -v printf)" = printf ] && command -v setsid || exit
[ -e /proc/1 ] && [ /proc/$$/fd/3 -ef /proc/$$/fd/3 ] || exit
opsrunner_try || opsrunner_try || exit
"""
