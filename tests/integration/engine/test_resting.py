"""A worker that has nothing to do asks Redis seldom, and what it waits for in Redis does not hold it up."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kombu import Connection, Consumer, Producer, Queue
from kombu.asynchronous import Hub

from opsrunner.engine import bell, messages
from opsrunner.engine.bell import Bell
from opsrunner.engine.lead import Lead
from opsrunner.engine.waking import SignalWaker
from opsrunner.ledger import keys
from opsrunner.ledger.client import client_for
from opsrunner.ledger.reader import Reader
from opsrunner.ledger.store import Client
from tests.integration.stack import Redis, Stack, wait_until

#: Seconds that a busy machine may take.
SOON = 60.0
#: Nothing here waits for so long: it is ended.
EVER = 120
#: What the looks of a worker ask that has something to do.
LOOKS = ("smembers", "hgetall", "hmget", "zrangebyscore", "evalsha", "get")


@pytest.fixture
def client(server: Redis) -> Iterator[Client]:
    server.client.flushdb()
    with client_for(server.url, timeout=EVER) as client:
        yield client


def held(server: Redis) -> int:
    """Questions that Redis holds until there is an answer."""
    return int(server.client.info("clients")["blocked_clients"])


def test_a_worker_that_rests_does_nothing_but_beat(tmp_path: Path) -> None:
    stack = Stack(tmp_path, broker="redis", OPSRUNNER_HEARTBEAT="0.5")
    try:
        stack.inventory("all: {hosts: {here: {ansible_connection: local}}}\n")
        stack.worker("one")
        assert stack.redis
        redis = stack.redis.client

        def calls(*names: str) -> int:
            told = redis.info("commandstats")
            return sum(told.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in names)

        def rests() -> bool:
            """Whether it does nothing else while it beats a few times, and asks for the time with each."""
            beats, looks, asked = calls("time"), calls(*LOOKS), calls("blpop", "brpop")
            wait_until(lambda: calls("time") >= beats + 6, SOON, "six beats")
            return calls(*LOOKS) == looks and calls("blpop", "brpop") - asked < 6

        stack.opsrunner("exec", "all", "--", "true")
        wait_until(rests, SOON, "the worker to rest")
        assert not redis.exists(keys.LEADER)
        # Nobody has rung for it, and it is found all the same: there is no such run, so it is taken off the list.
        redis.sadd(keys.OPEN, "260101-000000-gone")
        wait_until(lambda: not redis.exists(keys.OPEN), SOON, "the steward to wake")
    finally:
        stack.close()


def test_the_bell_is_answered_and_ends_at_once(server: Redis, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bell, "HELD", EVER)
    answered: list[bytes] = []
    ours = Bell(SimpleNamespace(redis=client, boot="b"), answered.append)  # type: ignore[arg-type]
    ours.begin()
    for name in (b"one", b"two"):
        client.rpush(keys.BELL, name)
        wait_until(lambda name=name: name in answered, SOON, "an answer")
    wait_until(lambda: held(server) == 1, SOON, "the bell to be listened for")
    ours.end()
    ours._thread.join(SOON)
    assert not ours._thread.is_alive()
    assert answered == [b"one", b"two"]
    assert not client.exists(keys.BELL)


def test_one_leads_until_it_gives_up(client: Client) -> None:
    one, two = (Lead(client, Reader(client), boot) for boot in ("one", "two"))
    assert not one.held()
    for lead in (one, two, one):
        lead.take()
    assert (one.held(), two.held()) == (True, False)
    two.give_up()
    assert client.get(keys.LEADER) == b"one"
    one.give_up()
    two.take()
    assert (one.held(), two.held()) == (False, True)


# ---------------------------------------------------------------------- kombu
@pytest.fixture
def broker(server: Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    server.client.flushdb()
    messages.install()
    monkeypatch.setattr(messages.Transport, "brpop_timeout", EVER)
    connection = Connection(server.url)
    yield connection
    connection.release()


def run_until(condition: Callable[[], object], hub: Hub) -> None:
    """Have Celery's loop go round until then. A round lasts until something happens: it must be woken for it."""

    def goes_on() -> bool:
        hub.run_once()
        return bool(condition())

    wait_until(goes_on, SOON, "what the loop was to be woken for")


def test_a_worker_that_was_full_reads_on_by_itself(server: Redis, broker: Connection) -> None:
    told: list[Any] = []
    hub, channel, queue = Hub(), broker.channel(), Queue("tasks")
    try:
        broker.transport.register_with_event_loop(broker.connection, hub)
        Consumer(channel, [queue], no_ack=True, callbacks=[lambda body, _: told.append(body)]).consume()
        hub.run_once()
        wait_until(lambda: held(server) == 1, SOON, "the question")
        free = threading.Event()
        channel.qos.can_consume = free.is_set
        with Connection(server.url) as other:
            Producer(other).publish("hello", routing_key="tasks", declare=[queue])
        hub.run_once()
        assert told == []
        free.set()
        due = min(entry.eta for entry in hub.timer.queue)
        assert due - time.monotonic() <= messages.LOOK_WHILE_FULL
        run_until(lambda: told, hub)
        assert told == ["hello"]
        # Nothing happens any more: nothing wakes it soon.
        run_until(lambda: min(entry.eta for entry in hub.timer.queue) - time.monotonic() > 2, hub)
    finally:
        hub.close()


def test_a_signal_wakes_the_loop() -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: came.append(number))
    hub, waker = Hub(), SignalWaker()
    try:
        waker.join(hub)
        for _ in range(2):
            assert hub.poller.poll(0) == []
            os.kill(os.getpid(), signal.SIGUSR1)
            [(woken, _)] = hub.poller.poll(SOON)
            callback, arguments = hub.readers[woken]
            callback(*arguments)
        assert came == [signal.SIGUSR1] * 2
    finally:
        waker.close()
        signal.signal(signal.SIGUSR1, before)
        hub.close()
    assert signal.set_wakeup_fd(-1) == -1


def drain(connection: Connection, seconds: float) -> None:
    with suppress(socket.timeout):
        connection.drain_events(timeout=seconds)


def test_a_queue_is_consumed_from_the_moment_it_is_added(server: Redis, broker: Connection) -> None:
    told: list[Any] = []
    consumer = Consumer(broker.channel(), [Queue("first")], no_ack=True, callbacks=[lambda body, _: told.append(body)])
    consumer.consume()
    drain(broker, 0.1)
    wait_until(lambda: held(server) == 1, SOON, "the question")
    consumer.add_queue(Queue("second"))
    consumer.consume()
    with Connection(server.url) as other:
        Producer(other).publish("hello", routing_key="second", declare=[Queue("second")])
    wait_until(lambda: drain(broker, 0.1) or told, SOON, "the message")
    assert told == ["hello"]


def test_closing_waits_for_nothing_and_loses_nothing(server: Redis, broker: Connection) -> None:
    queue = Queue("tasks")
    Consumer(broker.channel(), [queue], callbacks=[lambda body, message: None]).consume()
    drain(broker, 0.1)
    wait_until(lambda: held(server) == 1, SOON, "the question")
    with Connection(server.url) as other:
        # Taken out of its list for us, and not read yet.
        Producer(other).publish("hello", routing_key="tasks", declare=[queue])
        wait_until(lambda: held(server) == 0, SOON, "Redis to hand it over")
    closer = threading.Thread(target=broker.release)
    closer.start()
    closer.join(SOON)
    assert not closer.is_alive()
    assert server.client.llen("tasks") == 1


def test_a_redis_that_is_full_answers_in_the_end(
    server: Redis, broker: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages.Transport, "brpop_timeout", 1)
    Consumer(broker.channel(), [Queue("tasks")]).consume()
    drain(broker, 0.1)
    wait_until(lambda: held(server) == 1, SOON, "the question")
    server.client.config_set("maxmemory", 1)
    try:
        broker.release()
    finally:
        server.client.config_set("maxmemory", 0)


def test_closing_ends_what_redis_holds(server: Redis, broker: Connection) -> None:
    Consumer(broker.channel(), [Queue("tasks")]).consume()
    drain(broker, 0.1)
    wait_until(lambda: held(server) == 1, SOON, "the question")
    closer = threading.Thread(target=broker.release)
    closer.start()
    closer.join(SOON)
    assert not closer.is_alive()
    wait_until(lambda: held(server) == 0, SOON, "Redis to hold nothing")
