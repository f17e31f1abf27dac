"""Fabric's ThreadingGroup; host keys are pinned, others refused."""

import paramiko
from driving import command, drive, hosts, key, known_hosts, port, user
from fabric import Connection, ThreadingGroup

known = paramiko.HostKeys(known_hosts)
options = {
    "key_filename": key,
    "look_for_keys": False,
    "allow_agent": False,
    "banner_timeout": 120,
    "auth_timeout": 120,
}
group = ThreadingGroup.from_connections(
    Connection(host, user=user, port=port, connect_timeout=120, connect_kwargs=options) for host in hosts
)
for connection in group:
    connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    name = f"[{connection.host}]:{port}"
    for kind, pinned in known[name].items():
        connection.client.get_host_keys().add(name, kind, pinned)


def once():
    done = group.run(command, hide=True, in_stream=False)
    return {connection.host: result.stdout for connection, result in done.items()}


drive(once)
