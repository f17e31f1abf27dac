"""The modules' arguments, inline text and modes against ansible-core itself."""

from __future__ import annotations

import functools
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from opsrunner import modules
from opsrunner.errors import InputError
from opsrunner.modules.contract import Argument, Spec
from opsrunner.modules.conversion import CONVERTERS
from opsrunner.modules.inline import parse_inline
from opsrunner.modules.modes import resolve

ansible_errors = pytest.importorskip("ansible.errors")
import ansible.modules  # noqa: E402
from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.common import validation  # noqa: E402
from ansible.parsing.splitter import parse_kv  # noqa: E402
from ansible.plugins.loader import fragment_loader  # noqa: E402
from ansible.utils.plugin_docs import get_docstring  # noqa: E402

THEIR_MODULES = Path(ansible.modules.__file__).parent

#: Arguments of Ansible's that opsrunner refuses by name, each with a reason in its SPEC.
_FILE = {"attributes", "attr", "selevel", "serole", "setype", "seuser", "unsafe_writes"}
REFUSED: dict[str, set[str]] = {
    "apt": {"auto_install_module_deps", "policy_rc_d"},
    "assemble": _FILE,
    "dnf": {
        *("allow_downgrade", "install_repoquery", "conf_file", "disable_plugin", "download_dir"),
        *("download_only", "enable_plugin", "list", "validate_certs"),
    },
    "git": {
        *("archive", "archive_prefix", "gpg_allowlist", "gpg_whitelist", "reference", "separate_git_dir"),
        *("track_submodules", "umask", "verify_commit"),
    },
    "get_url": _FILE | {"ciphers", "decompress", "unredirected_headers", "use_gssapi"},
    "group": {"local"},
    "include_vars": {"hash_behaviour"},
    "pip": {"umask"},
    "user": {
        *("authorization", "hidden", "local", "login_class", "profile", "role", "seuser", "ssh_key_passphrase"),
    },
    "blockinfile": _FILE,
    "copy": _FILE | {"local_follow"},
    "file": _FILE,
    "lineinfile": _FILE,
    "reboot": {"search_paths"},
    "replace": _FILE,
    "script": {"decrypt"},
    "template": _FILE,
    "unarchive": _FILE | {"io_buffer_size"},
    "uri": _FILE | {"ciphers", "decompress", "unix_socket", "unredirected_headers", "use_gssapi"},
    "wait_for": {"active_connection_states", "exclude_hosts"},
}
#: Names that Ansible documents but nobody writes: placeholders for free text and for any key.
PLACEHOLDERS = {"free_form", "free-form", "key_value"}
#: Ours under names that Ansible knows but does not document: ``_raw_params`` is its own name for the
#: free form; the others are in its code (shell's strip_empty_ends) or in that of its managers.
UNDOCUMENTED: dict[str, set[str]] = {
    "command": {"_raw_params"},
    "include_vars": {"_raw_params"},
    "meta": {"_raw_params"},
    "raw": {"_raw_params"},
    "script": {"_raw_params"},
    "shell": {"_raw_params", "strip_empty_ends"},
    # Its action's own.
    "validate_argument_spec": {"validate_args_context"},
    #: It hands them on to setup.
    "gather_facts": {"fact_path", "filter", "gather_subset", "gather_timeout"},
}


@functools.cache
def documented(name: str) -> dict[str, dict[str, Any]]:
    return dict(get_docstring(str(THEIR_MODULES / f"{name}.py"), fragment_loader)[0].get("options") or {})


#: Those of ansible-core; it ships no other collection.
NAMES = [name for name in modules.names() if name not in modules.COLLECTIONS]
#: Modules whose aliases are arguments of their own: two of them become variables of the host.
SEVERAL_NAMES = {"add_host"}


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_ansibles(name: str) -> None:
    theirs = documented(name)
    spec = modules.get(name).SPEC
    known = set(theirs) | {alias for option in theirs.values() for alias in option.get("aliases") or ()}
    ours = set(spec.arguments) | {alias for argument in spec.arguments.values() for alias in argument.aliases}
    assert ours - known == UNDOCUMENTED.get(name, set())
    assert known - ours - PLACEHOLDERS == REFUSED.get(name, set())
    assert REFUSED.get(name, set()) <= set(spec.refused)


@pytest.mark.parametrize(
    ("name", "key"),
    [(name, key) for name in NAMES if name not in SEVERAL_NAMES for key in modules.get(name).SPEC.arguments],
)
def test_defaults_and_choices_are_ansibles(name: str, key: str) -> None:
    theirs, ours = documented(name).get(key), modules.get(name).SPEC.arguments[key]
    if theirs is None:
        assert key in UNDOCUMENTED[name]
        return
    default = theirs.get("default")
    if default is not None and ours.type in ("bool", "int", "str", "path"):
        default = CONVERTERS[ours.type](default)
    assert ours.default == EXPECTED_DEFAULTS.get((name, key), default)
    assert ours.required is (bool(theirs.get("required")) and (name, key) not in NOT_REQUIRED)
    assert set(ours.aliases) == set(theirs.get("aliases") or ())
    choices = theirs.get("choices")
    if choices and ours.type != "bool":
        assert set(ours.choices or ()) == EXPECTED_CHOICES.get((name, key), set(choices))


#: What Ansible's documentation calls required, and its code does not.
NOT_REQUIRED = {("package", "name"), ("package", "state"), ("set_stats", "data")}
#: Where Ansible's documentation gives no default, or shows it in other words, but its code has it.
EXPECTED_DEFAULTS: dict[tuple[str, str], Any] = {
    ("assert", "fail_msg"): "Assertion failed",
    ("assert", "success_msg"): "All assertions passed",
    # Lists that cannot change.
    ("find", "patterns"): (),
    **{("dnf", key): () for key in ("enablerepo", "disablerepo", "exclude")},
    ("dnf", "name"): None,
    ("git", "executable"): "git",
    ("set_stats", "data"): {},
    ("group_by", "parents"): ["all"],
    ("setup", "gather_subset"): ["all"],
    ("reboot", "connect_timeout"): 10,
    ("reboot", "reboot_command"): None,
    ("unarchive", "copy"): None,
    ("validate_argument_spec", "provided_arguments"): {},
    ("user", "ssh_key_bits"): 0,
    ("user", "ssh_key_comment"): None,
    ("template", "comment_start_string"): "{#",
    ("template", "comment_end_string"): "#}",
    # The documentation shows it escaped.
    ("template", "newline_sequence"): "\n",
}
EXPECTED_CHOICES: dict[tuple[str, str], set[Any]] = {
    ("apt", "state"): {"absent", "fixed", "latest", "present"},
    # Hosts that nobody has tried it on.
    ("hostname", "use"): {"alpine", "debian", "freebsd", "openbsd", "openrc", "redhat", "sles", "systemd"},
    # The module itself says which ones it cannot ask.
    ("package_facts", "manager"): set(),
    ("uri", "body_format"): {"form-urlencoded", "json", "raw"},
    ("wait_for", "state"): {"absent", "present", "started", "stopped"},
    ("template", "newline_sequence"): {"\n", "\r", "\r\n", "\\n", "\\r", "\\r\\n"},
}


def test_known_elsewhere_are_exactly_ansibles_other_modules() -> None:
    theirs = {path.stem for path in THEIR_MODULES.glob("*.py")} - {"__init__", "async_wrapper"}
    assert theirs - set(modules.REGISTRY) - set(modules.ALIASES) == set(modules.ELSEWHERE)


FREE = Spec(summary="", arguments={"_raw_params": Argument()}, free_form="_raw_params")
PLAIN = Spec(summary="")
PIECES = st.sampled_from(
    [
        *("a", "b=c", "creates=/x", "chdir='a b'", "'", '"', "\\", "=", " ", "  ", "\n", "\\n", "\\'", '\\"', "\\="),
        *("{{", "}}", "{%", "%}", "{#", "#}", "\\x41", "x='y z'", 'q="{{ r }}"', "\\\n", "stdin=", "_raw"),
    ]
)


@given(st.lists(PIECES, max_size=9).map("".join))
def test_inline_text_is_read_as_ansible_reads_it(text: str) -> None:
    for spec in (FREE, PLAIN):
        try:
            theirs = parse_kv(text, check_raw=spec is FREE)
        except ansible_errors.AnsibleError:
            theirs = None
        try:
            ours = parse_inline("m", spec, text)
        except InputError as error:
            # Loose words are an error later in Ansible, and at once here.
            assert theirs is None or (spec is PLAIN and "_raw_params" in theirs), error
            continue
        assert ours == theirs


CLAUSE = st.from_regex(r"[ugoa]{0,3}([-+=][rwxXst]{0,4}|[-+=][ugo]){1,2}", fullmatch=True)


@given(st.lists(CLAUSE, min_size=1, max_size=3).map(",".join), st.integers(0, 0o7777), st.booleans())
def test_symbolic_modes_are_ansibles(mode: str, bits: int, is_directory: bool) -> None:
    # Ansible takes "a" for all only where it stands alone, and refuses "ua" and the like.
    named = [re.split("[-+=]", part)[0] for part in mode.split(",")]
    assume(all("a" not in who or who == "a" for who in named))
    current = (stat.S_IFDIR if is_directory else stat.S_IFREG) | bits
    umask = os.umask(0o022)
    os.umask(umask)
    path_stat = os.stat_result((current, *(0,) * 9))
    theirs = AnsibleModule._symbolic_mode_to_octal(path_stat, mode)
    assert resolve(CONVERTERS["mode"](mode), current, umask=umask) == theirs


VALUES: list[Any] = [
    *["yes", "No", "on", "", " true ", "1", "0", "2", "x", "a,b", "a=1", "a=1, b=2", "{'a': 1}", '{"a": 1}', "{x}"],
    *[True, False, 0, 1, 2, -3, 1.0, 1.5, [], ["a"], {}, {"a": 1}],
]


@pytest.mark.parametrize("kind", ["str", "int", "float", "bool", "list", "dict"])
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_types_are_converted_as_ansible_converts_them(kind: Any, value: Any) -> None:
    check = getattr(validation, f"check_type_{kind}")
    try:
        theirs = check(value)
    except TypeError:
        with pytest.raises(ValueError, match=r"\S"):
            CONVERTERS[kind](value)
        return
    assert CONVERTERS[kind](value) == theirs
