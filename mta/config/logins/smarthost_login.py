"""Reads the relay's login at a smarthost: by a password, by access tokens, or by a client certificate alone.

A part of a login without the others is a mistake, because mail that is sent without the login, or by another route, may
be rejected permanently. Two ways to log in are a mistake, too, because only one would be used.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mta.config import table, value_types
from mta.config.setting import FILE_SUFFIX, MASK, Setting, SettingsReader
from mta.routing.route import AnyCredentials, CertificateCredentials, Credentials, TokenCredentials

if TYPE_CHECKING:
    from mta.oauth.grants import Grant, ServiceAccount

_Part = Setting[Any]

_GOOGLE_CLIENT = (table.GMAIL_CLIENT_ID, table.GMAIL_CLIENT_SECRET, table.GMAIL_REFRESH_TOKEN)
_O365_SECRETS = (table.O365_CLIENT_SECRET, table.O365_REFRESH_TOKEN)
_OTHER_SECRETS = (table.SMARTHOST_CLIENT_SECRET, table.SMARTHOST_REFRESH_TOKEN)

#: The settings of a login.
O365: Sequence[_Part] = (table.O365_USER, table.O365_TENANT, table.O365_CLIENT_ID, *_O365_SECRETS)
SES: Sequence[_Part] = (table.SES_USER, table.SES_PASSWORD)
SMARTHOST: Sequence[_Part] = (
    table.SMARTHOST_USER,
    table.SMARTHOST_PASSWORD,
    table.SMARTHOST_TOKEN_URL,
    table.SMARTHOST_CLIENT_ID,
    *_OTHER_SECRETS,
)


@dataclass(frozen=True, slots=True)
class SmarthostLogin:
    """A login at a smarthost, and the grant of its tokens if it is one with tokens."""

    credentials: AnyCredentials
    #: Two settings that it came from, in words: `SMARTHOST_USER and SMARTHOST_PASSWORD`.
    given: str
    grant: "Grant | None" = None


def gmail_login(reader: SettingsReader) -> SmarthostLogin | None:
    """Return the login at Gmail, or None: by a password, a refresh token or the key of a service account."""
    user = table.GMAIL_USER
    way = _only_way(reader, user, (table.GMAIL_PASSWORD,), _GOOGLE_CLIENT, (table.GMAIL_SERVICE_ACCOUNT,))
    if way is None:
        return None
    if way[0] is table.GMAIL_PASSWORD:
        return _password(reader, user, table.GMAIL_PASSWORD)
    if way[0] is table.GMAIL_SERVICE_ACCOUNT:
        return _tokens(reader, user, table.GMAIL_SERVICE_ACCOUNT, lambda: _service_account(reader))
    # The grants of tokens are imported if needed, because most relays log in by a password, or not at all.
    from mta.oauth.providers import google_refresh_token  # noqa: PLC0415

    client, secret, token = map(reader.get, _GOOGLE_CLIENT)
    return _tokens(reader, user, table.GMAIL_CLIENT_ID, lambda: google_refresh_token(client, secret, token))


def _service_account(reader: SettingsReader) -> "ServiceAccount":
    from mta.oauth.grants import ServiceAccount  # noqa: PLC0415
    from mta.oauth.providers import GOOGLE_TOKEN_URL, google_service_account  # noqa: PLC0415

    text, user = reader.get(table.GMAIL_SERVICE_ACCOUNT), reader.get(table.GMAIL_USER)
    if text == MASK:
        # A command reads the settings that a relay has published.
        return ServiceAccount(GOOGLE_TOKEN_URL, MASK, user, MASK)
    if text.startswith(("/", "./")):
        raise ValueError(f"it is a path, not the JSON file itself: set {table.GMAIL_SERVICE_ACCOUNT.name}{FILE_SUFFIX}")
    return google_service_account(text, user)


def o365_login(reader: SettingsReader) -> SmarthostLogin | None:
    """Return the login at Microsoft 365, or None: by a client secret, or by a refresh token with or without one."""
    user = table.O365_USER
    if not _only_way(reader, user, (table.O365_TENANT, table.O365_CLIENT_ID, _either(reader, *_O365_SECRETS))):
        return None
    from mta.oauth.providers import Cloud, microsoft_credentials, microsoft_refresh_token  # noqa: PLC0415

    cloud, tenant = Cloud(reader.get(table.O365_CLOUD)), reader.get(table.O365_TENANT) or ""
    client, secret, token = map(reader.get, (table.O365_CLIENT_ID, *_O365_SECRETS))

    def grant() -> "Grant":
        if token:
            return microsoft_refresh_token(cloud, tenant, client, secret, token)
        return microsoft_credentials(cloud, tenant, client, secret)

    return _tokens(reader, user, table.O365_TENANT, grant)


def ses_login(reader: SettingsReader) -> SmarthostLogin | None:
    """Return the login at Amazon SES, or None."""
    if _only_way(reader, table.SES_USER, (table.SES_PASSWORD,)) is None:
        return None
    return _password(reader, table.SES_USER, table.SES_PASSWORD)


def own_login(reader: SettingsReader, *, certificate: bool) -> SmarthostLogin | None:
    """Return the login at SMARTHOST_ADDRESS, or None. `certificate` tells whether there is a client certificate."""
    user, url = table.SMARTHOST_USER, table.SMARTHOST_TOKEN_URL
    by_token = (url, table.SMARTHOST_CLIENT_ID, _either(reader, *_OTHER_SECRETS))
    way = _only_way(reader, user, (table.SMARTHOST_PASSWORD,), by_token)
    if way is None:
        given = f"{table.SMARTHOST_CERTIFICATE_PATH.name} and {table.SMARTHOST_KEY_PATH.name}"
        return SmarthostLogin(CertificateCredentials(), given) if certificate else None
    if way[0] is table.SMARTHOST_PASSWORD:
        return _password(reader, user, table.SMARTHOST_PASSWORD)
    from mta.oauth.providers import other_grant  # noqa: PLC0415

    client, secret, token = map(reader.get, (table.SMARTHOST_CLIENT_ID, *_OTHER_SECRETS))
    scope = reader.get(table.SMARTHOST_TOKEN_SCOPE)
    return _tokens(reader, user, url, lambda: other_grant(reader.get(url) or "", client, secret, token, scope))


def _either(reader: SettingsReader, secret: Setting[str], token: Setting[str]) -> Setting[str]:
    """Return the refresh token if it is given, because the client secret is then optional; otherwise the secret."""
    return token if _is_given(reader, token) else secret


def _password(reader: SettingsReader, user: Setting[str], password: Setting[str]) -> SmarthostLogin:
    credentials = Credentials(reader.get(user), reader.get(password), _prefix(user))
    return SmarthostLogin(credentials, f"{user.name} and {password.name}")


def _tokens(
    reader: SettingsReader, user: Setting[str], first: _Part, grant: "Callable[[], Grant]"
) -> SmarthostLogin | None:
    """Return a login with tokens, or None if `grant` raises ValueError, which is a mistake in the setting `first`."""
    name = reader.get(user)
    try:
        value_types.read_token_text(name)
    except ValueError as error:
        reader.mistake(user, str(error))
    try:
        found = grant()
    except ValueError as error:
        reader.mistake(first, str(error))
        return None
    return SmarthostLogin(TokenCredentials(name, _prefix(user)), f"{user.name} and {first.name}", found)


def _prefix(user: Setting[str]) -> str:
    return user.name.removesuffix("_USER")


def _only_way(reader: SettingsReader, user: Setting[str], *ways: Sequence[_Part]) -> Sequence[_Part] | None:
    """Return the way to log in whose parts are all set, or None. Two ways, and a part of one, are mistakes."""
    begun = [way for way in ways if any(_is_given(reader, part) for part in way)]
    if len(begun) > 1:
        first, second = (next(part for part in way if _is_given(reader, part)) for way in begun[:2])
        reader.mistake(second, f"{first.name} is set, too, which is another way to log in: keep one of the two")
        return None
    way = begun[0] if begun else ways[0]
    return way if _is_complete(reader, (user, *way)) else None


def _is_given(reader: SettingsReader, part: _Part) -> bool:
    return bool(reader.get(part)) or reader.is_mistaken(part)


def _is_complete(reader: SettingsReader, parts: Sequence[_Part]) -> bool:
    """Whether all parts of a login are set. If only some are, each missing one is a mistake."""
    given = [part for part in parts if reader.get(part)]
    for missing in parts:
        if given and missing not in given and not reader.is_mistaken(missing):
            reader.mistake(missing, f"{_absent(reader, missing)} although {given[0].name} is set: half a login is none")
    return len(given) == len(parts)


def _absent(reader: SettingsReader, missing: _Part) -> str:
    """Return the words for a part that is not set. A refresh token may stand in place of some client secrets."""
    file = missing.name + FILE_SUFFIX
    if file in reader.names():
        return f"the file that {file} names is empty"
    instead = {pair[0].name: pair[1].name for pair in (_O365_SECRETS, _OTHER_SECRETS)}.get(missing.name)
    return f"neither it nor {instead} is set" if instead else "it is not set"
