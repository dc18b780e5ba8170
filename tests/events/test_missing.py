"""The events that a start after a kill finds missing."""

from mta.events.missing import WrittenEvents, missing_events
from mta.events.records import Event
from mta.message.dates import timestamp
from mta.queue.interface import AttemptRecord, Entry, QueueId, RecipientState, Status

NOON = 1_795_348_800.0
ID, REPORT = QueueId("0123456789abc"), QueueId("0123456789abd")
HOST = "mx.example.net[192.0.2.1]:25"


def attempt(seconds: float, reply: str = "451 later") -> AttemptRecord:
    return AttemptRecord(NOON + seconds, HOST, reply, "4.3.0")


def state(status: Status, finished: float | None, *attempts: AttemptRecord, to: str = "bob@example.net"):
    due = None if finished is not None else NOON + 900
    at = None if finished is None else NOON + finished
    return RecipientState(to, status, len(attempts), due, "the reply", HOST, at, attempts_made=attempts)


def entry(*states: RecipientState, id: QueueId = ID, **more) -> Entry:
    return Entry(id, "app@example.org", 500, NOON, "192.0.2.9", False, False, states, **more)


def written(event: str, seconds: float, **fields: str) -> dict[str, str]:
    return {"time": timestamp(NOON + seconds), "event": event, "id": ID, "to": "<bob@example.net>", **fields}


def missing(entries, *records, submitted=(ID,)) -> list[Event]:
    return missing_events(entries, submitted, WrittenEvents(records), NOON - 60)


def names(events) -> list[str]:
    return [name for _, name, _ in events]


def test_all_events_of_a_message_are_missing():
    message = entry(state(Status.DELIVERED, 20, attempt(5), attempt(20, "250 Ok")))
    events = missing([message])
    assert names(events) == ["accepted", "deferred", "delivered"]
    assert events[0][2]["from"] == "<app@example.org>"
    assert events[2][2] == {
        "id": ID, "to": "<bob@example.net>", "host": HOST, "reply": "the reply", "rebuilt": "yes"
    }  # fmt: skip


def test_events_that_were_written_are_not_missing():
    message = entry(state(Status.DELIVERED, 20, attempt(5), attempt(20, "250 Ok")))
    records = [written("accepted", 0), written("deferred", 5), written("delivered", 20)]
    assert missing([message], *records) == []


def test_the_second_deferral_is_missing_although_the_first_was_written():
    message = entry(state(Status.WAITING, None, attempt(5), attempt(6, "452 full")))
    events = missing([message], written("accepted", 0), written("deferred", 5.1))
    assert [(name, fields["reply"]) for _, name, fields in events] == [("deferred", "452 full")]
    assert events[0][2]["next"] == timestamp(NOON + 900)


def test_a_recipient_given_twice_needs_two_results():
    message = entry(state(Status.FAILED, 5, attempt(5)), state(Status.FAILED, 5, attempt(5)))
    assert names(missing([message], written("accepted", 0), written("failed", 5))) == ["failed"]


def test_a_report_follows_the_failure():
    failed = entry(state(Status.FAILED, 5, attempt(5)))
    waiting = RecipientState("app@example.org", Status.WAITING, 0, NOON, "", "", None)
    report = Entry(REPORT, "", 900, NOON + 5, "", False, False, (waiting,), report_of=ID)
    events = missing([report, failed])
    assert names(events) == ["accepted", "failed", "reported"]
    assert events[2][2]["to"] == "<app@example.org>"


def test_older_results_and_removed_recipients_have_no_event():
    message = entry(
        state(Status.DELIVERED, -100, to="a@example.net"), state(Status.REMOVED, 5), state(Status.WAITING, None)
    )
    assert missing([message], submitted=()) == []
