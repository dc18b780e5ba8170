"""Mail hosts that answer by a script, all on one event loop in a thread of its own.

A script is asked at each step of a session and gives the reply, or keeps silent.
"""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol, Self


class Step(Enum):
    """The steps at which a script is asked."""

    GREETING = "greeting"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    BODY = "within the body"
    END = "after the dot"


#: Instead of a reply: the connection is closed, or the host keeps silent from now on.
CLOSE = "close"
SILENCE = "silence"

_USUAL = {
    Step.GREETING: "220 host.test ESMTP",
    Step.STARTTLS: "220 2.0.0 go ahead",
    Step.MAIL: "250 2.1.0 sender accepted",
    Step.RCPT: "250 2.1.5 recipient accepted",
    Step.DATA: "354 end with a dot",
    Step.BODY: "",
    Step.END: "250 2.0.0 stored",
}
_END = b"\r\n.\r\n"
_EXTENSIONS = ("PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES")


class Script(Protocol):
    """Decides the replies of one host."""

    def reply(self, step: Step, session: int, now: float) -> str:
        """Return the reply at this step of a session, CLOSE or SILENCE; "" stands for the usual reply.

        `now` is monotonic time in seconds. A reply 421 ends the connection.
        """

    def over(self, session: int) -> None:
        """Note that the transaction of a session has ended, if it had begun one: stored, refused, reset or cut off."""

    @property
    def pause(self) -> float:
        """Seconds that the host takes to store a message."""


class Plain:
    """The script of a host that takes everything at once."""

    pause = 0.0

    def reply(self, step: Step, session: int, now: float) -> str:  # noqa: ARG002
        """Return the usual reply."""
        return ""

    def over(self, session: int) -> None:
        """Ignore the end of a transaction: this script counts no transactions."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One message that a host has stored; `at` is monotonic time."""

    at: float
    sender: str
    recipients: tuple[str, ...]
    encrypted: bool


@dataclass
class Host:
    """One host, and the messages that it has seen. Its thread appends; others may read at any time."""

    script: Script
    tls: ssl.SSLContext | None = None
    stored: list[Stored] = field(default_factory=list)
    #: Replies 4yz and 5yz of the script; commands out of order after one are not counted.
    refused: int = 0
    sessions: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hold one session."""
        self.sessions += 1
        session = _Session(self, self.sessions, reader, writer)
        with suppress(OSError, EOFError, _Over, asyncio.CancelledError):
            await session.run()
        self.script.over(session.number)
        writer.close()


class Hosts:
    """The thread in which hosts live. A context manager; leaving it ends all of them."""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._run(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def add(self, host: Host, address: str, port: int) -> int:
        """Have a host listen, in the network of the calling thread, and return its port."""
        listener = socket.create_server((address, port), backlog=512)
        # A host that stops reading is to be noticed after little of a body.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        listener.setblocking(False)
        self._run(asyncio.start_server(host.serve, sock=listener))
        return int(listener.getsockname()[1])

    def _run(self, coroutine: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)


async def _cancel_others() -> None:
    """End all sessions of the running loop."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class _Over(Exception):
    """The session is over."""


class _Session:
    def __init__(self, host: Host, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self._host = host
        self._reader = reader
        self._writer = writer
        self._buffer = b""
        self._encrypted = False
        self._sender: str | None = None
        self._recipients: list[str] = []

    async def run(self) -> None:
        await self._answer(Step.GREETING)
        while True:
            verb, _, argument = (await self._line()).partition(" ")
            await self._command(verb.upper(), argument)

    async def _line(self) -> str:
        while b"\r\n" not in self._buffer:
            self._buffer += await self._read()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line.decode("utf-8", "replace").strip()

    async def _read(self) -> bytes:
        data = await self._reader.read(65536)
        if not data:
            raise EOFError
        return data

    async def _command(self, verb: str, argument: str) -> None:
        match verb:
            case "EHLO" | "HELO":
                await self._answer(Step.EHLO)
            case "STARTTLS" if self._host.tls is not None and not self._encrypted:
                await self._starttls(self._host.tls)
            case "MAIL":
                if await self._answer(Step.MAIL):
                    self._sender = _path(argument)
            case "RCPT" if self._sender is not None:
                if await self._answer(Step.RCPT):
                    self._recipients.append(_path(argument))
            case "DATA" if self._recipients:
                if await self._answer(Step.DATA):
                    await self._body()
            case "RSET":
                self._forget()
                await self._say("250 2.0.0 reset")
            case "NOOP":
                await self._say("250 2.0.0 done")
            case "QUIT":
                await self._say("221 2.0.0 closing")
                raise _Over
            case _:
                await self._say("503 5.5.1 not now")

    async def _starttls(self, context: ssl.SSLContext) -> None:
        if await self._answer(Step.STARTTLS):
            await self._writer.start_tls(context)
            self._buffer = b""
            self._encrypted = True

    async def _body(self) -> None:
        data = b"\r\n" + (self._buffer or await self._read())
        await self._answer(Step.BODY)
        while (end := data.find(_END)) < 0:
            data = data[-len(_END) :] + await self._read()
        self._buffer = data[end + len(_END) :]
        if self._host.script.pause:
            await asyncio.sleep(self._host.script.pause)
        if await self._answer(Step.END):
            stored = Stored(time.monotonic(), self._sender or "", tuple(self._recipients), self._encrypted)
            self._host.stored.append(stored)
        self._forget()

    def _forget(self) -> None:
        self._host.script.over(self.number)
        self._sender = None
        self._recipients = []

    async def _answer(self, step: Step) -> bool:
        """Reply as the script says; return whether the client may go on."""
        reply = self._host.script.reply(step, self.number, time.monotonic()) or self._usual(step)
        if reply == CLOSE:
            raise _Over
        if reply == SILENCE:
            await asyncio.sleep(3600)
        if reply:
            await self._say(reply)
        refused = reply[:1] in {"4", "5"}
        self._host.refused += refused
        if reply.startswith("421"):
            raise _Over
        return not refused

    def _usual(self, step: Step) -> str:
        if step is not Step.EHLO:
            return _USUAL[step]
        offers = ["host.test", *_EXTENSIONS]
        if self._host.tls is not None and not self._encrypted:
            offers.append("STARTTLS")
        return "\r\n".join([*(f"250-{offer}" for offer in offers[:-1]), f"250 {offers[-1]}"])

    async def _say(self, reply: str) -> None:
        self._writer.write(f"{reply}\r\n".encode())
        await self._writer.drain()


def _path(argument: str) -> str:
    """Return the address of `FROM:<...>` or `TO:<...>`."""
    return argument.partition("<")[2].partition(">")[0]
