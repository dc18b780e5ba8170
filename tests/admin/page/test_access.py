"""Who may open the page and use the API."""

import pytest

from mta.admin.page.access import Access, WrongForm, WrongPassword
from mta.admin.page.passwords import TooManyPasswords

PASSWORD = "the-password"  # noqa: S105
CLIENT = "192.0.2.7"
NOW = 1000.0


def access(password: str = PASSWORD, address: str = "", *, https: bool = False) -> Access:
    return Access(address, 8025, password, https=https, names=["mx.example.test"])


def cookie_of(header: str) -> str:
    return header.partition(";")[0]


def test_a_login_begins_a_session_that_a_logout_ends():
    page = access()
    stranger = page.browser("", NOW)
    assert not stranger.logged_in
    header = page.log_in(PASSWORD, CLIENT, NOW)
    user = page.browser(f"other=1; {cookie_of(header)}", NOW)
    assert user.logged_in
    assert not user.set_cookie
    forget = page.log_out(user)
    assert "Max-Age=0" in forget
    assert not page.browser(cookie_of(header), NOW).logged_in


def test_a_login_changes_the_id_of_the_browser():
    page = access()
    before = cookie_of(page.browser("", NOW).set_cookie)
    after = cookie_of(page.log_in(PASSWORD, CLIENT, NOW))
    assert before != after
    assert not page.browser(before, NOW).logged_in


def test_the_cookie_is_kept_from_scripts_and_from_other_sites():
    plain, secure = access().browser("", NOW).set_cookie, access(https=True).browser("", NOW).set_cookie
    for each in (plain, secure):
        assert "HttpOnly" in each
        assert "SameSite=Strict" in each
        assert "Path=/" in each
    assert "Secure" not in plain
    assert secure.startswith("__Host-")
    assert secure.endswith("; Secure")


def test_a_cookie_of_another_form_is_none():
    page = access()
    for cookies in ("smtprelay-8025=x", "smtprelay-8025=" + "a" * 44, "smtprelay-8025=" + "ä" * 43, "=;", ";;"):
        assert page.browser(cookies, NOW).set_cookie


def test_without_a_password_each_browser_is_logged_in():
    page = access("", "127.0.0.1")
    assert page.browser("", NOW).logged_in
    assert not page.needs_password
    with pytest.raises(WrongPassword):
        page.log_in("", CLIENT, NOW)


def test_a_form_needs_the_token_of_its_browser():
    page = access()
    one, other = page.browser("", NOW), page.browser("", NOW)
    page.check_form(one, one.form_token, "same-origin")
    page.check_form(one, one.form_token, "")
    for token in ("", other.form_token, "ä", one.form_token + "0"):
        with pytest.raises(WrongForm):
            page.check_form(one, token, "same-origin")


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
def test_a_form_of_another_site_is_refused_even_with_the_token(site):
    page = access()
    browser = page.browser("", NOW)
    with pytest.raises(WrongForm, match="another site"):
        page.check_form(browser, browser.form_token, site)


def test_wrong_passwords_are_slowed_down():
    page = access()
    for _ in range(5):
        with pytest.raises(WrongPassword):
            page.log_in("guess", CLIENT, NOW)
    with pytest.raises(TooManyPasswords, match="try again in 1 s"):
        page.log_in(PASSWORD, CLIENT, NOW + 0.5)
    assert page.log_in(PASSWORD, "192.0.2.8", NOW + 0.5)
    assert page.log_in(PASSWORD, CLIENT, NOW + 1.0)


def test_logins_and_wrong_passwords_are_noted():
    noted = []
    page = Access("", 8025, PASSWORD, https=False, names=[], note=lambda *each: noted.append(each))
    page.log_in(PASSWORD, "192.0.2.1", 0.0)
    with pytest.raises(WrongPassword):
        page.log_in("guess", "192.0.2.2", 0.0)
    assert page.has_token(f"Bearer {PASSWORD}", "192.0.2.3", 0.0)
    assert not page.has_token("Bearer guess", "192.0.2.4", 0.0)
    assert noted == [("192.0.2.1", "page", True), ("192.0.2.2", "page", False), ("192.0.2.4", "token", False)]


def test_the_names_of_the_page_are_its_address_localhost_and_the_name_of_the_relay():
    page = access(address="127.0.0.1")
    for host in (
        "127.0.0.1:8025",
        "localhost:8025",
        "LOCALHOST",
        "[::1]:8025",
        "mx.example.test",
        "MX.Example.Test.:1",
    ):
        assert not page.host_problem(host)
    for host in (
        "",
        "evil.example:8025",
        "192.0.2.1:8025",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "[",
        "*",
    ):
        assert "use its address, or the name mx.example.test" in page.host_problem(host)


def test_a_page_on_all_addresses_is_opened_by_any_address_but_by_no_strange_name():
    page = access()
    assert not page.host_problem("192.0.2.1:8025")
    assert not page.host_problem("[2001:db8::1]:8025")
    assert page.host_problem("evil.example")


def test_a_wildcard_of_the_certificate_is_one_label():
    page = Access("", 8025, PASSWORD, https=True, names=["*.example.test"])
    assert not page.host_problem("page.example.test")
    assert page.host_problem("a.page.example.test")
    assert page.host_problem("example.test")


def test_a_program_needs_the_bearer_token():
    page = access()
    assert page.may_use_api(f"Bearer {PASSWORD}", "any.name", "", CLIENT, NOW)
    assert page.may_use_api(f"bearer  {PASSWORD} ", "any.name", "", CLIENT, NOW)
    for header in ("", PASSWORD, f"Basic {PASSWORD}", "Bearer", "Bearer x"):
        assert not page.may_use_api(header, "mx.example.test", "", "192.0.2.9", NOW)


def test_without_a_password_programs_of_this_host_use_the_api_but_no_strange_site():
    page = access("", "127.0.0.1")
    assert page.may_use_api("", "localhost:8025", "", "127.0.0.1", NOW)
    assert not page.may_use_api("", "evil.example", "", "127.0.0.1", NOW)
    assert not page.may_use_api("", "localhost:8025", "cross-site", "127.0.0.1", NOW)
    assert not page.has_token("Bearer ", "127.0.0.1", NOW)


def test_no_secret_is_in_a_repr():
    browser = access().browser("", NOW)
    assert browser.id not in repr(browser)
    assert browser.form_token not in repr(browser)
