"""package: packages by whatever manager the host has."""

from __future__ import annotations

from msgspec import structs

from opsrunner import modules
from opsrunner.ledger.records import Result
from opsrunner.modules.arguments import validate
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.posix import facts
from opsrunner.modules.programs import SURROUNDINGS

SPEC = Spec(
    summary="Install and remove packages with the host's own manager; further arguments are given to its module",
    arguments={
        "name": Argument("raw", "packages"),
        "state": Argument("str", "what they are to be (absent, present, latest …); default: present"),
        "use": Argument("str", "which manager's module", default="auto", choices=("auto", "apt", "dnf", "dnf5", "yum")),
    },
    any_argument=True,
    check_mode="full",
    examples="- package: name=rsync state=present\n- package: name=telnetd state=absent\n",
)

_LOOK = (
    SURROUNDINGS
    + r"""
for manager in apt-get dnf yum; do
    if has $manager; then fact manager $manager; exit 0; fi
done
for other in zypper apk pacman pkg brew; do
    if has $other; then give_up "package cannot use $other yet: write a command"; fi
done
give_up "found no manager of packages: looked for apt-get, dnf, yum"
"""
)


def run(context: Context) -> Result:
    """Find the manager, and let its module do it."""
    arguments = {key: value for key, value in context.arguments.items() if key != "use" and value is not None}
    chosen = context.arguments["use"]
    if chosen == "auto":
        chosen = facts(context, _LOOK)["manager"].removesuffix("-get")
    module = modules.get(chosen)
    try:
        given = validate(chosen, module.SPEC, arguments)
    except ModuleFailure as failure:
        raise ModuleFailure(f"the host's packages are managed by {chosen}: {failure.msg}") from None
    return module.run(structs.replace(context, arguments=given))
