"""The providers of mail that the relay knows: hosts, URLs and scopes of Microsoft's clouds and of Google."""

import enum
import json
import re
from dataclasses import dataclass

from mta.https.interface import parse_url
from mta.oauth.grants import ClientCredentials, Provider, RefreshToken, ServiceAccount, load_rsa_key

#: The address at which Google asks a user for consent.
GOOGLE_CONSENT_URL = "https://accounts.google.com/o/oauth2/v2/auth"
#: Google's token endpoint.
GOOGLE_TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105  a URL
#: The only scope of Google that covers SMTP.
GOOGLE_SCOPE = "https://mail.google.com/"

# A tenant's id, or one of its domains.
_TENANT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?")
_MAX_ACCOUNT = 65536


class Cloud(enum.Enum):
    """Microsoft's clouds; each value is that of O365_CLOUD."""

    PUBLIC = "public"
    USGOV = "usgov"
    CHINA = "china"


@dataclass(frozen=True, slots=True)
class CloudHosts:
    """The hosts of a cloud. `resource` begins the scope of client credentials, `sending` that of a user."""

    login: str
    smtp: str
    resource: str
    sending: str

    @property
    def own_scope(self) -> str:
        """The scope of client credentials: all rights that the application was given."""
        return f"https://{self.resource}/.default"

    @property
    def user_scope(self) -> str:
        """The scope of a user's consent: to send mail, and to get refresh tokens."""
        return f"https://{self.sending}/SMTP.Send offline_access"

    def token_url(self, tenant: str) -> str:
        """Return the token endpoint of a tenant. Raises ValueError if the tenant is neither an id nor a domain."""
        return self._url(tenant, "token")

    def device_url(self, tenant: str) -> str:
        """Return the endpoint for device codes (RFC 8628) of a tenant. Raises ValueError."""
        return self._url(tenant, "devicecode")

    def _url(self, tenant: str, endpoint: str) -> str:
        if not _TENANT.fullmatch(tenant):
            raise ValueError("the tenant is neither an id such as 12345678-90ab-cdef-1234-567890abcdef nor a domain")
        return f"https://{self.login}/{tenant}/oauth2/v2.0/{endpoint}"


#: The hosts of Microsoft's clouds. Those of China are 21Vianet's.
CLOUDS = {
    Cloud.PUBLIC: CloudHosts(
        "login.microsoftonline.com", "smtp.office365.com", "outlook.office365.com", "outlook.office.com"
    ),
    Cloud.USGOV: CloudHosts(
        "login.microsoftonline.us", "smtp.office365.us", "outlook.office365.us", "outlook.office365.us"
    ),
    Cloud.CHINA: CloudHosts(
        "login.partner.microsoftonline.cn", "smtp.partner.outlook.cn", "partner.outlook.cn", "partner.outlook.cn"
    ),
}


def microsoft_credentials(cloud: Cloud, tenant: str, client_id: str, client_secret: str) -> ClientCredentials:
    """Return the grant of an application with a secret. Raises ValueError for a malformed tenant."""
    hosts = CLOUDS[cloud]
    return ClientCredentials(hosts.token_url(tenant), client_id, client_secret, hosts.own_scope, Provider.MICROSOFT)


def microsoft_refresh_token(
    cloud: Cloud, tenant: str, client_id: str, client_secret: str, refresh_token: str
) -> RefreshToken:
    """Return the grant of a user's refresh token; `client_secret` may be "". Raises ValueError for a bad tenant."""
    hosts = CLOUDS[cloud]
    url = hosts.token_url(tenant)
    return RefreshToken(url, client_id, client_secret, refresh_token, hosts.user_scope, Provider.MICROSOFT)


def google_refresh_token(client_id: str, client_secret: str, refresh_token: str) -> RefreshToken:
    """Return the grant of a user's refresh token; Google knows its scope."""
    return RefreshToken(GOOGLE_TOKEN_URL, client_id, client_secret, refresh_token, provider=Provider.GOOGLE)


def google_service_account(text: str, user: str) -> ServiceAccount:
    """Return the grant of a service account for a user's mailbox; `text` is the JSON file of its key.

    Raises ValueError with one line that does not quote the file.
    """
    try:
        fields = json.loads(text) if len(text) <= _MAX_ACCOUNT else None
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or fields.get("type") != "service_account":
        raise ValueError('it is not the JSON file of a service account\'s key, which has "type": "service_account"')
    for name in ("client_email", "private_key"):
        if not isinstance(fields.get(name), str) or not fields[name]:
            raise ValueError(f'the JSON file has no "{name}"')
    load_rsa_key(fields["private_key"])
    url = fields.get("token_uri") or GOOGLE_TOKEN_URL
    try:
        parse_url(url if isinstance(url, str) else "")
    except ValueError:
        raise ValueError('"token_uri" of the JSON file is not an https URL') from None
    key_id = fields.get("private_key_id")
    return ServiceAccount(
        url,
        fields["client_email"],
        user,
        fields["private_key"],
        key_id if isinstance(key_id, str) else "",
        GOOGLE_SCOPE,
    )


def other_grant(
    url: str, client_id: str, client_secret: str, refresh_token: str = "", scope: str = ""
) -> ClientCredentials | RefreshToken:
    """Return the grant of any other provider: of a refresh token if there is one. Raises ValueError for a bad URL."""
    parse_url(url)
    if refresh_token:
        return RefreshToken(url, client_id, client_secret, refresh_token, scope)
    return ClientCredentials(url, client_id, client_secret, scope)
