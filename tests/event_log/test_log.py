"""Events as lines of text and JSON, and the lines that repeat too often."""

import json
from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mta.event_log.lines import render_json, render_text
from mta.event_log.log import EventLog
from mta.event_log.repeats import Field
from mta.event_log.stages import Stages
from mta.message.envelope import Envelope, Origin, Recipient, TlsDemand
from mta.message.outcome import Delivered, Failed, TryLater
from mta.queue.interface import Action, QueueId
from mta.smtp.address import Address
from mta.smtp.replies import reply

NOON = 1_795_348_800.25
ID = QueueId("0123456789abc")
BOB = Address("bob", "b.test")


def lines_of(render=render_text):
    lines: list[str] = []
    return lines, EventLog(lines.append, lambda: NOON, render)


def test_a_delivery_is_one_line_with_its_id_reply_and_stages() -> None:
    lines, event_log = lines_of()
    event_log.delivered(ID, BOB, Delivered("250 2.0.0 Ok", "mx.b.test[192.0.2.1]:25"), Stages(3.0, 2.5, 0.25, 0.25), "")
    expected = (
        "2026-11-22T12:00:00.250Z delivered id=0123456789abc to=<bob@b.test> host=mx.b.test[192.0.2.1]:25"
        ' total=3.0 queued=2.5 waited=0.25 transfer=0.25 reply="250 2.0.0 Ok"\n'
    )
    assert lines == [expected]


def test_a_result_of_the_second_host_names_the_first_one_with_its_answer() -> None:
    lines, event_log = lines_of()
    earlier = TryLater("452 4.3.1 full", "mx1.b.test[192.0.2.1]:25")
    event_log.deferred(ID, BOB, TryLater("451 later", "mx2.b.test[192.0.2.2]:25"), NOON + 60, earlier=earlier)
    event_log.failed(ID, BOB, Failed("550 no", "mx2.b.test[192.0.2.2]:25"), earlier=earlier)
    assert len(lines) == 2
    assert all(' earlier="mx1.b.test[192.0.2.1]:25: 452 4.3.1 full" reply=' in line for line in lines)


def test_the_lines_of_each_message_are_written_as_all_others_are() -> None:
    odd = 'quotes " and \\ and ü and \n'
    events: list[tuple[float, str, Mapping[str, Field]]] = []
    lines, event_log = lines_of()
    event_log.copy_to(lambda *event: events.append(event))
    envelope = Envelope(None, (Recipient(BOB),), Origin("192.0.2.1", odd, "ESMTP"))
    event_log.accepted(ID, envelope, 500)
    event_log.accepted(ID, envelope, 500, odd, "acl:1", held=True, was_from=BOB)
    stages, earlier = Stages(1.5, 0.0, 0.25, 12345.678), TryLater("451 later", "mx.test", "4.3.0")
    for security in ("", "TLSv1.3 verified"):
        event_log.delivered(ID, BOB, Delivered(odd, "mx.test"), stages, security)
        event_log.delivered(
            ID, BOB, Delivered(odd, "mx.test"), stages, security, signed_by="d/s", earlier=earlier, rule=odd
        )
    assert len(lines) == 6
    for line, (now, name, fields) in zip(lines, events, strict=True):
        assert line == render_text(now, "other", fields).replace(" other ", f" {name} ", 1)


def test_json_lines_hold_the_same_names() -> None:
    lines, event_log = lines_of(render_json)
    event_log.deferred(ID, BOB, TryLater("connection refused", status="4.4.1"), NOON + 60)
    assert json.loads(lines[0]) == {
        "time": "2026-11-22T12:00:00.250Z",
        "event": "deferred",
        "level": "info",
        "id": ID,
        "to": "<bob@b.test>",
        "status": "4.4.1",
        "next": "2026-11-22T12:01:00.250Z",
        "reply": "connection refused",
    }


@given(st.text(), st.text())
def test_nothing_a_remote_says_can_make_a_second_line(helo: str, sender: str) -> None:
    for render in (render_text, render_json):
        lines, event_log = lines_of(render)
        event_log.refused("192.0.2.1", helo, sender, None, reply(550, "5.7.1", "no"))
        assert len(lines[0].splitlines()) == 1
        assert lines[0].isascii()


def test_logins_are_lines_that_other_programs_can_read() -> None:
    lines, event_log = lines_of()
    event_log.login("192.0.2.1", "alice", "PLAIN", "TLSv1.3 TLS_AES_256_GCM_SHA384")
    event_log.login_failed("192.0.2.1", "alice", "LOGIN", "", reply(535, "5.7.8", "wrong"))
    event_log.login_failed("192.0.2.1", "", "PLAIN", "", reply(421, "4.7.0", "too many"))
    assert [line.partition(" ")[2] for line in lines] == [
        'login client=192.0.2.1 user=alice mechanism=PLAIN tls="TLSv1.3 TLS_AES_256_GCM_SHA384"\n',
        'login-failed client=192.0.2.1 user=alice mechanism=LOGIN reply="535 5.7.8 wrong"\n',
        'login-failed client=192.0.2.1 mechanism=PLAIN reply="421 4.7.0 too many"\n',
    ]


def test_passwords_of_the_page_are_lines_too() -> None:
    lines, event_log = lines_of()
    event_log.operator_login("192.0.2.1", "page", right=True)
    event_log.operator_login("192.0.2.1", "token", right=False)
    assert [line.partition(" ")[2] for line in lines] == [
        "login client=192.0.2.1 user=admin mechanism=page\n",
        'login-failed client=192.0.2.1 user=admin mechanism=token reply="403 wrong password"\n',
    ]


def test_mail_of_a_user_names_the_user() -> None:
    lines, event_log = lines_of()
    envelope = Envelope(None, (Recipient(BOB),), Origin("192.0.2.1", "app", "ESMTPSA"))
    event_log.accepted(ID, envelope, 9, "alice")
    event_log.accepted(ID, envelope, 9)
    assert lines[0].endswith(" from=<> recipients=1 size=9 user=alice\n")
    assert lines[1].endswith(" from=<> recipients=1 size=9\n")


def test_the_demand_of_a_sender_on_tls_is_told() -> None:
    lines, event_log = lines_of()
    envelope = Envelope(None, (Recipient(BOB),), Origin("192.0.2.1", "app", "ESMTPS"))
    for demand in (None, *TlsDemand):
        event_log.accepted(ID, replace(envelope, tls_demand=demand), 9)
    assert [line.partition(" size=9")[2] for line in lines] == [
        "\n",
        " tls-demand=required\n",
        " tls-demand=optional\n",
    ]


def test_a_refusal_and_an_acceptance_name_their_rules() -> None:
    lines, event_log = lines_of()
    no = reply(550, "5.7.1", "no")
    event_log.refused("192.0.2.1", "app", "a@b.test", "c@d.test", no, rule="10-acl.toml:5")
    event_log.refused("192.0.2.1", "app", "a@b.test", None, no)
    envelope = Envelope(None, (Recipient(BOB),), Origin("192.0.2.1", "app", "ESMTP"))
    event_log.accepted(ID, envelope, 9, rules="10-acl.toml:5,10-acl.toml:9", held=True)
    event_log.accepted(ID, envelope, 9, rules="ALLOWED_SENDERS", was_from=Address("app", "host1.lan"))
    assert [line.partition(" from=")[2] for line in lines] == [
        '<a@b.test> to=<c@d.test> rule=10-acl.toml:5 reply="550 5.7.1 no"\n',
        '<a@b.test> reply="550 5.7.1 no"\n',
        "<> recipients=1 size=9 rules=10-acl.toml:5,10-acl.toml:9 held=yes\n",
        "<> recipients=1 size=9 rules=ALLOWED_SENDERS was-from=<app@host1.lan>\n",
    ]


def test_refusals_of_two_rules_are_counted_apart() -> None:
    lines, event_log = lines_of()
    for rule in ("a.toml:1", "a.toml:2"):
        for _ in range(60):
            event_log.refused("192.0.2.1", "app", "a@b.test", None, reply(550, "5.7.1", "no"), rule=rule)
    event_log.stopped()
    assert len(lines) == 2 * 50 + 2 + 1
    assert [line.partition(" ")[2] for line in lines[100:102]] == [
        f'refused client=192.0.2.1 rule=a.toml:{line} reply="550 5.7.1 no" more=10\n' for line in (1, 2)
    ]


def test_failed_logins_of_a_client_fill_no_log() -> None:
    lines, event_log = lines_of()
    for _ in range(60):
        event_log.login_failed("192.0.2.1", "", "PLAIN", "", reply(535, "5.7.8", "wrong"))
    event_log.stopped()
    assert len(lines) == 50 + 2
    assert lines[50].partition(" ")[2] == "login-failed client=192.0.2.1 more=10\n"


def test_a_policy_with_many_hosts_makes_no_long_line() -> None:
    lines, event_log = lines_of()
    event_log.policy("example.net", "sts", "enforce", [f"mx{number}.test" for number in range(10)], NOON)
    event_log.policy("example.net", "sts", "enforce", [f"mx{number}.test" for number in range(100)], NOON)
    event_log.policy("example.net", "sts", "none", [], NOON)
    ten = ",".join(f"mx{number}.test" for number in range(10))
    assert [line.partition(" mode=")[2].rpartition(" until=")[0] for line in lines] == [
        f"enforce mx={ten}",
        f'enforce mx="{ten} and 90 more"',
        "none",
    ]


def test_policies_of_many_domains_fill_no_log() -> None:
    lines, event_log = lines_of()
    for number in range(60):
        event_log.policy_failed(f"{number}.test", f"mta-sts.{number}.test: no route; mail goes as without a policy")
    assert len(lines) == 50
    event_log.stopped()
    # The line for the others names no reason, because each has its own.
    assert lines[50].partition(" ")[2] == "policy-failed more=10\n"


def test_a_possible_duplicate_is_logged_before_the_message_can_be_sent_again() -> None:
    told: list[str] = []
    event_log = EventLog(told.append, lambda: NOON, flush=lambda: told.append("out"))
    event_log.notice("this may wait")
    event_log.possible_duplicate(ID, BOB)
    assert [line.split()[1] if " " in line else line for line in told] == ["notice", "possible-duplicate", "out"]


def test_lines_that_are_made_later_have_the_time_of_their_events_and_their_order() -> None:
    clock, waiting, lines = [NOON], [], []

    def flush() -> None:
        lines.extend(line(now, *values) for line, now, values in waiting)
        waiting.clear()

    event_log = EventLog(lines.append, lambda: clock[0], flush=flush, later=lambda *each: waiting.append(each))
    envelope = Envelope(None, (Recipient(BOB),), Origin("192.0.2.1", "client.test", "ESMTP"))
    event_log.accepted(ID, envelope, 500)
    clock[0] += 1
    event_log.deferred(ID, BOB, TryLater("451 later", "mx.test"), NOON + 60)
    clock[0] += 1
    event_log.delivered(ID, BOB, Delivered("250 Ok", "mx.test"), Stages(2.0, 1.0, 0.5, 0.5), "")
    clock[0] += 1
    assert lines == []
    event_log.flush()
    began = [line.split()[:2] for line in lines]
    assert began == [
        ["2026-11-22T12:00:00.250Z", "accepted"],
        ["2026-11-22T12:00:01.250Z", "deferred"],
        ["2026-11-22T12:00:02.250Z", "delivered"],
    ]


def test_a_receiver_gets_the_events_between_its_begin_and_its_end_although_lines_are_made_later() -> None:
    waiting = []

    def flush() -> None:
        while waiting:
            line, now, values = waiting.pop(0)
            line(now, *values)

    event_log = EventLog(lambda _: None, lambda: NOON, flush=flush, later=lambda *each: waiting.append(each))
    got = []
    event_log.notice("before")
    end = event_log.copy_to(lambda _now, _event, fields: got.append(fields["text"]))
    event_log.notice("meanwhile")
    end()
    event_log.notice("after")
    event_log.flush()
    assert got == ["meanwhile"]


def test_a_change_by_an_operator_is_logged_with_the_user_and_fifty_messages_a_line() -> None:
    lines, event_log = lines_of()
    ids = [QueueId(f"{number:013}") for number in range(120)]
    event_log.amended(Action.HOLD, ids, "alice")
    assert [line.count(",") + 1 for line in lines] == [50, 50, 20]
    assert all(" amended change=hold by=alice ids=" in line for line in lines)
    assert "".join(lines).count(ids[-1]) == 1
    event_log.amended(Action.HOLD, ids[:1], "")
    assert lines[-1].endswith(f" amended change=hold ids={ids[0]}\n")
    event_log.amended(Action.REMOVE, ids[:1], "alice", recipient="bob@b.test")
    assert lines[-1].endswith(f" amended change=remove recipient=<bob@b.test> by=alice ids={ids[0]}\n")


def test_a_full_disk_fills_no_log() -> None:
    lines: list[str] = []
    now = [NOON]
    event_log = EventLog(lines.append, lambda: now[0])
    for number in range(19_000):
        event_log.trouble(f"no room in the queue: only {number % 9} MiB free", ID)
        event_log.refused("192.0.2.1", "app", "a@b.test", "c@d.test", reply(452, "4.3.1", "No room in the queue"))
        event_log.session_ended("192.0.2.1", "app", "421 4.7.0 too many errors")
        now[0] += 0.002
    assert len(lines) == 10 + 50 + 50
    event_log.write_repeats()
    assert len(lines) == 10 + 50 + 50
    now[0] += 60
    event_log.write_repeats()
    event_log.stopped()
    more = lines[110:113]
    assert [line.split()[1] for line in more] == ["trouble", "refused", "session-ended"]
    assert [line.split(" more=")[1].split()[0] for line in more] == ["18990", "18950", "18950"]
    assert len(lines) == 114


def test_a_stop_logs_how_many_lines_were_left_out() -> None:
    lines, event_log = lines_of()
    for _ in range(12):
        event_log.trouble("the outcome could not be recorded", ID)
    event_log.stopped()
    assert lines[-2].endswith('trouble text="the outcome could not be recorded" more=2\n')
    assert lines[-1].endswith(" stopped\n")


def test_replies_to_clients_are_counted_for_each_client() -> None:
    lines, event_log = lines_of()
    for number in range(40):
        event_log.refused(f"192.0.2.{number}", "app", "a@b.test", None, reply(550, "5.7.1", "no"))
    assert len(lines) == 40


def test_another_receiver_gets_a_copy_of_each_event() -> None:
    lines, event_log = lines_of()
    copies: list[tuple[float, str, dict[str, object]]] = []
    event_log.copy_to(lambda now, event, fields: copies.append((now, event, dict(fields))))
    event_log.possible_duplicate(ID, BOB)
    event_log.lease_lost(ID)
    assert len(lines) == 2
    assert copies[1] == (NOON, "lease-lost", {"id": ID})


def test_a_renderer_that_takes_events_gets_each_one_besides_the_receivers_of_copies() -> None:
    lines, event_log = lines_of()
    taken: list[str] = []
    copies: list[str] = []

    def taking(render):
        def taken_and_rendered(now: float, event: str, fields: Mapping[str, Field]) -> str:
            taken.append(event)
            return render(now, event, fields)

        return taken_and_rendered

    end = event_log.copy_to(lambda now, event, fields: copies.append(event))
    event_log.render_by(taking)
    event_log.lease_lost(ID)
    end()
    event_log.stopping(1)
    assert (taken, copies) == (["lease-lost", "stopping"], ["lease-lost"])
    assert [line.split()[1] for line in lines] == taken
