"""Large bodies: from a file to chunks in the database, and back."""

import hashlib
import random
from pathlib import Path

from mta.message.body import FileBody
from mta.queue.ids import to_id
from mta.queue.interface import BodyLost, QueueError
from mta.queue.postgres.errors import OutcomeUnknown
from mta.queue.postgres.lanes.rows import CHUNK_OCTETS, chunks_of
from mta.queue.postgres.mail import chunks
from tests.queue.postgres.mail.case import ME, PEER, MailCase, cut_connections

ID = to_id(7)
MIB = 1 << 20


class ChunkCase(MailCase):
    def setUp(self):
        super().setUp()
        self.files.mkdir()

    def file(self, name: str, data: bytes) -> FileBody:
        (self.files / name).write_bytes(data)
        return FileBody(self.files / name, len(data))

    def store(self, body: FileBody, node: int = ME) -> None:
        chunks.store(self.tables.session, ID, body, node)

    def fetched(self, size: int) -> bytes:
        body = FileBody(self.files / "fetched", size)
        chunks.fetch(self.tables.session, ID, body)
        return body.path.read_bytes()


class ChunkTests(ChunkCase):
    def test_a_body_of_50_mib_comes_back_octet_for_octet(self):
        data = random.Random(1).randbytes(50 * MIB)
        self.store(self.file("arriving", data))
        found = self.fetched(len(data))
        self.assertEqual(hashlib.sha256(found).digest(), hashlib.sha256(data).digest())

    def test_bodies_around_a_whole_number_of_chunks(self):
        for size in (1, CHUNK_OCTETS - 1, CHUNK_OCTETS, CHUNK_OCTETS + 1, 8 * CHUNK_OCTETS):
            data = random.Random(size).randbytes(size)
            body = self.file("arriving", data)
            self.store(body)
            self.assertEqual(self.fetched(size), data)
            self.assertEqual(len(self.tables.rows("chunk")), chunks_of(body))

    def test_chunks_are_stored_for_their_node_and_stored_again_as_they_are_now(self):
        self.store(self.file("arriving", bytes(600_000)))
        self.store(self.file("arriving", b"y" * 300_000), PEER)
        self.assertEqual([(row["n"], row["node"]) for row in self.tables.rows("chunk", "n")], [(0, PEER), (1, PEER)])
        self.assertEqual(self.fetched(300_000), b"y" * 300_000)

    def test_chunks_of_a_message_in_the_queue_stay(self):
        self.tables.add(7, chunks=2, body=b"x" * CHUNK_OCTETS, size=2 * CHUNK_OCTETS)
        self.store(self.file("arriving", bytes(3 * CHUNK_OCTETS)))
        self.assertEqual(self.fetched(2 * CHUNK_OCTETS), b"x" * 2 * CHUNK_OCTETS)

    def test_a_file_that_is_gone_or_damaged_is_a_lost_body_and_leaves_no_chunks(self):
        body = self.file("arriving", bytes(600_000))
        for lose in (lambda: body.path.write_bytes(b"short"), body.path.unlink):
            lose()
            with self.assertRaisesRegex(BodyLost, f"the body of message {ID} cannot be read from QUEUE_DIR"):
                self.store(body)
        self.assertEqual(self.tables.rows("chunk"), [])

    def test_chunks_that_are_missing_are_an_error_and_leave_no_file(self):
        data = bytes(3 * CHUNK_OCTETS)
        self.store(self.file("arriving", data))
        self.tables.look.execute("DELETE FROM chunk WHERE n = 1")
        with self.assertRaisesRegex(QueueError, f"the database has 524288 octets of message {ID} instead of 786432"):
            self.fetched(len(data))
        self.assertEqual([path.name for path in self.files.iterdir()], ["arriving"])

    def test_a_directory_that_cannot_be_written_is_an_error(self):
        self.store(self.file("arriving", b"x" * CHUNK_OCTETS))
        with self.assertRaisesRegex(QueueError, "the queue request failed"):
            chunks.fetch(self.tables.session, ID, FileBody(Path("/nowhere/fetched"), CHUNK_OCTETS))

    def test_a_reader_of_the_earlier_file_is_not_disturbed(self):
        self.store(self.file("arriving", b"new" * 100_000))
        earlier = self.file("fetched", b"old" * 100_000)
        with earlier.path.open("rb") as file:
            self.assertEqual(self.fetched(300_000), b"new" * 100_000)
            self.assertEqual(file.read(), b"old" * 100_000)
        self.assertEqual(earlier.path.stat().st_mode & 0o777, 0o600)


class LostConnectionTests(ChunkCase):
    altered = True

    def test_a_connection_that_is_lost_leaves_no_chunks(self):
        body = self.file("arriving", bytes(3 * CHUNK_OCTETS))
        cut_connections(self.tables)
        self.assertRaises(OutcomeUnknown, self.store, body)
        self.assertEqual(self.tables.rows("chunk"), [])
        self.tables.look.execute("DROP TRIGGER cut ON chunk")
        self.store(body)
        self.assertEqual(len(self.tables.rows("chunk")), 3)
