"""relay.py PORT TARGET_PORT MILLISECONDS: what relay.c does, for machines without a C compiler."""

from __future__ import annotations

import asyncio
import socket
import sys


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hold: float) -> None:
    """Give all that is read on, ``hold`` seconds later."""
    loop = asyncio.get_running_loop()

    def deliver(piece: bytes) -> None:
        if writer.is_closing():
            return
        if piece:
            writer.write(piece)
        else:
            writer.write_eof()

    piece = b"more"
    while piece:
        try:
            piece = await reader.read(65_536)
        except OSError:
            piece = b""
        loop.call_later(hold, deliver, piece)


async def link(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, hold: float) -> None:
    address = writer.get_extra_info("sockname")[0]
    await asyncio.sleep(2 * hold)
    far_reader, far_writer = await asyncio.open_connection(address, port)
    for stream in (writer, far_writer):
        stream.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    await asyncio.gather(carry(reader, far_writer, hold), carry(far_reader, writer, hold))
    await asyncio.sleep(2 * hold)
    writer.close()
    far_writer.close()


async def serve(port: int, target_port: int, milliseconds: float) -> None:
    server = await asyncio.start_server(
        lambda reader, writer: link(reader, writer, target_port, milliseconds / 1000), "0.0.0.0", port, backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
