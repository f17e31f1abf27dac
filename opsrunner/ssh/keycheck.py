"""Is the key that the server has just shown the one that is known?"""

from __future__ import annotations

import base64
import shlex
import time
from collections.abc import Callable
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    SSHCertificateType,
    load_ssh_public_identity,
)

from opsrunner.errors import Unreachable
from opsrunner.ssh.hostkeys import Known, KnownHosts, fingerprint, matches
from opsrunner.ssh.target import Target


class HostKeyCheck:
    """One connection's check: what to ask the server for, and whether its key will do.

    Raises Unreachable from the start when a known_hosts file cannot be read.
    """

    def __init__(self, target: Target, known_hosts: KnownHosts, wall_clock: Callable[[], float] = time.time) -> None:
        self._target = target
        self._files = known_hosts
        self._wall_clock = wall_clock
        self._known = self._lookup(target.known_as)
        #: As ssh does: a host on another port is also known by a line without the port.
        self._portless = Known()
        if not self._known.keys and target.port != 22:
            self._portless = self._lookup(target.address.lower())

    def _lookup(self, name: str) -> Known:
        try:
            return self._files.lookup(name, self._target.known_hosts)
        except OSError as error:
            raise Unreachable(
                "cannot read a known_hosts file",
                host=self._target.host,
                why=str(error),
                remedy="make it readable to the worker's user",
            ) from None

    @property
    def algorithms(self) -> tuple[str, ...] | None:
        """Host key algorithms to offer; None when nothing is pinned and any safe one will do."""
        if self._target.host_key_checking == "no":
            return None
        asked = self._known.algorithms() + self._portless.algorithms()
        return tuple(dict.fromkeys(asked)) or None

    def check(self, key: Any) -> None:
        """Accept the server's ``key`` or raise Unreachable; remembers a new one under accept-new."""
        blob = bytes(key.asbytes())
        certificate = getattr(key, "public_blob", None)
        if any(revoked.blob == blob for revoked in self._revoked()):
            raise self._refusal("the host key is revoked", blob, remedy="do not connect; ask who revoked it")
        if self._target.host_key_checking == "no":
            return
        if any(known.blob == blob for known in (*self._known.keys, *self._portless.keys)):
            return
        if certificate is not None:
            self._check_certificate(bytes(certificate.key_blob))
        elif self._known.keys:
            raise self._changed(key.get_name(), blob)
        elif self._target.host_key_checking == "accept-new":
            self._remember(key.get_name(), blob)
        else:
            raise self._unknown(blob)

    def _revoked(self) -> list[Any]:
        return [*self._known.revoked, *self._portless.revoked]

    def _refusal(self, what: str, blob: bytes, *, remedy: str, why: str = "") -> Unreachable:
        shown = f"it shows {fingerprint(blob)}" if blob else ""
        return Unreachable(
            what, host=self._target.host, why="; ".join(part for part in (why, shown) if part), remedy=remedy
        )

    def _changed(self, name: str, blob: bytes) -> Unreachable:
        same_type = [key for key in self._known.keys if key.type == name] or self._known.keys
        old = same_type[0]
        return self._refusal(
            f"the host key of {self._target.known_as} has changed",
            blob,
            why=f"{old.place} holds {fingerprint(old.blob)}",
            remedy="if the host was really reinstalled: "
            f"ssh-keygen -R {shlex.quote(self._target.known_as)} -f {shlex.quote(old.file)}, then add the new key",
        )

    def _unknown(self, blob: bytes) -> Unreachable:
        port = "" if self._target.port == 22 else f"-p {self._target.port} "
        file = shlex.quote(str(self._target.known_hosts[0]))
        return self._refusal(
            f"the host key of {self._target.known_as} is unknown",
            blob,
            remedy="compare the fingerprint with the host's own (ssh-keygen -lf /etc/ssh/ssh_host_…_key.pub), "
            f"then: ssh-keyscan {port}{shlex.quote(self._target.address)} >> {file}",
        )

    def _remember(self, name: str, blob: bytes) -> None:
        path = self._target.known_hosts[0]
        try:
            self._files.remember(self._target.known_as, name, blob, path)
        except OSError as error:
            raise self._refusal(
                "the new host key cannot be remembered", blob, why=str(error), remedy=f"make {path} writable"
            ) from None

    def _check_certificate(self, blob: bytes) -> None:
        fault = certificate_fault(
            blob,
            self._target.address.lower(),
            authorities=[key.blob for key in self._known.authorities + self._portless.authorities],
            revoked=[key.blob for key in self._revoked()],
            now=self._wall_clock(),
        )
        if fault is not None:
            raise self._refusal(
                f"the host certificate of {self._target.known_as} is not valid",
                b"",
                why=fault,
                remedy="renew the certificate, or mend the @cert-authority line",
            )


def certificate_fault(
    blob: bytes, address: str, *, authorities: list[bytes], revoked: list[bytes], now: float
) -> str | None:
    """Why a host certificate is not to be trusted, or None when it is; ``now`` in seconds since 1970."""
    length = int.from_bytes(blob[:4], "big")
    try:
        certificate = load_ssh_public_identity(blob[4 : 4 + length] + b" " + base64.b64encode(blob))
    except Exception as error:  # whatever a hostile server put there
        return f"it cannot be read: {error}"
    if not isinstance(certificate, SSHCertificate) or certificate.type is not SSHCertificateType.HOST:
        return "it is no host certificate"
    authority = _ssh_blob(certificate.signature_key())
    if _ssh_blob(certificate.public_key()) in revoked or authority in revoked:
        return "its key, or the authority's, is revoked"
    if authority not in authorities:
        return f"no @cert-authority line names its authority {fingerprint(authority)}"
    try:
        certificate.verify_cert_signature()
    except InvalidSignature:
        return "its signature is wrong"
    if not certificate.valid_after <= now < certificate.valid_before:
        return "it is not valid at this time"
    if certificate.critical_options:
        return "it has critical options that are not known"
    principals = [principal.decode(errors="replace").lower() for principal in certificate.valid_principals]
    if principals and not any(matches(address, [principal]) for principal in principals):
        return f"it is for {', '.join(principals)}, not for {address}"
    return None


def _ssh_blob(key: Any) -> bytes:
    return base64.b64decode(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1])
