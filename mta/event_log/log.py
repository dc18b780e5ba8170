"""The event log: one method for each event that an operator may read, and one line for each event.

Text lines read `2026-11-22T12:00:00.123Z delivered id=... to=<...> reply="250 2.0.0 Ok"`; JSON has the same names.
No event has a field for a secret; a server's words about a login are masked before they come here
(`mta/smtp/client/auth.py`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mta.event_log.counts import ACCEPTED_TOGETHER, DELIVERED_TOGETHER, MessageCounts
from mta.event_log.emitting import Emitter
from mta.event_log.repeats import MAX_OWN_LINES, Field, kind_of
from mta.event_log.stages import Stages
from mta.message.dates import timestamp
from mta.message.envelope import Envelope
from mta.message.outcome import Delivered, Failed, TryLater
from mta.queue.interface import Action, QueueId
from mta.smtp.address import Address
from mta.smtp.replies import Reply

_IDS_A_LINE = 50
_MOST_NAMES = 10


class EventLog(Emitter):
    """Writes each event as one line."""

    # Set by a log that counts.
    _counts: MessageCounts | None = None

    # The daemon

    def started(self, version: str, name: str, queue_dir: str, waiting: int) -> None:
        """The relay is ready; there were `waiting` messages in the queue."""
        self._emit("started", version=version, name=name, queue=queue_dir, waiting=waiting)

    def listening(self, address: str, port: int) -> None:
        """A port is open."""
        self._emit("listening", address=address, port=port)

    def understood(self, text: str) -> None:
        """The relay says how it understood a setting."""
        self._emit("setting", text=text)

    def recovered(self, leases: int, strays: int) -> None:
        """The process before was killed: `leases` messages were in work, `strays` files belonged to no message."""
        self._emit("recovered", in_work=leases, files_removed=strays)

    def notice(self, text: str) -> None:
        """An operator should look at something, although mail flows."""
        self._emit_limited("notice", kind_of(text), {"text": text}, {"text": text}, MAX_OWN_LINES)

    def trouble(self, text: str, id: QueueId | None = None) -> None:
        """Something does not work; `text` says what it is and how to mend it."""
        if self._passes("trouble", kind_of(text), {"text": text}, MAX_OWN_LINES):
            self._emit_error("trouble", {"id": id, "text": text})

    def fault(self, text: str, traceback: str) -> None:
        """The relay has a bug, which should be reported with this line."""
        self._emit_error("fault", {"text": text, "traceback": traceback})

    def reloaded(self, files: str) -> None:
        """The operator had these files read again (SIGHUP); each file that has changed gets a notice of its own."""
        self._emit("reloaded", files=files)

    def rules_taken_up(self, text: str, digest: str | None) -> None:
        """Other rules are in force; `text` says how many. Equal rules have the same digest."""
        self._emit("rules", text=text, digest=digest)

    def rules_not_taken_up(self, text: str, mistakes: Sequence[str]) -> None:
        """Changed rules have mistakes, a line each, and so the rules before them stay in force."""
        for line in (text, *mistakes):
            self._emit_error("trouble", {"text": line})

    def stopping(self, running: int) -> None:
        """New sessions and claims end here; `running` transactions get some seconds to finish."""
        self._emit("stopping", running=running)

    def stopped(self) -> None:
        """All messages are settled or released, and the queue is closed."""
        self._end_minute()
        self._emit("stopped")

    # Coming in

    def turned_away(self, client: str, reply: Reply, more: int | None = None) -> None:
        """A connection was not served; or, a minute later, `more` connections of this address got the same reply."""
        self._emit("turned-away", client=client, more=more, reply=str(reply))

    def refused(
        self, client: str, helo: str, sender: str, recipient: str | None, reply: Reply, *, rule: str | None = None
    ) -> None:
        """A sender, a recipient (if one is named) or a message was answered with a negative reply, perhaps by a rule.

        `rule` is the place of the rule.
        """
        to = None if recipient is None else f"<{recipient}>"
        fields = {"client": client, "helo": helo, "from": f"<{sender}>", "to": to, "rule": rule, "reply": str(reply)}
        others = {"client": client, "rule": rule, "reply": str(reply)}
        self._emit_limited("refused", (client, reply.code, reply.status, rule), fields, others)

    def refused_command(self, client: str, helo: str, command: str, reply: Reply) -> None:
        """A command got a negative reply before the relay's policy was asked."""
        fields = {"client": client, "helo": helo, "command": command, "reply": str(reply)}
        self._emit_limited("refused", (client, reply.code, reply.status), fields, _others(client, reply))

    def session_ended(self, client: str, helo: str, text: str) -> None:
        """A session was ended by the relay, or lost before its end."""
        fields = {"client": client, "helo": helo, "reason": text}
        self._emit_limited("session-ended", (client, kind_of(text)), fields, {"client": client, "reason": text})

    def login(self, client: str, user: str, mechanism: str, tls: str) -> None:
        """A client has logged in, under this protection by TLS. Programs that read logs rely on this line."""
        self._emit("login", client=client, user=user, mechanism=mechanism, tls=tls or None)

    def login_failed(self, client: str, user: str, mechanism: str, tls: str, reply: Reply) -> None:
        """A client could not log in. Programs that ban clients by the log rely on this line.

        `user` is "" for a name that does not exist, because people type passwords there.
        """
        fields = {
            "client": client,
            "user": user or None,
            "mechanism": mechanism,
            "tls": tls or None,
            "reply": str(reply),
        }
        self._emit_limited("login-failed", (client, "login"), fields, {"client": client})

    def operator_login(self, client: str, mechanism: str, *, right: bool) -> None:
        """The password of the operator's page (mechanism `page`) or of its API (`token`) was right or wrong."""
        fields = {"client": client, "user": "admin", "mechanism": mechanism}
        if right:
            self._emit("login", **fields)
        else:
            fields["reply"] = "403 wrong password"
            self._emit_limited("login-failed", (client, "login"), fields, {"client": client})

    def accepted(
        self,
        id: QueueId,
        envelope: Envelope,
        size: int,
        user: str = "",
        rules: str | None = None,
        *,
        held: bool = False,
        was_from: Address | None = None,
        tls: str = "",
        release: float | None = None,
    ) -> None:
        """A message of `size` octets is on disk and the client was told so; `user` is its login.

        `rules` are the places of the rules that decided on it or changed it, `held` tells whether one of them had it
        held, and `was_from` is the sender that the client gave if a rule has set another one. `tls` is the
        protection of the connection, for logs that count. `release` is the time before which it is not delivered.
        """
        values = id, envelope, size, user, rules, held, was_from, tls, release
        self._later(self._accepted_line, self._wall_clock(), values)

    def _accepted_line(self, now: float, *values: Any) -> str:
        envelope: Envelope
        id, envelope, size, user, rules, held, was_from, tls, release = values
        if (counts := self._counts) is not None:
            counts.accepted += (size, len(envelope.recipients), tls)
            if len(counts.accepted) >= ACCEPTED_TOGETHER:
                counts.count_accepted()
        origin = envelope.origin
        fields: dict[str, Field] = {
            "id": id,
            "client": origin.client,
            "helo": origin.helo,
            "from": _path(envelope.sender),
            "recipients": len(envelope.recipients),
            "size": size,
        }
        # Here and in `delivered`, fields that most events do not have cost nothing.
        if user:
            fields["user"] = user
        if rules is not None:
            fields["rules"] = rules
        if was_from is not None:
            fields["was-from"] = _path(was_from)
        if held:
            fields["held"] = "yes"
        if release is not None:
            fields["release"] = timestamp(release)
        if envelope.tls_demand is not None:
            fields["tls-demand"] = envelope.tls_demand.value
        return self._render(now, "accepted", fields)

    # Going out

    def delivered(
        self,
        id: QueueId,
        to: Address,
        outcome: Delivered,
        stages: Stages,
        security: str,
        *,
        signed_by: str = "",
        earlier: TryLater | None = None,
        rule: str | None = None,
        attempts: int = 1,
    ) -> None:
        """The next host took the message for a recipient, under this protection and DKIM signature.

        `earlier`, here and below, is the answer of the host that was tried before in the same attempt. `rule` is the
        place of the rule that decided on the way of the mail. `attempts` is the number of this attempt, for logs that
        count.
        """
        values = id, to, outcome, stages, security, signed_by, earlier, rule, attempts
        self._later(self._delivered_line, self._wall_clock(), values)

    def _delivered_line(self, now: float, *values: Any) -> str:
        outcome: Delivered
        stages: Stages
        id, to, outcome, stages, security, signed_by, earlier, rule, attempts = values
        if (counts := self._counts) is not None:
            counts.delivered += (stages.total, stages.waited, stages.transfer, attempts, outcome.status, security)
            if len(counts.delivered) >= DELIVERED_TOGETHER:
                counts.count_delivered()
        fields: dict[str, Field] = {
            "id": id,
            "to": _path(to),
            "host": outcome.host,
            "total": stages.total,
            "queued": stages.queued,
            "waited": stages.waited,
            "transfer": stages.transfer,
        }
        if security:
            fields["tls"] = security
        if signed_by:
            fields["dkim"] = signed_by
        if rule is not None:
            fields["rule"] = rule
        if earlier is not None:
            fields["earlier"] = _earlier(earlier)
        fields["reply"] = outcome.text
        return self._render(now, "delivered", fields)

    def possible_duplicate(self, id: QueueId, to: Address) -> None:
        """The relay or a connection ended during this transaction: the message is sent again, and may arrive twice."""
        text = "possible duplicate: the last copy may have been delivered, and it is sent again"
        self._emit("possible-duplicate", id=id, to=_path(to), text=text)
        # The line must be written before the message is sent again: once that is settled, no other record is left.
        self._flush()

    def alarm(self, text: str, id: QueueId | None = None) -> None:
        """The relay has broken a promise, which should be reported with this line."""
        self._emit_error("alarm", {"id": id, "text": text})

    def deferred(
        self,
        id: QueueId,
        to: Address,
        outcome: TryLater,
        next_attempt: float,
        *,
        earlier: TryLater | None = None,
        rule: str | None = None,
    ) -> None:
        """An attempt failed for now; the next one is due at `next_attempt`."""
        self._emit(
            "deferred",
            id=id,
            to=_path(to),
            host=outcome.host or None,
            status=outcome.status,
            next=timestamp(next_attempt),
            rule=rule,
            earlier=_earlier(earlier),
            reply=outcome.text,
        )

    def failed(
        self,
        id: QueueId,
        to: Address,
        outcome: Failed,
        *,
        earlier: TryLater | None = None,
        rule: str | None = None,
    ) -> None:
        """A recipient will not get the message."""
        self._emit(
            "failed",
            id=id,
            to=_path(to),
            host=outcome.host or None,
            status=outcome.status,
            rule=rule,
            earlier=_earlier(earlier),
            reply=outcome.text,
        )

    def discarded(self, id: QueueId, to: Address, rule: str) -> None:
        """A rule had a recipient discarded, so that the message is not sent there."""
        self._emit("discarded", id=id, to=_path(to), rule=rule)

    def reported(self, id: QueueId, report: QueueId, kind: str, to: Address) -> None:
        """A report about a message was queued under an id of its own."""
        self._emit("reported", id=id, report=report, kind=kind, to=_path(to))

    def unreported(self, id: QueueId, text: str) -> None:
        """The sender gets no report, because none could be made or the report itself failed; `text` is the reason."""
        self._emit("unreported", id=id, reason=text)

    def lease_lost(self, id: QueueId) -> None:
        """The outcome of an attempt came too late to count: another claim holds the message, or it was removed."""
        self._emit("lease-lost", id=id)

    def destination_down(self, destination: str, trouble: TryLater, until: float) -> None:
        """No connection is opened to this destination before `until`; then one message is tried first."""
        self._emit(
            "destination-down",
            destination=destination,
            host=trouble.host or None,
            until=timestamp(until),
            reason=trouble.text,
        )

    def destination_up(self, destination: str) -> None:
        """The destination accepts connections again."""
        self._emit("destination-up", destination=destination)

    def destination_throttled(
        self, destination: str, text: str, pace: str | None, connections: int | None, until: float
    ) -> None:
        """The destination wants a slower pace or fewer connections. Messages wait, which counts as no attempt."""
        self._emit(
            "destination-throttled",
            destination=destination,
            pace=pace,
            connections=connections,
            next=timestamp(until),
            reply=text,
        )

    def destination_unthrottled(self, destination: str) -> None:
        """The limits of a destination are lifted, because it has not refused a message for them for hours."""
        self._emit("destination-unthrottled", destination=destination)

    def policy(self, domain: str, kind: str, mode: str, mx: Sequence[str], until: float) -> None:
        """A domain demands TLS by a policy of this kind, or has changed its demand; it holds until this time."""
        self._emit("policy", domain=domain, kind=kind, mode=mode, mx=_few(mx) or None, until=timestamp(until))

    def policy_failed(self, domain: str, reason: str) -> None:
        """A domain says that it has a policy, and there is none to be had."""
        # One kind, because each domain has a reason of its own and anybody can name many of them.
        self._emit_limited("policy-failed", "", {"domain": domain, "reason": reason}, {})

    def tls_report(self, domain: str, to: str, good: int, failed: int) -> None:
        """A report on the TLS of yesterday's sessions with a domain was sent, or given to the queue as mail."""
        self._emit("tls-report", domain=domain, to=to, good=good, failed=failed)

    def amended(self, change: Action, ids: Sequence[QueueId], by: str, *, recipient: str = "", to: str = "") -> None:
        """An operator, the user `by` if known, changed messages in the queue; a line names fifty messages at most.

        `recipient` is the only one that the change is for; "" is every recipient. `to` is the way of a reroute.
        """
        fields: dict[str, Field] = {
            "change": change.value,
            "recipient": f"<{recipient}>" if recipient else None,
            "to": to or None,
            "by": by or None,
        }
        for start in range(0, len(ids), _IDS_A_LINE):
            self._emit_fields("amended", {**fields, "ids": ",".join(ids[start : start + _IDS_A_LINE])})


def _others(client: str, reply: Reply) -> Mapping[str, Field]:
    """Return the fields that all refusals of one kind have in common."""
    return {"client": client, "reply": str(reply)}


def _earlier(answer: TryLater | None) -> str | None:
    return None if answer is None else f"{answer.host}: {answer.text}"


def _few(names: Sequence[str]) -> str:
    """Return names separated by commas; of many, the first, and the number of the others."""
    more = len(names) - _MOST_NAMES
    return ",".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _path(address: Address | None) -> str:
    return "<>" if address is None else f"<{address.text}>"
