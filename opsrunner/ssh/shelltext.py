"""The sh text of the long-lived shell on a host, as text; nothing is run here.

The shell reads its script from standard input, a line or more for each command. Every command is a
process of its own (``/bin/sh -c``, as over a channel of its own, or the one program that it is), which
leads a process group, so that nothing it does to itself (exit, exec, traps, umask, directories, closed
files) reaches the shell.

It is bash where the host has it, as bash gives a process a group by itself: elsewhere a program must be
run for that (setsid).
"""

from __future__ import annotations

import shlex

from opsrunner.become import shell_line
from opsrunner.launch import Launch

#: What the login shell is asked to run; the word behind -s is for who reads the host's list of processes.
#: With -p, bash takes neither functions nor settings from its environment, and hands them on.
SHELL_LINE = "test -x /bin/bash && exec /bin/bash -p -s opsrunner; exec /bin/sh -s opsrunner"
#: Bytes of input that a command may be given there; a pipe holds as much, so nobody waits for a reader.
INPUT_LIMIT = 32_768


def boot(nonce: str) -> bytes:
    """What the shell reads first. It answers as to :func:`greeting`, or ends where it cannot serve."""
    return _FIRST.replace(b"@SIZE@", b"%d" % len(_BOOT)) + _BOOT + greeting(nonce)


def greeting(nonce: str) -> bytes:
    """Has the shell say ``NONCE PID free`` on both streams: it is there, and nothing else was said."""
    return f"opsrunner_end {nonce} $$ free\n".encode()


def servable(launch: Launch) -> bool:
    """Whether a shell can be asked for it: not raw text, and no input but a little that is known beforehand."""
    if not launch.marked or launch.no_input:
        return launch.marked
    return not launch.asks and len(launch.input) <= INPUT_LIMIT and b"\0" not in launch.input


def frame(launch: Launch, nonce: str) -> bytes:
    """Has the shell run a command; ``nonce``, of letters and digits, is never shown to it.

    The command says who it is unless it has a ``text``: then it is the shell's one child.
    """
    if launch.words:
        running = f"opsrunner_program {launch.words}"
    elif launch.text:
        # Behind a newline, as over a channel of its own: its shell counts lines when it complains.
        running = f"opsrunner_alone {shell_line(chr(10) + launch.text)}"
    elif launch.no_input:
        running = f"opsrunner_alone {launch.program}"
    else:
        given = shlex.quote(launch.input.decode("utf-8", "surrogateescape"))
        running = f"opsrunner_feed {given} {launch.program}"
    # In braces: of a line that was cut short, as its connection broke, no part is run.
    line = f"{{ {running}; }}\n".encode("utf-8", "surrogateescape")
    return b"opsrunner_begin %b %d\n%bopsrunner_over %b $?\n" % (nonce.encode(), len(line), line, nonce.encode())


# How it works, and why so:
#
# * The channel's streams are 3 and 4; the command gets them as 1 and 2 and nothing else. What the
#   shell itself says ("Terminated") goes nowhere.
# * A process that a command leaves behind may hold the streams, and write while the next command
#   runs. Every such process is an orphan or has one among its forebears, and the kernel gives orphans
#   to one process, mostly the first, whose children it lists. So the shell reads that list before and
#   after every command: it seldom differs. Where it does, whoever is new there is looked at, and its
#   children, until nobody new has come: a daemon's first process ends after it has begun the second.
#   Where one holds a stream, or cannot be looked at, the shell says "held" and ends: the channel then
#   tells when the streams are closed, as a channel of the command's own would have.
# * That hides who enters another container's processes (nsenter) and leaves somebody behind there.
# * A file that was closed or replaced while it was looked at may have been moved: a process holds nothing
#   when it was found so twice, one right behind the other.
# * Input goes through printf, which must be the shell's own: it may be a secret, and ps shows arguments.
# * Where a command is one program, no shell is begun for it. What is no program, or may be one only where
#   the shell does not stand, is left to one all the same: it knows what to do, or what to say.
# * A shell that cannot fork ends itself. It says so, where the command has not begun.
# * TERM and the like, sent by a command to its parent, must not end the shell. They are caught, not
#   ignored: what is caught is undone in the command.
# * The shell itself stands in /, to be in nobody's way, and enters the login's directory for each command.
# * Before the shell says that it is there, it begins a process which leaves an orphan behind: files may be too
#   few, what is called setsid may be something else, and the list is only known to be the right one by that
#   orphan, whom it must name.
# * Some shells count in SHLVL how deep they are: a command is as deep as if this one were not there.
# * Names begin with opsrunner_, and are unset first: an exported variable of that name would be changed.
#
# Of bash (it alone is begun with -p):
#
# * From a channel it reads its script byte by byte, but read -N takes all at once; LC_ALL=C has it count
#   bytes. A script that was cut short is not run.
# * A command that SIGINT ends, and a fork that fails, end whatever functions and lists the shell is in. It goes
#   on with the next line of its script: so what follows a command stands on a line of its own.
# * It shares its session with the command. Who is stopped by SIGTSTP and the like there stays stopped, and
#   over a channel of its own would not have been: the shell lets the command itself go on at once.
# * A program goes without a shell if the kernel can begin it: bash would run a script without #! itself, and
#   complains about a missing interpreter in its own words.
_FIRST = b"""\
case $- in *p*) LC_ALL=C read -rN @SIZE@ opsrunner_text && eval "$opsrunner_text" || exit ;; esac
"""
_COMMON = r"""
set +aefu
exec 3>&1 4>&2 >/dev/null 2>&1
unset opsrunner_home opsrunner_old opsrunner_level opsrunner_unbegun opsrunner_list opsrunner_status opsrunner_text
unset opsrunner_before opsrunner_after opsrunner_some opsrunner_one opsrunner_file opsrunner_stat opsrunner_tries
trap : HUP INT QUIT TERM
trap '[ -z "$opsrunner_unbegun" ] || opsrunner_end "$opsrunner_unbegun" 0 unbegun' EXIT
opsrunner_home=$PWD opsrunner_old=${OLDPWD+x$OLDPWD}
[ "$opsrunner_home" -ef . ] && cd / || exit
opsrunner_end() { echo "$@" >&3; echo "$@" >&4; }
opsrunner_begin() {
  opsrunner_unbegun=$1
  opsrunner_orphans
  opsrunner_before=$opsrunner_after
  opsrunner_run "$2"; }
opsrunner_over() {
  opsrunner_status=$2
  opsrunner_settle
  opsrunner_unbegun=
  opsrunner_held || { opsrunner_end "$1" "$opsrunner_status" free; return; }
  opsrunner_end "$1" "$opsrunner_status" held
  exit; }
opsrunner_enter() {
  cd "$opsrunner_home"
  if [ "$opsrunner_old" ]; then OLDPWD=${opsrunner_old#x}; else unset OLDPWD; fi; }
opsrunner_alone() {
  (opsrunner_enter; opsrunner_exec "$@") </dev/null; }
opsrunner_program() {
  if opsrunner_find "$1" && opsrunner_runs; then opsrunner_alone "$@"; else
    opsrunner_alone /bin/sh -c '
exec "$@"' /bin/sh "$@"
  fi; }
opsrunner_find() {
  local IFS=:
  case $1 in
    /*) opsrunner_file=$1; [ -x "$1" ] && [ -f "$1" ]; return ;;
    */*|-*) return 1 ;;
  esac
  for opsrunner_file in $PATH; do
    case $opsrunner_file in /*) ;; *) return 1 ;; esac
    opsrunner_file=$opsrunner_file/$1
    [ -x "$opsrunner_file" ] && [ -f "$opsrunner_file" ] && return
  done
  return 1; }
opsrunner_orphans() {
  opsrunner_after=unknown
  read -r opsrunner_after <"$opsrunner_list"; }
opsrunner_held() {
  while :; do
    opsrunner_orphans
    case $opsrunner_after in
      unknown) return 0 ;;
      "$opsrunner_before") return 1 ;;
    esac
    for opsrunner_one in $opsrunner_after; do
      case " $opsrunner_before " in
        *" $opsrunner_one "*) ;;
        *) ! opsrunner_holds "$opsrunner_one" || return 0 ;;
      esac
    done
    opsrunner_before=$opsrunner_after
  done; }
opsrunner_holds() {
  read -r opsrunner_stat <"/proc/$1/stat" || { [ -e "/proc/$1" ]; return; }
  case ${opsrunner_stat##*) } in [ZX]*) return 1 ;; esac
  opsrunner_tries=20
  while :; do
    opsrunner_look "$1"
    case $? in
      0) return 0 ;;
      1) opsrunner_look "$1"; case $? in 0) return 0 ;; 1) break ;; esac ;;
    esac
    opsrunner_tries=$((opsrunner_tries - 1))
    [ "$opsrunner_tries" -gt 0 ] || return 0
  done
  for opsrunner_file in /proc/"$1"/task/*/children; do
    { read -r opsrunner_some || :; } <"$opsrunner_file" && set -- "$@" $opsrunner_some
  done
  shift
  for opsrunner_some; do opsrunner_holds "$opsrunner_some" && return 0; done
  return 1; }
opsrunner_look() {
  for opsrunner_file in /proc/"$1"/fd/*; do
    if [ -e "$opsrunner_file" ]; then
      if [ "$opsrunner_file" -ef /proc/$$/fd/3 ] || [ "$opsrunner_file" -ef /proc/$$/fd/4 ]; then return 0; fi
    elif [ ! -r "/proc/$1/fd" ]; then [ -e "/proc/$1" ]; return
    elif [ "$opsrunner_file" = "/proc/$1/fd/*" ]; then return 1
    else return 2
    fi
  done
  return 1; }
opsrunner_orphan='
  set -- $leader $leader $leader
  while [ "$3" = $leader ]; do read -r stat </proc/self/stat && set -- ${stat%% *} ${stat##*) } || exit; done
  read -r stat </proc/$3/task/$3/children
  case " $stat " in *" $1 "*) echo /proc/$3/task/$3/children ;; esac'
"""
#: For a shell that is not bash.
_PLAIN = r"""
opsrunner_run() { :; }
opsrunner_settle() { :; }
opsrunner_exec() {
  exec setsid "$@" >&3 2>&4 3>&- 4>&-; }
opsrunner_feed() {
  printf %s "$1" | (shift; opsrunner_enter; opsrunner_exec "$@"); }
opsrunner_runs() { :; }
opsrunner_try() {
  [ "$(command -v printf)" = printf ] && command -v setsid || return
  set -- $( (opsrunner_enter; opsrunner_exec /bin/sh -c '
    read -r stat </proc/$$/stat && set -- ${stat##*) } && [ "$3 $4" = "$$ $$" ] || exit
    echo "x$SHLVL"; leader=$$; { '"$opsrunner_orphan"'; } &') 3>&1 </dev/null)
  opsrunner_level=${1#x} opsrunner_list=$2
  opsrunner_level=${opsrunner_level:+$((2 * SHLVL - opsrunner_level))}; }
"""
_BASH = r"""
opsrunner_run() {
  LC_ALL=C read -rN "$1" opsrunner_text || exit
  eval "$opsrunner_text"
  set -- $?
  opsrunner_unbegun=
  return "$1"; }
opsrunner_settle() {
  # 128 + SIGINT
  [ -z "$opsrunner_unbegun" ] || [ "$opsrunner_status" -eq 130 ] || exit
  exec 5<&-
  opsrunner_ended; }
opsrunner_ended() {
  [ "$opsrunner_status" -gt 128 ] && kill -0 %% || return
  # 128 + SIGSTOP: only somebody else may end that.
  [ "$opsrunner_status" -ne 147 ] || while opsrunner_stopped; do read -t 0.1 -r opsrunner_some <> <(:); done
  bg
  wait %%
  opsrunner_status=$?
  opsrunner_ended; }
opsrunner_stopped() {
  read -r opsrunner_some <"/proc/$$/task/$$/children"
  for opsrunner_one in $opsrunner_some; do
    read -r opsrunner_stat <"/proc/$opsrunner_one/stat"
    case ${opsrunner_stat##*) } in T*) return 0 ;; esac
  done
  return 1; }
opsrunner_exec() {
  exec "$@" >&3 2>&4 3>&- 4>&-; }
opsrunner_feed() {
  exec 5< <(printf %s "$1")
  shift
  (opsrunner_enter; opsrunner_exec "$@") <&5 5<&-; }
opsrunner_runs() {
  LC_ALL=C read -rN 4 opsrunner_some <"$opsrunner_file" && [ "$opsrunner_some" = $'\177ELF' ]; }
opsrunner_try() {
  # From 5 on, exec in a subshell takes nothing off.
  [ "${BASH_VERSINFO[0]}" -lt 5 ] || opsrunner_level=$((SHLVL - 1))
  set -m
  case $- in *m*) ;; *) return 1 ;; esac
  # Killed, as that is the shortest way to make an orphan.
  opsrunner_list=$(read -r stat </proc/self/stat && leader=${stat%% *} && eval "{ $opsrunner_orphan; } &"
    kill -KILL "$leader"); }
"""
_READY = r"""
[ -z "${KSH_VERSION-}${ZSH_VERSION-}" ] && [ /proc/$$/fd/3 -ef /proc/$$/fd/3 ] || exit
opsrunner_try
opsrunner_orphans
[ "$opsrunner_after" != unknown ] || exit
[ -z "$opsrunner_level" ] || SHLVL=$opsrunner_level
"""
_KINDS = f"case $- in *p*) eval {shlex.quote(_BASH)} ;; *) eval {shlex.quote(_PLAIN)} ;; esac"
_BOOT = f"{_COMMON}{_KINDS}{_READY}".encode()
