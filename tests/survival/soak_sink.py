"""The hosts that a soak's mail is for: one process, cheap while all is well, faulty where the plan says so.

`python -m tests.survival.soak_sink FOLDER CAPACITY SEED ONE_IN PORT`, one host for each domain from 127.0.1.1 on; every
other one takes BDAT. Prints `ready`.
"""

import random
import re
import socket
import sys
from contextlib import suppress
from pathlib import Path

from tests.survival.soak_books import Books, Count
from tests.survival.soak_loop import Loop
from tests.survival.soak_plan import DOMAINS, Plan

_CHUNK = 1 << 18
_END = b"\r\n.\r\n"
_GREETING = b"220 sink.example.test ESMTP\r\n"
_GARBAGE = (b"what?\r\n", b"\x00\xff\x80\r\n", b"2\r\n", b"999 ok\r\n", b"25O ok\r\n", b"- ok\r\n")
_WORDS = {"4xx": b"451 4.3.0 not now\r\n", "5xx": b"554 5.7.1 never\r\n", "421": b"421 4.3.2 going\r\n"}
_OUT_OF_ORDER = b"503 5.5.1 out of order\r\n"
_FINAL = re.compile(rb"\r\nFinal-Recipient: rfc822; *r(\d+)@", re.IGNORECASE)
#: One connection in so many is turned away, or never greeted.
_UNKIND = 150


def host(number: int) -> str:
    """Return the address of a domain's host."""
    return f"127.0.1.{number + 1}"


class Sink:
    """All hosts together."""

    def __init__(self, books: Books, plan: Plan, seed: int) -> None:
        self.books = books
        self.plan = plan
        self.random = random.Random(seed)
        self.loop = Loop()

    def listen(self, port: int) -> None:
        """Open every host's port."""
        for number in range(len(DOMAINS)):
            listener = socket.create_server((host(number), port), backlog=512)
            self.loop.watch(_Port(self, listener, chunking=number % 2 == 0))

    def fault(self, first: int | None) -> tuple[str, str] | None:
        """Return the fault of this attempt at a message."""
        if first is None or first >= self.books.capacity:
            return None
        fate = self.plan.fate(first)
        return fate.remote if fate.remote is not None and self.books.spoilt[first] < fate.times else None

    def struck(self, first: int) -> None:
        """Note that it went wrong."""
        self.books.counts[Count.REMOTE_FAULTS] += 1
        self.books.add(self.books.spoilt, first)

    def took(self, numbers: list[int], *, answered: bool) -> None:
        """Note an arrival for these recipients, and whether the relay is told of it."""
        self.books.counts[Count.ARRIVED] += len(numbers)
        for number in numbers:
            self.books.add(self.books.arrived, number)
            if not answered:
                self.books.add(self.books.unanswered, number)

    def took_report(self, content: bytes) -> None:
        """Note for whom a failure was reported."""
        self.books.counts[Count.REPORTS] += 1
        for number in _FINAL.findall(content):
            self.books.add(self.books.reported, int(number))


class _Port:
    def __init__(self, sink: Sink, listener: socket.socket, *, chunking: bool) -> None:
        self._sink = sink
        self.socket = listener
        self._chunking = chunking

    def readable(self) -> None:
        connection, _ = self.socket.accept()
        counts = self._sink.books.counts
        counts[Count.CONNECTIONS] += 1
        conversation = Conversation(self._sink, connection, chunking=self._chunking)
        kind = self._sink.random.randrange(_UNKIND * 3)
        if kind == 0:
            conversation.say(_WORDS["421"])
            connection.close()
        elif kind == 1:
            connection.close()
        else:
            self._sink.loop.watch(conversation)
            if kind == 2:
                conversation.say_later(_GREETING)
            else:
                conversation.say(_GREETING)


class Conversation:
    """One connection: octets that are not yet understood, and the transaction so far."""

    def __init__(self, sink: Sink, connection: socket.socket, *, chunking: bool) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sink = sink
        self.socket = connection
        self._offer = b"250-PIPELINING\r\n" + b"250-CHUNKING\r\n" * chunking + b"250 8BITMIME\r\n"
        self._buffer = b""
        # A slow reply is under way: the sink does not read until it is sent.
        self._busy = False
        self._gone = False
        self._reset()

    def _reset(self) -> None:
        self._first: int | None = None
        self._report = False
        self._begun = False
        self._numbers: list[int] = []
        self._content: list[bytes] = []
        self._in_data = False
        # The octets that a chunk still lacks, and whether it is the last.
        self._chunk: tuple[int, bool] | None = None
        self._fault: tuple[str, str] | None = None
        # The relay understands no answer any more, though it may have sent all of the message by then.
        self._garbled = False

    def readable(self) -> None:
        """Take received octets."""
        try:
            data = self.socket.recv(_CHUNK)
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        self._buffer += data
        self._go_on()

    def say(self, words: bytes) -> None:
        """Send. A peer that is gone is noticed by the next read."""
        with suppress(OSError):
            self.socket.sendall(words)

    def say_later(self, words: bytes) -> None:
        """Send after a delay, and no octet before that."""
        self._busy = True

        def now() -> None:
            self._busy = False
            if not self._gone:
                self.say(words)
                self._go_on()

        self._sink.loop.later(self._sink.random.uniform(0.2, 3.0), now)

    def _end(self) -> None:
        if not self._gone:
            self._gone = True
            self._sink.loop.forget(self)

    def _go_on(self) -> None:
        """Answer all that is complete; one write for all the answers."""
        answers: list[bytes] = []
        while not (self._busy or self._gone) and self._step(answers):
            pass
        if answers and not self._gone:
            self.say(b"".join(answers))

    def _step(self, answers: list[bytes]) -> bool:
        if self._in_data:
            return self._data(answers)
        if self._chunk is not None:
            return self._take_chunk(answers)
        line, found, rest = self._buffer.partition(b"\r\n")
        if not found:
            return False
        self._buffer = rest
        self._command(line, answers)
        return True

    def _command(self, line: bytes, answers: list[bytes]) -> None:
        verb = line[:4].upper()
        if verb == b"MAIL":
            self._begin(line)
            self._begun = self._answer("MAIL", b"250 2.1.0 ok\r\n", answers)
        elif verb == b"RCPT":
            self._recipient(line, answers)
        elif verb == b"DATA" and not self._numbers:
            answers.append(_OUT_OF_ORDER)
        elif verb == b"DATA":
            self._in_data = self._answer("DATA", b"354 go on\r\n", answers)
            if self._in_data:
                # The line end may be the beginning of the end of the data.
                self._buffer = b"\r\n" + self._buffer
        elif verb == b"BDAT":
            size, _, last = line[5:].partition(b" ")
            self._chunk = int(size), last.upper() == b"LAST"
        elif verb == b"QUIT":
            self.say(b"".join(answers) + b"221 bye\r\n")
            self._end()
        elif verb == b"EHLO":
            answers.append(b"250-sink.example.test\r\n" + self._offer)
        else:
            self._reset()
            answers.append(b"250 ok\r\n")

    def _begin(self, line: bytes) -> None:
        self._reset()
        path = line[11 : line.index(b">")]
        self._report = not path
        if path[:1] == b"s":
            self._first = int(path[1 : path.index(b"@")])
            self._fault = self._sink.fault(self._first)

    def _recipient(self, line: bytes, answers: list[bytes]) -> None:
        number = int(line[10 : line.index(b"@")])
        usual = b"250 2.1.5 ok\r\n"
        if not self._begun:
            answers.append(_OUT_OF_ORDER)
            return
        if number != self._first or self._fault is None or self._fault[0] != "RCPT" or self._report:
            answers.append(usual)
        elif not self._answer("RCPT", usual, answers):
            return
        self._numbers.append(number)

    def _answer(self, step: str, usual: bytes, answers: list[bytes]) -> bool:
        """Answer one step as usual, or as the plan has it. Whether the answer was the usual one."""
        if self._fault is None or self._fault[0] != step:
            answers.append(usual)
            return True
        assert self._first is not None
        _, how = self._fault
        self._fault = None
        self._sink.struck(self._first)
        self._misbehave(how, usual, answers)
        if step == "END" and how == "garbage":
            # The relay ignores a line without a code there and waits up to ten minutes for the reply.
            self.say(b"".join(answers))
            answers.clear()
            self._end()
        return how == "slow"

    def _misbehave(self, how: str, usual: bytes, answers: list[bytes]) -> None:
        if how == "slow":
            self.say(b"".join(answers))
            answers.clear()
            self.say_later(usual)
        elif how == "garbage":
            self._garbled = True
            answers.append(self._sink.random.choice(_GARBAGE))
        elif how in {"4xx", "5xx"}:
            answers.append(_WORDS[how])
        else:
            self.say(b"".join(answers) + (_WORDS["421"] if how == "421" else b""))
            answers.clear()
            self._end()

    def _data(self, answers: list[bytes]) -> bool:
        end = self._buffer.find(_END)
        if self._breaks_off(len(self._buffer)):
            return False
        if end < 0:
            keep = len(_END) - 1
            if len(self._buffer) > keep:
                self._content.append(self._buffer[:-keep])
                self._buffer = self._buffer[-keep:]
            return False
        self._content.append(self._buffer[: end + 2])
        self._buffer = self._buffer[end + len(_END) :]
        self._in_data = False
        self._complete(answers)
        return True

    def _take_chunk(self, answers: list[bytes]) -> bool:
        assert self._chunk is not None
        left, last = self._chunk
        if self._breaks_off(len(self._buffer)):
            return False
        piece, self._buffer = self._buffer[:left], self._buffer[left:]
        self._content.append(piece)
        left -= len(piece)
        self._chunk = (left, last)
        if left:
            return False
        self._chunk = None
        if last:
            self._complete(answers)
        else:
            answers.append(b"250 2.0.0 go on\r\n")
        return True

    def _breaks_off(self, received: int) -> bool:
        if self._fault is None or self._fault[0] != "BODY" or not received:
            return False
        assert self._first is not None
        self._sink.struck(self._first)
        self._end()
        return True

    def _complete(self, answers: list[bytes]) -> None:
        """The whole message is here. Noted before the answer; a broken answer is one the relay never had."""
        fault = self._fault
        if fault is not None and fault[0] == "DATA":
            # There is no DATA before BDAT.
            fault = self._fault = ("END", fault[1])
        taken = fault is None or fault[0] != "END" or fault[1] in {"slow", "drop", "garbage"}
        if taken and self._numbers:
            if self._report:
                self._sink.took_report(b"".join(self._content))
            else:
                answered = not self._garbled and (fault is None or fault[1] == "slow")
                self._sink.took(self._numbers, answered=answered)
        usual = b"250 2.0.0 taken\r\n" if self._numbers else _OUT_OF_ORDER
        self._answer("END", usual, answers)
        self._first, self._numbers, self._content = None, [], []


def main() -> None:
    """Serve until ended."""
    folder, capacity, seed, one_in, port = sys.argv[1:]
    books = Books(Path(folder), int(capacity))
    sink = Sink(books, Plan(int(seed), int(one_in)), int(seed))
    sink.listen(int(port))
    print("ready", flush=True)
    sink.loop.run(lambda: books.counts[Count.OVER] == 2)


if __name__ == "__main__":
    main()
