"""Gathers the facts about the relay: its answers, its policy for strangers, its certificate and its queue."""

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress

from cryptography import x509
from OpenSSL import SSL, crypto
from twisted.internet.defer import Deferred

from mta.admin.client.client_state import client_of
from mta.admin.state import DestinationState, LoggedEvent, StateError
from mta.blocking import run_inline
from mta.cli.health import UnhealthyError
from mta.cli.health import check as check_health
from mta.cli.results import answer, result
from mta.config.setting import SettingsError
from mta.config.settings import Settings
from mta.doctor.relay import CertificateFacts, RelayFacts, StrangerTrial
from mta.explain.acl_stage import decide_acl
from mta.explain.parts import Sources, deciding_parts
from mta.explain.values import MailVerdict, Question
from mta.queue.interface import QueueError, Summary
from mta.queue.worker_queues.combined import OperatorQueue, open_queues
from mta.tls.certificate_text import certificate_problem
from mta.tls.context import new_context
from mta.tls.keypair import make_pair
from mta.tls.pem_files import CertificateError, load, read_files

# Addresses of documentation, which belong to no one (RFC 5737, RFC 3849), in different parts of the address space.
_STRANGERS = ("192.0.2.66", "198.51.100.66", "203.0.113.66", "2001:db8::66")
_SENDER, _RECIPIENT = "stranger@sender.invalid", "stranger@recipient.invalid"


def relay_facts(settings: Settings, environ: Mapping[str, str]) -> RelayFacts:
    """Return the facts about the relay of some settings."""
    certificate, certificate_error = _certificate(settings)
    summary, queue_error = _summary(settings)
    destinations, alarms = _running(settings)
    return RelayFacts(
        now=time.time(),
        mailname=settings.mailname,
        silent=_silence(environ),
        trials=tuple(stranger_trials(settings)),
        certificate=certificate,
        certificate_error=certificate_error,
        submission=settings.submission_port is not None or settings.submission_tls_port is not None,
        notices=settings.notices,
        summary=summary,
        queue_error=queue_error,
        destinations=destinations,
        alarms=alarms,
    )


def stranger_trials(settings: Settings) -> Iterator[StrangerTrial]:
    """Yield the decisions of policy and rules on mail of strangers, without look-ups."""
    relay = deciding_parts(settings, Sources(settings.rules), lambda _: None)
    for client in _STRANGERS:
        question = Question(_SENDER, (_RECIPIENT,), client, helo="sender.invalid")
        decided = result(Deferred.fromCoroutine(decide_acl(question, relay)))
        refusal = next((each for each in decided.decisions if each.reply is not None), None)
        yield StrangerTrial(client, _words(refusal), undecided=refusal is not None and refusal.verdict == "deferred")


def _words(refusal: MailVerdict | None) -> str:
    return "" if refusal is None else str(refusal.reply)


def _silence(environ: Mapping[str, str]) -> str:
    """Return the reason why the relay cannot accept mail, or ""."""
    try:
        check_health(environ)
    except (UnhealthyError, QueueError) as error:
        return str(error)
    except SettingsError as error:
        return "; ".join(error.mistakes)
    return ""


def _certificate(settings: Settings) -> tuple[CertificateFacts | None, str]:
    if settings.certificate_path is None or settings.key_path is None:
        return None, ""
    try:
        files = read_files(settings.certificate_path, settings.key_path)
        pair, chain = make_pair(files), load(files).chain
    except CertificateError as error:
        return None, str(error)
    now = time.time()
    names = _dns_names(pair.certificate)
    return CertificateFacts(names, str(pair), pair.problem(now), pair.has_ended(now), untrusted(chain)), ""


def _dns_names(certificate: x509.Certificate) -> tuple[str, ...]:
    with suppress(x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return tuple(name.lower() for name in names.get_values_for_type(x509.DNSName))
    return ()


def untrusted(chain: tuple[x509.Certificate, ...]) -> str:
    """Return the reason why the system's authorities do not confirm a chain, or "" if they do. Dates count too."""
    context = new_context(SSL.TLS_CLIENT_METHOD)
    context.set_default_verify_paths()
    store = context.get_cert_store()
    assert store is not None
    leaf, *issuers = (crypto.X509.from_cryptography(each) for each in chain)
    try:
        crypto.X509StoreContext(store, leaf, issuers).verify_certificate()
    except crypto.X509StoreContextError as error:
        code, depth = (int(each) for each in error.errors[:2])
        return certificate_problem(error.certificate.to_cryptography(), code, depth).text
    return ""


def _running(settings: Settings) -> tuple[tuple[DestinationState, ...] | None, tuple[LoggedEvent, ...] | None]:
    """Return the destinations and the last alarms of the running relay; None for both if it cannot be asked."""
    try:
        relay = client_of(settings.queue_dir)
        return tuple(answer(relay.destinations())), tuple(answer(relay.alarms()))
    except StateError:
        return None, None


def _open_queue(settings: Settings) -> OperatorQueue:
    """Return the queue that the relay has, or shares. Raises QueueError."""
    if settings.shared_queue is None:
        return open_queues(settings.queue_dir, run=run_inline, now=time.time(), applied=lambda *_: None)
    # Few relays share their queue.
    from mta.queue.postgres.operators_queue import OperatorsQueue  # noqa: PLC0415

    return OperatorsQueue(settings.shared_queue.server, run_inline)


def _summary(settings: Settings) -> tuple[Summary | None, str]:
    try:
        queues = _open_queue(settings)
    except (QueueError, OSError) as error:
        return None, str(error)
    try:
        return result(queues.summary()), ""
    except QueueError as error:
        return None, str(error)
    finally:
        result(queues.close())
