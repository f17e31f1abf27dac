"""Files that are missing for tasks that a run may do without: a warning, where others are a fault."""

from __future__ import annotations

import pytest

from tests.unit.plan.conftest import Project

HEAD = "- hosts: all\n  gather_facts: false\n  tasks:\n"
MISSING = (
    *("copy: src=nope dest=/x", "template: src=nope dest=/x"),
    *("script: nope", "include_vars: nope", "include_tasks: nope"),
)


def task(text: str, more: str = "", indent: str = "    ") -> str:
    return f"{indent}- {text}\n" + (f"{indent}  {more}\n" if more else "")


@pytest.mark.parametrize("text", [*MISSING, "include_role: {name: nope}", "include_vars: dir=nope"])
@pytest.mark.parametrize("around", ["when", "block", "in a block of a block", "when of the block"])
def test_what_a_run_may_do_without_is_a_warning(project: Project, text: str, around: str) -> None:
    inner = task(text, indent="        ")
    playbook = (
        HEAD
        + {
            "when": task(text, "when: x is defined"),
            "block": f"    - block:\n{inner}      rescue:\n        - ping:\n",
            "in a block of a block": f"    - block:\n        - block:\n{task(text, indent='            ')}"
            "      rescue:\n        - ping:\n",
            "when of the block": f"    - block:\n{inner}      when: x is defined\n",
        }[around]
    )
    (warning,) = project.compile(playbook).warnings
    assert "nope" in warning
    assert warning.endswith("a host that comes to it will fail there")
    assert warning.count("site.yml:") == 1


@pytest.mark.parametrize("text", MISSING[:4])
def test_with_ignore_errors_too(project: Project, text: str) -> None:
    assert len(project.compile(HEAD + task(text, "ignore_errors: true")).warnings) == 1


@pytest.mark.parametrize(
    "tasks",
    [
        *(task(text) for text in MISSING),
        task("copy: src=nope dest=/x", "when: true"),
        task("include_tasks: nope", "ignore_errors: true"),
        "    - block:\n        - ping:\n      rescue:\n        - copy: src=nope dest=/x\n",
        "    - block:\n        - ping:\n      always:\n        - copy: src=nope dest=/x\n",
        "    - block:\n        - copy: src=nope dest=/x\n      always:\n        - ping:\n",
        task("include_tasks: other.yml"),
        task("import_tasks: nope", "when: x is defined"),
    ],
)
def test_what_every_run_needs_is_a_fault(project: Project, tasks: str) -> None:
    project.write("other.yml", "- copy: src=nope dest=/x\n")
    (fault,) = project.faults(HEAD + tasks)
    assert "nope not found" in fault.what


@pytest.mark.parametrize(
    ("tasks", "files"),
    [
        (task("include_tasks: other.yml", "when: x is defined"), ("other",)),
        (task('include_tasks: "{{ x }}-kind.yml"'), ("a-kind", "b-kind")),
    ],
)
def test_files_that_only_some_hosts_bring_in_may_miss_some(
    project: Project, tasks: str, files: tuple[str, ...]
) -> None:
    for name in files:
        project.write(f"{name}.yml", "- copy: src=nope dest=/x\n")
    assert len(project.compile(HEAD + tasks).warnings) == len(files)


@pytest.mark.parametrize("kind", ["import_tasks", "include_tasks"])
def test_a_file_named_no_is_a_slip(project: Project, kind: str) -> None:
    faults = project.faults(HEAD + task(f"{kind}: no"))
    assert all(fault.place is not None and fault.place.line == 4 for fault in faults)
