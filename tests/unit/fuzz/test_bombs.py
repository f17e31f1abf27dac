"""Input that asks for all the time or all the memory there is: refused in seconds, within a gigabyte."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from opsrunner.templating import LookupContext, Templar, TemplateFailure, bounds

#: Bytes of address space: an interpreter with our imports takes a fifth of it.
MEMORY = 1 << 30

YAML = {
    "laughs": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)),
    "brackets": "[" * 1_000_000,
    "dashes": "- " * 1_000_000,
    "braces": "{a: " * 300_000,
    "keys": "? " * 300_000,
    "stairs": "".join(" " * n + "a:\n" for n in range(3000)),
    "itself": "a: &a {<<: *a, b: [*a]}",
    "hosts": "all: {hosts: {'[0:999][0:999][0:999]': , '[000:999]" + "a" * 900 + "[000:999]': }}",
    "digits": "all: {hosts: {a: {b: 0x" + "f" * 1_000_000 + "}}}",
}
GROW = "{% set n = namespace(x=START) %}{% for i in range(70) %}{% set n.x = STEP %}{% endfor %}{{ n.x }}"
TEMPLATES = [
    "{{ range(10**9) | list }}",
    "{{ 'x' * 10**10 }}",
    "{{ [1] * 10**10 }}",
    "{{ 9 ** 9999999999 }}",
    "{{ '%9999999999d' % 1 }}",
    "{{ '%*d' % (9999999999, 1) }}",
    "{{ '%9999999999d' | format(1) }}",
    "{{ '{:{}}'.format(1, 9999999999) }}",
    "{{ 'x'.ljust(10**10) }}",
    "{{ 'x' | center(10**10) }}",
    "{{ 'x\ny' | indent(10**10) }}",
    "{{ 15 | round(10**10, 'ceil') }}",
    "{{ (1).__lshift__(10**11) }}",
    "{{ (1).to_bytes(10**10, 'big') }}",
    "{{ 'ab' | batch(10**10, 1) }}",
    "{{ {'a': 1} | to_nice_json(indent=10**10) }}",
    "{{ 'x' | comment(prefix_count=10**10) }}",
    "{{ ('a' * 10**6) | replace('', 'x' * 10**6) }}",
    "{{ ('a' * 10**6).replace('a', 'x' * 10**6) }}",
    "{{ range(10**6) | join('x' * 10**6) }}",
    "{{ ('x' * 10**6).join('y' * 10**6) }}",
    "{{ lookup('sequence', 'start=1 end=1000000000') }}",
    "{{ range(30) | permutations }}",
    "{{ lookup('nested', range(3000) | list, range(3000) | list) }}",
    "{% for i in range(10**6) %}{% for j in range(10**6) %}{% endfor %}{% endfor %}",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "{% set l = [1] %}{% for i in range(70) %}{% set ignored = l.extend(l) %}{% endfor %}{{ l | length }}",
    GROW.replace("START", "'x'").replace("STEP", "n.x ~ n.x"),
    GROW.replace("START", "'x'").replace("STEP", "n.x + n.x"),
    GROW.replace("START", "7").replace("STEP", "n.x * n.x"),
    GROW.replace("START", "[1]").replace("STEP", "n.x + n.x"),
    GROW.replace("START", "[1]").replace("STEP", "[n.x, n.x]"),
    GROW.replace("START", "[1]").replace("STEP", "[n.x, n.x]").replace("n.x }}", "n.x | string }}"),
    GROW.replace("START", "[1]").replace("STEP", "{'a': n.x, 'b': n.x}").replace("n.x }}", "n.x | to_json }}"),
    GROW.replace("START", "[1]").replace("STEP", "[n.x, n.x]").replace("n.x }}", "n.x | flatten }}"),
    "{{ '" + "\\n".join(["[" * 50_000]) + "' | from_yaml }}",
    "{{ 'a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n"
    "d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
    "g: [*e,*e,*e,*e,*e,*e,*e,*e]\nh: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]' | from_yaml }}",
]


def _no_file(path: str) -> str:
    raise FileNotFoundError(path)


@pytest.fixture
def little_memory() -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def typed(words: list[str], folder: Path, before: Callable[[], None]) -> subprocess.CompletedProcess[str]:
    """The command typed in ``folder`` by a process of its own, which does ``before`` first."""
    return subprocess.run(
        [sys.executable, "-m", "opsrunner", *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PATH": "/bin", "HOME": str(folder), "PYTHONPATH": str(Path(__file__).parents[3])},
        timeout=30,
        check=False,
        preexec_fn=before,
    )


@pytest.mark.parametrize("name", YAML)
@pytest.mark.parametrize(
    "words", [["inventory", "list", "-i", "FILE"], ["plan", "FILE", "-i", "web1,"]], ids=lambda words: words[0]
)
def test_a_file_that_asks_for_too_much_is_refused(
    tmp_path: Path, words: list[str], name: str, little_memory: Callable[[], None]
) -> None:
    (tmp_path / "bomb.yml").write_text(YAML[name])
    done = typed(["bomb.yml" if word == "FILE" else word for word in words], tmp_path, little_memory)
    assert done.returncode == 65, done.stderr
    assert done.stderr.startswith("bomb.yml"), done.stderr


@pytest.mark.parametrize("path", ["/dev/zero", "/proc/self/mem"])
def test_a_device_is_no_input(tmp_path: Path, path: str, little_memory: Callable[[], None]) -> None:
    for words in (
        ["plan", path, "-i", "web1,"],
        ["inventory", "list", "-i", path],
        ["exec", "all", "-i", "web1,", "-e", f"@{path}", "x"],
    ):
        done = typed(words, tmp_path, little_memory)
        assert done.returncode == 65, done.stderr


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda text: text[:40])
def test_a_template_that_asks_for_too_much_fails(template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_SECONDS", 0.3)
    templar = Templar(lookups=LookupContext(environment={}, read_file=_no_file, directory="/"))
    with pytest.raises(TemplateFailure):
        templar.render(template, {})


def test_what_a_large_fleet_needs_is_within_the_bounds() -> None:
    templar = Templar(lookups=LookupContext(environment={}, read_file=_no_file, directory="/"))
    hosts = {f"web{number}": {"ansible_host": f"10.0.{number >> 8}.{number & 255}"} for number in range(20_000)}
    template = (
        "{% for host in hosts | sort %}{{ hosts[host].ansible_host | default('?') }} {{ host | upper }}\n{% endfor %}"
    )
    assert templar.render_text(template, {"hosts": hosts}).count("\n") == 20_000
    assert templar.render("{{ range(1, 65536) | random }}", {}) < 65536


def test_a_bound_that_was_met_does_not_outlive_its_rendering() -> None:
    templar = Templar(lookups=LookupContext(environment={}, read_file=_no_file, directory="/"))
    with pytest.raises(TemplateFailure, match="A range of more than"):
        templar.render("{{ (range(10**9) | list) | default([]) }}", {})
    assert templar.render("{{ range(3) | list }}", {}) == [0, 1, 2]
