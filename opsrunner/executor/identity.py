"""As whom a step's commands run, and in which environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opsrunner.executor.keywords import flag
from opsrunner.modules.contract import ModuleFailure
from opsrunner.plan.model import Options, Step
from opsrunner.remote import Become
from opsrunner.templating import Scope, Templar


def become_of(step: Step, scope: Scope, target_scope: Scope, templar: Templar, options: Options) -> Become | None:
    """As whom a step's commands run on the host that they go to; None for the login's own user.

    The target's variables win over keywords, and keywords over the command line, as in Ansible. Raises TemplateFailure
    and ModuleFailure.
    """

    def pick(variables: tuple[str, ...], keyword: Any, option: Any = None) -> Any:
        for name in variables:
            if name in target_scope:
                return target_scope[name]
        rendered = templar.render(keyword, scope)
        return option if rendered is None else rendered

    if not flag(pick(("ansible_become",), step.become, options.become), scope, templar):
        return None
    method: Any = pick(("ansible_become_method",), step.become_method, options.become_method) or "sudo"
    if method not in ("sudo", "su", "doas"):
        raise ModuleFailure(f"become_method {method!r} is not supported; use sudo, su or doas")
    passwords = (f"ansible_{method}_pass", "ansible_become_pass", "ansible_become_password")
    password = pick(passwords, None, options.become_password)
    flags = pick((f"ansible_{method}_flags", "ansible_become_flags"), step.become_flags)
    return Become(
        method=method,
        user=str(
            pick((f"ansible_{method}_user", "ansible_become_user"), step.become_user, options.become_user) or "root"
        ),
        flags=str(flags) if flags else None,
        password=str(password) if password is not None else None,
    )


def environment_of(step: Step, scope: Scope, templar: Templar) -> dict[str, str]:
    """What a step's commands find in their environment. Raises TemplateFailure and ModuleFailure."""
    merged: dict[str, str] = {}
    for layer in step.environment:
        rendered = templar.render(layer, scope)
        for part in rendered if isinstance(rendered, (list, tuple)) else (rendered,):
            if not isinstance(part, Mapping):
                raise ModuleFailure(f"environment must be a dictionary, not {type(part).__name__}")
            merged.update({str(name): str(value) for name, value in part.items()})
    return merged
