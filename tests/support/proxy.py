"""A TCP relay that can be cut, for tests of networks that fail.

with Proxy(5432) as proxy:
    proxy.silence()     # nothing passes any more, nobody is told: a cable was pulled
    proxy.sever()       # what is connected is reset, what connects is reset: a firewall, a dead host
    proxy.heal()
"""

import asyncio
import threading
from types import TracebackType
from urllib.parse import urlsplit

CHUNK = 65_536


class Proxy:
    """Relays 127.0.0.1:`port` to `target` from a thread of its own. What was held back while silent passes when healed."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._severed = False
        self._passing = asyncio.Event()
        self._passing.set()

    def instead_of(self, url: str) -> str:
        """The same address by way of this relay."""
        address = urlsplit(url)
        user = f"{address.netloc.rpartition('@')[0]}@" if "@" in address.netloc else ""
        return address._replace(netloc=f"{user}127.0.0.1:{self.port}").geturl()

    def silence(self) -> None:
        self._loop.call_soon_threadsafe(self._passing.clear)

    def sever(self) -> None:
        self._loop.call_soon_threadsafe(self._sever)

    def heal(self) -> None:
        self._loop.call_soon_threadsafe(self._heal)

    def __enter__(self) -> "Proxy":
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self) -> asyncio.Server:
        return await asyncio.start_server(self._relay, "127.0.0.1", 0)

    async def _close(self) -> None:
        self._server.close()
        self._sever()
        self._passing.set()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _sever(self) -> None:
        self._severed = True
        for writer in self._writers:
            writer.transport.abort()

    def _heal(self) -> None:
        self._severed = False
        self._passing.set()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._severed:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, far_writer}
        self._writers |= pair
        pumps = [asyncio.ensure_future(self._pump(reader, far_writer)), asyncio.ensure_future(self._pump(far_reader, writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._writers -= pair
            for pump in pumps:
                pump.cancel()
            for each in pair:
                each.transport.abort() if self._severed else each.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(CHUNK):
                await self._passing.wait()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            return
