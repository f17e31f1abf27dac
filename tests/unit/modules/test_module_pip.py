"""pip: a pip played by a script."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.modules.programs import Programs

PIP = r"""
verb=$1; shift
for name; do :; done
case $verb in
list|freeze) cat "$STATE/list" ;;
install) case $name in nowhere) echo "ERROR: No matching distribution found for nowhere" >&2; exit 1 ;; esac
    if grep -q "^$name" "$STATE/list"; then echo "Requirement already satisfied: $name"; exit 0; fi
    case $name in *==*) echo "$name" ;; *) echo "$name==1.0" ;; esac >>"$STATE/list"
    echo "Successfully installed $name" ;;
uninstall) if grep -q "^$name" "$STATE/list"; then echo "Successfully uninstalled $name"
    else echo "WARNING: Skipping $name as it is not installed." >&2; fi ;;
esac
"""
VENV = 'for last; do :; done; mkdir -p "$last/bin"; ln -s "$(dirname "$0")/pip3" "$last/bin/pip"'


@pytest.fixture
def python(programs: Programs) -> Programs:
    programs.add("pip3", PIP)
    programs.add("virtualenv", VENV)
    (programs.state / "list").write_text("Flask==3.0\n")
    return programs


@pytest.mark.parametrize(
    ("arguments", "told", "changed"),
    [
        ({"name": "requests"}, "install requests", True),
        ({"name": "Flask"}, "install Flask", False),
        ({"name": "requests", "version": "2.0"}, "install requests==2.0", True),
        ({"name": "requests", "version": ">=2"}, "install requests>=2", True),
        ({"name": "requests>=1,<2"}, "install requests>=1,<2", True),
        ({"name": "Flask", "state": "absent"}, "uninstall -y Flask", True),
        ({"name": "requests", "state": "absent"}, "uninstall -y requests", False),
        ({"name": "a", "state": "latest", "extra_args": "-i 'x y'"}, "install -U -i x y a", True),
        ({"name": "a", "state": "forcereinstall", "executable": "pip3"}, "install -U --force-reinstall a", True),
    ],
)
def test_what_pip_is_told(python: Programs, arguments: dict[str, Any], told: str, changed: bool) -> None:
    assert python.run("pip", arguments, check=True)["changed"] is changed
    assert not any("install" in call for call in python.done())
    result = python.run("pip", arguments)
    assert python.done() == [f"pip3 {told}"]
    assert (result["changed"], result["name"]) == (changed, arguments["name"].split(","))


def test_an_environment(python: Programs) -> None:
    wanted = {"name": "requests", "virtualenv": str(python.host.home / "env"), "virtualenv_site_packages": True}
    assert python.run("pip", wanted, check=True) == {"changed": True}
    made = python.run("pip", wanted)
    assert (made["changed"], made["virtualenv"]) == (True, wanted["virtualenv"])
    assert python.done()[0] == f"virtualenv --system-site-packages {wanted['virtualenv']}"
    assert python.run("pip", wanted)["changed"] is False
    wrong = {**wanted, "virtualenv": "other", "virtualenv_command": "python3 -m venv", "virtualenv_python": "python3"}
    assert "virtualenv_python" in python.run("pip", wrong)["msg"]


def test_requirements(python: Programs) -> None:
    assert python.run("pip", {"requirements": "r.txt"})["changed"] is True
    assert python.run("pip", {"requirements": "r.txt"})["changed"] is False
    assert python.done("pip3")[1] == "pip3 install -r r.txt"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"name": "nowhere"}, "No matching distribution"),
        ({"name": "a,b", "version": "1"}, "ambiguous"),
        ({"name": "a>1", "version": "1"}, "conflicts"),
        ({"name": "a", "version": "1", "state": "latest"}, "incompatible"),
        ({"name": "-r x"}, "dash"),
        ({"name": "a", "executable": "pip9"}, "Unable to find any of pip9"),
        ({"name": "a", "extra_args": "'"}, "extra_args"),
        ({}, "one of the following is required: name, requirements"),
    ],
)
def test_mistakes(python: Programs, arguments: dict[str, Any], told: str) -> None:
    assert told in python.run("pip", arguments)["msg"]
