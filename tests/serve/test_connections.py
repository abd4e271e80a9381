"""How much a connection reads before others have their turn."""

import asyncio

from hubbub.serve.connections import READ_BYTES, HttpConnection, ShortReads, StreamConnection


def test_every_connection_reads_a_little_at_once() -> None:
    """asyncio would read 256 kB: 40,000 empty frames or chunks, before anyone else has a turn."""
    sizes: list[int] = []

    class Reading(ShortReads, asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            sizes.append(len(data))

    async def send(data: bytes) -> None:
        server = await asyncio.get_running_loop().create_server(Reading, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(data)
        while sum(sizes) < len(data):
            await asyncio.sleep(0.01)
        writer.close()
        server.close()

    asyncio.run(send(bytes(100_000)))
    assert max(sizes) <= READ_BYTES
    assert issubclass(HttpConnection, ShortReads) and issubclass(StreamConnection, ShortReads)
