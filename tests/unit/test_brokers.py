"""Brokers that fit, and why others do not."""

from __future__ import annotations

import pytest

from opsrunner import brokers
from opsrunner.errors import InputError

FIT = [
    "redis://one/0",
    "rediss://:secret@one:6380/0?ssl_cert_reqs=required",
    "redis+socket:///run/redis.sock",
    "sentinel://one:26379;sentinel://two:26379",
    "amqp://user:secret@one//",
    "amqps://one//",
    "amqp://one//;amqp://two//",
]


@pytest.mark.parametrize("url", FIT)
def test_what_fits(url: str) -> None:
    brokers.check(url, "redis://one/0", {})


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("memory://", "in one process"),
        ("filesystem://", "on one machine"),
        ("sqs://key:secret@", "no broadcast"),
        ("SQS://", "no broadcast"),
        ("rediscluster://one:7000", "no Redis Cluster"),
        ("sqla+sqlite:///x", "is polled"),
        ("etcd://one", "nobody has tried"),
        ("kafka://one", "no broadcast"),
        ("unix:///run/redis.sock", "knows no broker"),
        ("redis://one;redis://two", "hold other messages"),
        ("sentinel://one;redis://two", "hold other messages"),
        ("amqps://one//?ssl_ca_certs=/etc/ca.pem", "knows no such words"),
    ],
)
def test_what_does_not(url: str, why: str) -> None:
    with pytest.raises(InputError) as caught:
        brokers.check(url, None, {})
    assert why in str(caught.value)
    assert caught.value.remedy
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("backend", ["rpc://", "db+sqlite:///x", "django-db", "disabled://", "redis://one;redis://two"])
def test_results_are_kept_in_one_redis(backend: str) -> None:
    with pytest.raises(InputError, match="results cannot be kept in"):
        brokers.check("amqp://one//", backend, {})


@pytest.mark.parametrize("name", brokers.EAGER)
def test_tasks_are_never_carried_out_by_their_sender(name: str) -> None:
    brokers.check("redis://one/0", None, {name: False})
    with pytest.raises(InputError, match=f"{name} is set .*no worker"):
        brokers.check("redis://one/0", None, {name: True})


def test_the_masters_name_travels_with_the_sentinels() -> None:
    given = {"master_name": "the one", "sentinel_user": "", "sentinel_password": "a&b@c"}
    url = brokers.ledger_url(None, "sentinel://:p@one;sentinel://two", None, given)
    assert url == "sentinel://:p@one;sentinel://two?master_name=the%20one&sentinel_password=a%26b%40c"
    assert brokers.hide_password(url) == "sentinel://***@one;sentinel://two?master_name=the%20one&sentinel_password=***"
    assert brokers.ledger_url(None, "amqp://one//", "redis://two/1", {"master_name": "mymaster"}) == "redis://two/1"


def test_no_password_is_shown() -> None:
    assert (
        brokers.hide_password("sentinel://:a@b@one/0;sentinel://u:c@two") == "sentinel://***@one/0;sentinel://***@two"
    )
    assert brokers.hide_password("redis://one/0") == "redis://one/0"
