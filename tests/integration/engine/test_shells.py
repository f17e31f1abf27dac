"""Who runs a host's commands is for the host's own variables to say."""

from __future__ import annotations

from tests.integration.engine.test_run import playbook, results
from tests.integration.stack import Stack


def test_a_host_chooses_its_way(stack: Stack) -> None:
    fleet = (stack.folder / "inventory" / "hosts.yml").read_text()
    for host, chosen in (("h0021", "true"), ("h0022", "false")):
        address = f"{host}: {{ansible_host: 127.1.0.{int(host[1:])}"
        assert address in fleet
        fleet = fleet.replace(address, f"{address}, opsrunner_ssh_shell: {chosen}")
    stack.inventory(fleet)
    steps = "".join(f"    - {{name: step {n}, shell: tr '\\0' ' ' </proc/$PPID/cmdline}}\n" for n in range(8))
    document = stack.play(playbook(steps, "h[0021-0022]"))
    told = [{host: result["stdout"] for host, result in results(document, f"step {n}").items()} for n in range(1, 8)]
    assert "/bin/bash -p -s opsrunner " in {by["h0021"] for by in told}
    assert all(by["h0022"].startswith("sshd: ") for by in told)
