"""A plan goes to bytes and comes back as it was."""

from __future__ import annotations

import datetime
import json
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from opsrunner import yamlsource
from opsrunner.plan.codec import FORMAT, PlanFormatError, decode, encode, plain
from opsrunner.plan.model import Loop, Options, Plan, Play, Step

_TEXT = st.text(max_size=8)
_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=10), st.just("\0pairs")
)
_KEYS = st.one_of(_TEXT, st.integers(), st.booleans(), st.none(), st.just("\0pairs"))
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=3)),
    max_leaves=8,
)
_MAPPINGS = st.dictionaries(_TEXT, _VALUES, max_size=3)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=9), inner, max_size=3)),
    max_leaves=8,
)
_TUPLES = st.lists(_VALUES, max_size=2).map(tuple)
_TEXTS = st.lists(_TEXT, max_size=2).map(tuple)
_PATHS = st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["block", "rescue", "always"])), max_size=3).map(tuple)

_LOOPS = st.builds(Loop, kind=st.sampled_from(["loop", "items"]), over=_VALUES, variable=_TEXT, label=st.none() | _TEXT)
_STEPS = st.builds(
    Step,
    number=st.integers(0, 99),
    name=_TEXT,
    module=_TEXT,
    place=_TEXT,
    arguments=_MAPPINGS,
    path=_PATHS,
    when=_TUPLES,
    loop=st.none() | _LOOPS,
    retries=_VALUES,
    delay=_VALUES,
    failed_when=st.none() | _TUPLES,
    ignore_errors=_VALUES,
    listen=_TEXTS,
    environment=_TUPLES,
    vars=_MAPPINGS,
    literal=st.booleans(),
)
_PLAYS = st.builds(
    Play,
    number=st.integers(0, 9),
    name=_TEXT,
    place=_TEXT,
    pattern=_TEXT,
    hosts=_TEXTS,
    batches=st.lists(_TEXTS, max_size=2).map(tuple),
    steps=st.lists(_STEPS, max_size=2).map(tuple),
    vars=_MAPPINGS,
    max_fail_percentage=st.none() | st.floats(0, 100),
)
_PLANS = st.builds(
    Plan,
    title=_TEXT,
    kind=st.sampled_from(["playbook", "exec"]),
    directory=_TEXT,
    plays=st.lists(_PLAYS, max_size=2).map(tuple),
    inventory=st.dictionaries(_TEXT, _JSON, max_size=3),
    zones=st.dictionaries(_TEXT, _TEXTS, max_size=2),
    extra_vars=_MAPPINGS,
    files=st.dictionaries(_TEXT, _TEXT, max_size=2),
    options=st.builds(Options, tags=_TEXTS, limit=st.none() | _TEXT, become=st.none() | st.booleans()),
)


def _typed(value: object) -> object:
    """A value with its types, as 1, 1.0 and True are equal to Python."""
    if isinstance(value, Struct):
        return [type(value), *(_typed(getattr(value, name)) for name in value.__struct_fields__)]
    if isinstance(value, dict):
        return [dict, *((_typed(key), _typed(content)) for key, content in value.items())]
    if isinstance(value, (list, tuple)):
        return [type(value), *(_typed(item) for item in value)]
    return type(value), repr(value)


@settings(max_examples=150, deadline=None)
@given(_PLANS)
def test_a_plan_comes_back_as_it_was(plan: Plan) -> None:
    assert _typed(decode(encode(plan))) == _typed(plan)


def test_values_of_yaml_become_plain() -> None:
    value = yamlsource.load("a: [2020-01-02, 2020-01-02 03:04:05, !!binary aGk=]\n80: {x: ~}\n", "x.yml")
    found = plain(value)
    assert found == {"a": ["2020-01-02", "2020-01-02T03:04:05", "hi"], 80: {"x": None}}
    assert type(found) is dict and type(found["a"]) is list
    assert plain({datetime.date(2020, 1, 2): 1}) == {"2020-01-02": 1}


def test_what_is_left_at_its_default_costs_nothing() -> None:
    step = Step(number=0, name="a", module="b", place="c")
    plan = Plan("t", "exec", "/", (Play(0, "p", "c", "all", (), (), (step,)),), {})
    packed = json.loads(zlib.decompress(encode(plan)))["plan"]["plays"][0]["steps"][0]
    assert packed == {"number": 0, "name": "a", "module": "b", "place": "c"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        zlib.compress(b"[1]"),
        zlib.compress(b'{"format":0,"plan":{}}'),
        zlib.compress(json.dumps({"format": FORMAT, "plan": {"title": "x"}}).encode()),
        zlib.compress(json.dumps({"format": FORMAT, "plan": 3}).encode()),
        zlib.compress(json.dumps({"format": FORMAT}).encode()),
        zlib.compress(json.dumps({"format": FORMAT, "plan": {"nonsense": 1}}).encode()),
    ],
)
def test_bytes_that_are_no_plan_are_refused(data: bytes) -> None:
    with pytest.raises(PlanFormatError):
        decode(data)
