"""Where roles lie besides those of the playbook: by ansible.cfg, by the environment, and in Ansible's own folders."""

from __future__ import annotations

import configparser
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

_ROLES = ("~/.ansible/roles", "/usr/share/ansible/roles", "/etc/ansible/roles")
_IN_COLLECTION = re.compile(r"/ansible_collections/([^/]+)/([^/]+)/roles/(.+)$")
_COLLECTIONS = ("~/.ansible/collections", "/usr/share/ansible/collections")

#: Settings of ansible.cfg without which a run does something else, or to other hosts. None of them is read.
_PASSED_OVER = {
    "defaults": (
        *("action_plugins", "any_errors_fatal", "become_password_file", "callback_plugins", "error_on_undefined_vars"),
        *("filter_plugins", "force_handlers", "forks", "gather_subset", "gathering", "hash_behaviour", "inventory"),
        *(
            "inventory_plugins",
            "jinja2_extensions",
            "jinja2_native",
            "library",
            "lookup_plugins",
            "max_fail_percentage",
        ),
        *("module_utils", "private_key_file", "private_role_vars", "remote_port", "remote_tmp", "remote_user"),
        *("strategy", "strategy_plugins", "task_timeout", "test_plugins", "timeout", "vars_plugins"),
        *("vault_identity_list", "vault_password_file"),
    ),
    "privilege_escalation": ("become", "become_ask_pass", "become_exe", "become_flags", "become_method", "become_user"),
    "ssh_connection": ("retries", "scp_if_ssh", "ssh_args", "ssh_common_args", "ssh_executable", "ssh_extra_args"),
    "tags": ("run", "skip"),
}


class RolePaths(Struct, frozen=True):
    """Folders of roles, and folders in which ``ansible_collections`` lies, in the order in which they are looked at."""

    roles: tuple[Path, ...] = ()
    collections: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()


def read(base: Path, environment: Mapping[str, str]) -> RolePaths:
    """What holds for a command that is given in the folder ``base``."""
    warnings: list[str] = []
    file = _file(base, environment, warnings)
    settings = _settings(file, warnings) if file else None
    found = _Found(base, environment, file, settings)
    if file and settings and (passed := list(_passed_over(settings))):
        warnings.append(f"{file}: nothing is read of it but roles_path and collections_path; not {', '.join(passed)}")
    return RolePaths(
        found.folders("ANSIBLE_ROLES_PATH", ("roles_path",), _ROLES),
        found.folders("ANSIBLE_COLLECTIONS_PATH", ("collections_path", "collections_paths"), _COLLECTIONS),
        tuple(warnings),
    )


def inventories(base: Path, environment: Mapping[str, str]) -> tuple[Path | None, tuple[str, ...]]:
    """The ansible.cfg that holds for a command in ``base``, and what it names as inventories: paths and host lists."""
    file = _file(base, environment, [])
    settings = _settings(file, []) if file else None
    if file is None or settings is None:
        return None, ()
    value = settings.get("defaults", "inventory", fallback="").strip().strip("'\"")
    paths = (os.path.expandvars(os.path.expanduser(one.strip())) for one in value.split(",") if one.strip())  # noqa: PTH111
    return file, tuple(os.path.relpath(file.parent / path, base) for path in paths)


def collection_of(role: Path) -> tuple[str, str] | None:
    """Which collection a role lies in, ``namespace.collection``, and what it is called there; None for any other."""
    match = _IN_COLLECTION.search(role.as_posix())
    return (f"{match[1]}.{match[2]}", match[3].replace("/", ".")) if match else None


class _Found(Struct, frozen=True):
    base: Path
    environment: Mapping[str, str]
    file: Path | None
    settings: configparser.RawConfigParser | None

    def folders(self, variable: str, names: tuple[str, ...], default: tuple[str, ...]) -> tuple[Path, ...]:
        """Variables of the environment count before the file, and name folders from where the command is given."""
        if self.environment.get(variable):
            return self._split(self.environment[variable], self.base)
        if self.file and self.settings:
            for name in names:
                if value := self.settings.get("defaults", name, fallback=""):
                    return self._split(value, self.file.parent)
        return self._split(os.pathsep.join(default), self.base)

    def _split(self, value: str, folder: Path) -> tuple[Path, ...]:
        value = value.strip().strip("'\"").replace("{{CWD}}", str(self.base))
        paths = (os.path.expandvars(os.path.expanduser(part.strip())) for part in value.split(os.pathsep))  # noqa: PTH111
        return tuple(Path(os.path.normpath(folder / path)) for path in paths if path)


def _file(base: Path, environment: Mapping[str, str], warnings: list[str]) -> Path | None:
    """The one ansible.cfg that Ansible would read."""
    if named := environment.get("ANSIBLE_CONFIG"):
        path = base / os.path.expanduser(named)  # noqa: PTH111 -- leaves ~nobody as it is, where Path raises
        places = [path / "ansible.cfg" if path.is_dir() else path]
    else:
        places = []
    here = base / "ansible.cfg"
    if here.is_file() and base.stat().st_mode & stat.S_IWOTH:
        warnings.append(f"{here} is not read: everybody may write to the folder")
    else:
        places.append(here)
    home = os.path.expanduser("~/.ansible.cfg")  # noqa: PTH111
    places += [Path(home), Path("/etc/ansible/ansible.cfg")]
    return next((place for place in places if place.is_file()), None)


def _settings(file: Path, warnings: list[str]) -> configparser.RawConfigParser | None:
    found = configparser.RawConfigParser(inline_comment_prefixes=(";",), strict=False)
    try:
        found.read_string(file.read_text("utf-8"))
    except (OSError, ValueError, configparser.Error) as error:
        warnings.append(f"{file} cannot be read: {' '.join(str(error).split())}")
        return None
    return found


def _passed_over(settings: configparser.RawConfigParser) -> Iterator[str]:
    for section, names in _PASSED_OVER.items():
        yield from (name for name in names if settings.has_option(section, name))
