"""Builds the source of access tokens for the smarthost."""

import time

from mta.daemon.parts.context import RelayContext
from mta.dns.resolver import DnsResolver
from mta.https.client import HttpsClient, HttpsOptions
from mta.oauth.grants import Grant
from mta.oauth.token_file import TokenFile
from mta.oauth.token_source import SourceParts, TokenSource
from mta.tls.trust_store import TrustStore


def token_source(context: RelayContext, resolver: DnsResolver, grant: Grant, trust_store: TrustStore) -> TokenSource:
    """Return the source of tokens for the smarthost, whose file all workers share."""
    settings = context.settings
    options = HttpsOptions(trust=trust_store.for_https, ipv6=settings.ipv6, search=True)
    https = HttpsClient(context.reactor, resolver, options)
    file = TokenFile(settings.queue_dir)
    trouble = context.event_log.trouble
    return TokenSource(grant, SourceParts(https, file, context.in_thread, context.reactor, time.time, trouble))
