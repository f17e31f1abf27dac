"""parallel-ssh's library (ssh2-python, gevent). It has no check of host keys."""

from driving import command, drive, hosts, key, port, user
from pssh.clients import ParallelSSHClient

client = ParallelSSHClient(hosts, user=user, port=port, pkey=key, pool_size=100, allow_agent=False, identity_auth=False)

drive(lambda: {done.host: "\n".join(done.stdout) for done in client.run_command(command)})
