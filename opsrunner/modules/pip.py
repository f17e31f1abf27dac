"""pip: libraries of Python, in a virtual environment or where the host's pip puts them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.posix import expanded_word, facts
from opsrunner.modules.programs import SURROUNDINGS, Ended, run_program

_STATES = ("absent", "forcereinstall", "latest", "present")

SPEC = Spec(
    summary="Install and remove libraries of Python with pip",
    arguments={
        "name": Argument("list", "libraries, also name==1.0, name>=1 and addresses", elements="str"),
        "version": Argument("str", "the version of the one library"),
        "requirements": Argument("str", "a file of the host that names them"),
        "state": Argument("str", "what they are to be", default="present", choices=_STATES),
        "virtualenv": Argument("path", "the environment; it is made where it is not there"),
        "virtualenv_command": Argument("path", "what makes it, with options", default="virtualenv"),
        "virtualenv_python": Argument("str", "the Python in it"),
        "virtualenv_site_packages": Argument("bool", "the host's libraries are seen in it", default=False),
        "executable": Argument("path", "which pip: a path, or a name like pip3.11"),
        "extra_args": Argument("str", "options of pip"),
        "editable": Argument("bool", "install as editable", default=False),
        "chdir": Argument("path", "change into this directory of the host first"),
        "break_system_packages": Argument("bool", "where the host's own manager forbids it", default=False),
    },
    required_one_of=(("name", "requirements"),),
    mutually_exclusive=(("name", "requirements"), ("executable", "virtualenv")),
    check_mode="full",
    refused={"umask": "it is not there yet"},
    examples="""
- pip: name=requests version=2.32.3
- pip:
    requirements: /srv/app/requirements.txt
    virtualenv: /srv/app/venv
    virtualenv_command: python3 -m venv
""",
)

# $1 virtual environment, $2 pip that was asked for; tells which pip there is
_LOOK = (
    SURROUNDINGS
    + r"""
fact virtualenv "$1"
if [ -n "$1" ]; then
    fact pip "$1/bin/pip"
    if [ -x "$1/bin/pip" ]; then fact there yes; fi
    exit 0
fi
for program in ${2:+"$2"} ${2:-pip3 pip}; do
    if has "$program"; then fact pip "$program"; fact there yes; exit 0; fi
done
give_up "Unable to find any of ${2:-pip3, pip} to use.  pip needs to be installed."
"""
)


def run(context: Context) -> Result:
    """Make the environment, and let pip do it: pip itself passes over what is there."""
    arguments = context.arguments
    names = _names(arguments)
    words = [expanded_word(arguments[key]) if arguments[key] else "''" for key in ("virtualenv", "executable")]
    told = facts(context, _LOOK, words)
    made = "there" not in told
    if made and context.check:
        return {"changed": True}
    if made:
        _make_environment(context, told["virtualenv"])
    if context.check:
        return _predicted(context, told["pip"], names)
    listed_first = arguments["requirements"] or any(_is_address(name) for name in names)
    before = _pip(context, told["pip"], ["freeze"]).stdout if listed_first else None
    ended = _pip(context, told["pip"], _command(arguments, names))
    said = f"{ended.stdout}\n{ended.stderr}"
    if ended.rc != 0 and not (arguments["state"] == "absent" and "not installed" in said):
        raise ModuleFailure(ended.reason(), **ended.result())
    changed = f"Successfully {'un' if arguments['state'] == 'absent' else ''}installed" in said
    if before is not None and arguments["state"] != "absent":
        changed = before != _pip(context, told["pip"], ["freeze"]).stdout
    about = {key: arguments[key] for key in ("name", "version", "state", "requirements")}
    output = {key: value for key, value in ended.result().items() if key != "rc"}
    return {"changed": changed or made, **about, "virtualenv": told["virtualenv"] or None, **output}


def _names(arguments: Mapping[str, Any]) -> list[str]:
    """What pip is to be given. Raises ModuleFailure."""
    # A list of versions, as in "name>=1,<2", was cut at its commas as any list in one text is.
    names: list[str] = []
    for part in arguments["name"] or ():
        text = part.strip()
        if names and re.match(r"[<>=!~]", text):
            names[-1] += f",{text}"
        elif text:
            names.append(text)
    if any(name.startswith("-") for name in names):
        raise ModuleFailure("names do not begin with a dash: options belong into extra_args")
    version = arguments["version"]
    if version is None:
        return names
    if arguments["state"] == "latest":
        raise ModuleFailure("version is incompatible with state=latest")
    if len(names) != 1:
        raise ModuleFailure(
            "'version' argument is ambiguous when installing multiple package distributions. "
            "Please specify version restrictions next to each package in 'name' argument."
        )
    if re.search(r"[<>=!~]", names[0]):
        raise ModuleFailure(
            "The 'version' argument conflicts with any version specifier provided along with a package name."
        )
    return [f"{names[0]}{'' if re.match('[<>=!~]', version) else '=='}{version}"]


def _is_address(name: str) -> bool:
    return "://" in name or name.startswith(("git+", "hg+", "svn+", "bzr+"))


def _make_environment(context: Context, path: str) -> None:
    arguments = context.arguments
    try:
        words = shlex.split(arguments["virtualenv_command"])
    except ValueError as error:
        raise ModuleFailure(f"cannot split virtualenv_command into words: {error}") from None
    if arguments["virtualenv_site_packages"]:
        words.append("--system-site-packages")
    if arguments["virtualenv_python"]:
        if "venv" in words[1:] or words[0].rpartition("/")[2].startswith("pyvenv"):
            raise ModuleFailure("virtualenv_python should not be used when using the venv module or pyvenv")
        words.append(f"-p{arguments['virtualenv_python']}")
    ended = run_program(context, [*words, path], directory=arguments["chdir"])
    if ended.rc != 0:
        raise ModuleFailure(f"cannot make the virtual environment: {ended.reason()}", **ended.result())


def _command(arguments: Mapping[str, Any], names: list[str]) -> list[str]:
    states = {
        "present": ["install"],
        "absent": ["uninstall", "-y"],
        "latest": ["install", "-U"],
        "forcereinstall": ["install", "-U", "--force-reinstall"],
    }
    words = [*states[arguments["state"]], *_extra(arguments)]
    if arguments["requirements"]:
        return [*words, "-r", arguments["requirements"]]
    if arguments["editable"] and arguments["state"] != "absent":
        return [*words, *(part for name in names for part in ("-e", name))]
    return [*words, *names]


def _extra(arguments: Mapping[str, Any]) -> list[str]:
    try:
        return shlex.split(arguments["extra_args"] or "")
    except ValueError as error:
        raise ModuleFailure(f"cannot split extra_args into words: {error}") from None


def _pip(context: Context, pip: str, words: list[str]) -> Ended:
    environment = {"PIP_BREAK_SYSTEM_PACKAGES": "1"} if context.arguments["break_system_packages"] else None
    return run_program(context, [pip, *words], environment=environment, directory=context.arguments["chdir"])


def _predicted(context: Context, pip: str, names: list[str]) -> Result:
    arguments = context.arguments
    state = arguments["state"]
    if arguments["extra_args"] or arguments["requirements"] or state in ("latest", "forcereinstall"):
        return {"changed": True}
    ended = _pip(context, pip, ["list", "--format=freeze"])
    if ended.rc != 0:
        raise ModuleFailure(ended.reason(), **ended.result())
    installed = {_plain(line.partition("==")[0]): line.partition("==")[2] for line in ended.stdout.splitlines()}
    present = [_is_there(name, installed) for name in names]
    return {"changed": any(present) if state == "absent" else not all(present), "stdout": ended.stdout}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _is_there(name: str, installed: Mapping[str, str]) -> bool:
    """Whether it is installed; of versions only one that is named outright is compared."""
    match = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*(?:==\s*([^,;\s]+)$)?", name)
    if match is None or _plain(match.group(1)) not in installed:
        return False
    return match.group(2) in (None, installed[_plain(match.group(1))])
