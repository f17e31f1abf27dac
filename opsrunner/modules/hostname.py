"""hostname: the name of the host, now and after its next start."""

from __future__ import annotations

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.posix import facts, word
from opsrunner.modules.programs import SURROUNDINGS

SPEC = Spec(
    summary="Set the name of the host; its facts follow",
    arguments={
        "name": Argument("str", "the name", required=True),
        "use": Argument(
            "str",
            "how; by default systemd where it runs, else as the distribution does it",
            choices=("alpine", "debian", "freebsd", "openbsd", "openrc", "redhat", "sles", "systemd"),
        ),
    },
    gathers=True,
    check_mode="full",
    examples="""
- hostname: name=web1.example.com
- hostname:
    name: "{{ inventory_hostname }}"
    use: systemd
""",
)

# Each way tells the name that the host has now and the one after its next start: permanent, current.
# Files are written in place: a container's /etc/hostname cannot be renamed over.
_WAYS = r"""
command_of() { has "$1" || give_up "the host has no $1"; }
in_file() { sed -n "s/^[[:blank:]]*$2=//p" "$1" 2>/dev/null | tail -n 1 | tr -d '"'; }
put() { said=$( (printf '%s\n' "$2" >"$1") 2>&1) || give_up "failed to update hostname: $said"; }
put_in_file() {
    lines=$(cat "$1" 2>/dev/null)
    case "
$lines" in
    *"
$2="*) put "$1" "$(printf '%s\n' "$lines" | sed "s/^$2=.*/$2=$3/")" ;;
    *) put "$1" "$lines${lines:+
}$2=$3" ;;
    esac
}
call() { said=$("$@" 2>&1) || give_up "Command failed: $*: $said"; }

way=$2
if [ -z "$way" ]; then
    if [ -d /run/systemd/system ] && has hostnamectl; then way=systemd
    else
        system=$(uname -s)
        kin=" $( (. /etc/os-release; echo "$ID $ID_LIKE") 2>/dev/null) "
        case "$system $kin" in
        OpenBSD*) way=openbsd ;;
        FreeBSD*) way=freebsd ;;
        *" alpine "*) way=alpine ;;
        *" gentoo "*) way=openrc ;;
        *" debian "*|*" ubuntu "*) way=file ;;
        *" rhel "*|*" fedora "*|*" centos "*) way=redhat ;;
        *" suse "*|*" sles "*) way=sles ;;
        *) give_up "hostname module cannot be used on platform $system ($kin)" ;;
        esac
    fi
elif [ "$way" = debian ]; then way=systemd
fi
running=
case $way in
systemd)
    command_of hostnamectl
    [ "${#1}" -le 64 ] || give_up "name cannot be longer than 64 characters on systemd servers, try a shorter name"
    permanent=$(hostnamectl --static status 2>&1) || give_up "Command failed: $permanent"
    running=$(hostnamectl --transient status 2>&1) || give_up "Command failed: $running" ;;
file|alpine) file=/etc/hostname permanent=$(cat /etc/hostname 2>/dev/null) ;;
sles) file=/etc/HOSTNAME permanent=$(cat /etc/HOSTNAME 2>/dev/null) ;;
openbsd) file=/etc/myname permanent=$(cat /etc/myname 2>/dev/null) ;;
openrc) file=/etc/conf.d/hostname permanent=$(in_file /etc/conf.d/hostname hostname) ;;
freebsd) file=/etc/rc.conf.d/hostname permanent=$(in_file /etc/rc.conf.d/hostname hostname) ;;
redhat) file=/etc/sysconfig/network permanent=$(in_file /etc/sysconfig/network HOSTNAME) ;;
esac
case $way in freebsd|openbsd)
    command_of hostname
    running=$(hostname) || give_up "Command failed: hostname" ;;
esac
fact permanent "$permanent"
fact running "${running:-$permanent}"
if [ "$3" != yes ] && [ "$permanent" != "$1" ]; then
    case $way in
    systemd) call hostnamectl --pretty --static set-hostname "$1" ;;
    openrc|freebsd) put_in_file "$file" hostname "\"$1\"" ;;
    redhat) put_in_file "$file" HOSTNAME "$1" ;;
    *) put "$file" "$1" ;;
    esac
    if [ "$way" = alpine ]; then command_of hostname; call hostname -F "$file"; fi
fi
if [ "$3" != yes ] && [ -n "$running" ] && [ "$running" != "$1" ]; then
    case $way in
    systemd) call hostnamectl --transient set-hostname "$1" ;;
    *) call hostname "$1" ;;
    esac
fi
fact fqdn "$(hostname -f 2>/dev/null)"
:
"""


def run(context: Context) -> Result:
    """Look, and change what is another name, in one round trip."""
    name = context.arguments["name"]
    if not name or any(sign in name for sign in "\n\0/\"'\\&$` "):
        raise ModuleFailure(f"{name!r} is no name of a host")
    words = [word(name), word(context.arguments["use"] or ""), "yes" if context.check else "no"]
    told = facts(context, SURROUNDINGS + _WAYS, words)
    before = told["running"] if told["running"] != name else told["permanent"]
    fqdn = told["fqdn"] or name
    result: Result = {
        "changed": before != name,
        "name": name,
        "ansible_facts": {
            "ansible_hostname": name.partition(".")[0],
            "ansible_nodename": name,
            "ansible_fqdn": fqdn,
            "ansible_domain": fqdn.partition(".")[2],
        },
    }
    if before != name and context.diff:
        result["diff"] = {"before": f"hostname = {before}\n", "after": f"hostname = {name}\n"}
    return result
