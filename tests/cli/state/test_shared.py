"""The commands on a machine with QUEUE_URL and without a relay."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from harness.sink import Sink
from mta.cli.main import main
from mta.cli.state.shared import SharedState
from mta.config.table import SETTINGS
from mta.queue.ids import to_id
from mta.queue.postgres.membership.node import join
from tests.queue.messages import scratch
from tests.queue.postgres.cluster import database
from tests.queue.postgres.tables import Tables

AWAY = "postgresql://relay@127.0.0.1:1/mail"
A, B = "a@one.test", "b@two.test"


class SharedStateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tables = Tables(self)
        self.environ: dict[str, str | None] = dict.fromkeys(setting.name for setting in SETTINGS)
        self.environ |= {"QUEUE_DIR": f"{scratch(self)}/none", "QUEUE_URL": self.tables.url, "MAILNAME": "here.test"}

    def run_command(self, *words: str, **environ: str) -> Result:
        return CliRunner().invoke(main, ["queue", *words], env=self.environ | environ)

    def told(self, *words: str) -> str:
        done = self.run_command(*words)
        self.assertEqual(done.exit_code, 0, done.output)
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.told(*words, "--json"))

    def test_mail_is_listed_found_and_shown(self) -> None:
        self.tables.add(1, A, B, subject="the first")
        self.tables.add(2, B)
        self.assertEqual([each["id"] for each in self.json("list")], [to_id(1), to_id(2)])
        self.assertEqual([each["id"] for each in self.json("find", "--to", A)], [to_id(1)])
        self.assertEqual(self.json("show", to_id(1))["subject"], "the first")
        self.assertEqual(self.json("summary")["messages"], 2)
        self.assertEqual([each["domain"] for each in self.json("domains")], ["two.test", "one.test"])
        self.assertIn("Subject: hi", self.told("cat", to_id(2)))

    def test_orders_change_it_and_tell_that_no_log_has_them(self) -> None:
        self.tables.add(1, A)
        self.tables.add(2, B)
        held = self.run_command("hold", to_id(1))
        self.assertEqual((held.exit_code, held.stderr), (0, f"{SharedState.told}\n"))
        self.assertEqual([row["held"] for row in self.tables.rows("message")], [True, False])
        self.told("release", to_id(1))
        self.told("retry", "--all", "--yes")
        self.told("reroute", to_id(1), "--to", "mx")
        self.told("remove", to_id(2))
        self.assertEqual([row["id"] for row in self.tables.rows("message")], [1])
        self.assertEqual([row["id"] for row in self.tables.rows("history")], [2])

    def test_a_message_is_imported_as_it_was_exported(self) -> None:
        self.tables.add(1, A)
        file = Path(self.mktemp())
        file.write_bytes(self.run_command("export", to_id(1)).stdout_bytes)
        (id,) = self.told("import", str(file)).split()[:1]
        found = self.json("show", id)
        self.assertEqual([each["address"] for each in found["recipients"]], [A])
        self.assertIn("Subject: hi", self.told("cat", id))
        self.assertEqual(self.json("summary")["messages"], 2)

    def test_a_large_message_is_imported_in_chunks(self) -> None:
        file = Path(self.mktemp())
        file.write_bytes(b"Subject: large\n\n" + b"0123456789abcde\n" * 40_000)
        (id,) = self.told("import", "--from", B, "--to", A, str(file)).split()[:1]
        (message,) = self.tables.rows("message")
        self.assertEqual((message["chunks"], len(self.tables.rows("chunk")), self.tables.rows("body")), (3, 3, []))
        head, _, sent = self.run_command("cat", id).stdout_bytes.partition(b"\r\n\r\n")
        self.assertIn(b"Subject: large", head)
        self.assertEqual(sent, b"0123456789abcde\r\n" * 40_000)

    def test_a_message_is_returned_to_its_sender(self) -> None:
        self.tables.add(1, A)
        done = self.run_command("bounce", to_id(1), "--yes")
        self.assertEqual(done.exit_code, 0, done.output)
        self.assertEqual([row["id"] for row in self.tables.rows("history")], [1])
        (report,) = self.json("list")
        self.assertEqual([each["address"] for each in report["recipients"]], ["alice@example.org"])

    def test_the_relays_are_listed(self) -> None:
        self.assertEqual(self.told("nodes"), "No relay shares this queue at present.\n")
        session = self.tables.new_session(changes=False)
        left, right = join(session, "left", "0.2.0", 1, 2), join(session, "right", "0.3.0", 1, 2)
        self.tables.look.execute(
            "UPDATE node SET alive_until = clock_timestamp() - interval '9 s' WHERE id = %s", [left.id]
        )
        self.tables.add(1, A, node=right.id, token=1)
        head, *lines = self.told("nodes").splitlines()
        self.assertEqual(head.split("  ")[0], "name")
        self.assertRegex(lines[0], r"^left +0\.2\.0 +\S+Z +0 +none for (39|4\d) s: its mail goes to the others$")
        self.assertRegex(lines[1], r"^right +0\.3\.0 +\S+Z +1 +\d s ago$")
        found = self.json("nodes")
        self.assertEqual([(each["id"], each["alive"], each["in_work"]) for each in found], [
            (left.id, False, 0),
            (right.id, True, 1),
        ])  # fmt: skip

    def test_without_a_shared_queue_there_are_no_relays_to_list(self) -> None:
        done = self.run_command("nodes", QUEUE_URL="")
        self.assertEqual(done.stderr, "smtprelay: this queue is not shared: QUEUE_URL is not set\n")

    def test_a_database_that_is_away_is_told_in_one_line(self) -> None:
        done = self.run_command("list", QUEUE_URL=AWAY)
        self.assertEqual(done.exit_code, 1)
        (line,) = done.stderr.splitlines()
        self.assertIn("no connection to the database", line)

    def test_a_relay_whose_database_is_away_is_not_ready(self) -> None:
        with Sink() as sink:
            environ = self.environ | {"PORT": str(sink.port), "BIND_IP": "127.0.0.1"}
            done = CliRunner().invoke(main, ["health"], env=environ)
            self.assertEqual((done.exit_code, done.output), (0, ""))
            away = CliRunner().invoke(main, ["health"], env=environ | {"QUEUE_URL": AWAY})
            self.assertEqual(away.exit_code, 1)
            self.assertIn("smtprelay: unhealthy: no connection to the database", away.stderr)
            empty = database(self)
            lost = CliRunner().invoke(main, ["health"], env=environ | {"QUEUE_URL": empty})
            self.assertEqual(lost.exit_code, 1)
            self.assertEqual(len(lost.stderr.splitlines()), 1)

    def test_a_database_without_a_queue_is_told(self) -> None:
        empty = database(self)
        for words in (["list"], ["nodes"]):
            done = self.run_command(*words, QUEUE_URL=empty)
            self.assertIn("has no queue yet: start a relay with it first", done.stderr)

    def test_a_masked_password_is_told(self) -> None:
        done = self.run_command("list", QUEUE_URL="postgresql://relay:****@127.0.0.1:1/mail")
        (line,) = done.stderr.splitlines()
        self.assertIn("the relay does not pass its password on to commands: set QUEUE_PASSWORD", line)
