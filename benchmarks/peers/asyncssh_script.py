"""asyncssh: all hosts under one semaphore."""

import asyncio

import asyncssh
from driving import command, drive, hosts, key, known_hosts, port, stays, steps, user

known = asyncssh.read_known_hosts(known_hosts)
connections = {}


def connect(host):
    return asyncssh.connect(
        host,
        port,
        username=user,
        client_keys=[key],
        known_hosts=known,
        agent_path=None,
        config=None,
        connect_timeout=120,
        login_timeout=120,
    )


async def one(host, limit):
    async with limit:
        if steps == 1 and not stays:
            async with connect(host) as connection:
                return host, (await connection.run(command)).stdout
        if host not in connections:
            connections[host] = await connect(host)
        return host, (await connections[host].run(command)).stdout


async def everywhere():
    limit = asyncio.Semaphore(100)
    return dict(await asyncio.gather(*(one(host, limit) for host in hosts)))


with asyncio.Runner() as runner:
    drive(lambda: runner.run(everywhere()))
