"""pyinfra: ten operations, one after the other on all hosts."""

from pyinfra.operations import server

for number in range(10):
    server.shell(name=f"step {number}", commands=["/bin/echo opsok"])
