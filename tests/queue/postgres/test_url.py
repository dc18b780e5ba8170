"""QUEUE_URL as the parameters of a connection, its mistakes, and the secrecy of its password."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.queue.postgres.url import Server, read_server, show_url

SECRET = "Gehe1m"


def parameters(url: str) -> dict[str, str]:
    return read_server(url).connection_parameters()


def read(url: str) -> Server | str:
    """Return the server of a URL, or the words about its mistake."""
    try:
        return read_server(url)
    except ValueError as error:
        return str(error)


def test_hosts_are_tried_in_their_order_until_one_takes_writes() -> None:
    found = parameters("postgresql://relay@db1.example.com,db2.example.com:5433/mail")
    assert found["host"] == "db1.example.com,db2.example.com"
    assert found["port"] == "5432,5433"
    assert found["target_session_attrs"] == "read-write"
    assert (found["user"], found["dbname"]) == ("relay", "mail")


def test_without_a_database_it_is_that_of_the_users_name() -> None:
    assert parameters("postgres://relay@localhost")["dbname"] == "relay"
    assert parameters("postgres://relay@localhost/")["dbname"] == "relay"


def test_a_silent_host_is_given_up() -> None:
    found = parameters("postgresql://relay@db/mail")
    assert found["tcp_user_timeout"] == "10000"
    assert found["connect_timeout"] == "10"
    assert found["keepalives"] == "1"
    assert int(found["keepalives_idle"]) + int(found["keepalives_interval"]) * int(found["keepalives_count"]) < 15


def test_timeouts_may_be_others() -> None:
    assert parameters("postgresql://relay@db/mail?connect_timeout=3&tcp_user_timeout=5000")["connect_timeout"] == "3"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://relay@localhost/mail",
        "postgresql://relay@127.0.0.1,127.9.9.9:1/mail",
        "postgresql://relay@[::1]:5433/mail",
        "postgresql://relay@%2Frun%2Fpostgresql/mail",
        "postgresql://relay@/mail?host=/run/postgresql",
    ],
)
def test_tls_is_not_demanded_on_the_same_host(url: str) -> None:
    assert parameters(url)["sslmode"] == "prefer"
    assert read_server(url).unverified == ""


def test_another_host_must_prove_its_name() -> None:
    server = read_server("postgresql://relay@localhost,db/mail", authorities="/etc/ssl/all.pem")
    found = server.connection_parameters()
    assert (found["sslmode"], found["sslrootcert"]) == ("verify-full", "/etc/ssl/all.pem")
    assert server.unverified == ""
    assert parameters("postgresql://relay@db/mail?sslrootcert=/own.pem")["sslrootcert"] == "/own.pem"


def test_an_operator_may_ask_for_less() -> None:
    server = read_server("postgresql://relay@db/mail?sslmode=require")
    assert server.unverified == "require"
    assert "sslrootcert" not in server.connection_parameters()


def test_a_directory_of_sockets_is_a_host() -> None:
    found = parameters("postgresql://relay@/mail?host=/run/postgresql&port=5433")
    assert (found["host"], found["port"]) == ("/run/postgresql", "5433")
    assert str(read_server("postgresql://relay@/mail?host=/run/postgresql")) == (
        "postgresql://relay@/mail?host=/run/postgresql"
    )


def test_hosts_in_the_parameter_have_a_port_each_or_share_one() -> None:
    assert parameters("postgresql://relay@/mail?host=a,b&port=1,2")["port"] == "1,2"
    assert parameters("postgresql://relay@/mail?host=a,b&port=3")["port"] == "3,3"
    assert parameters("postgresql://relay@/mail?host=a,b")["port"] == "5432,5432"


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    found = read_server("postgresql://relay@[2001:db8::1]:5433,[2001:db8::2]/mail")
    assert found.hosts == (("2001:db8::1", 5433), ("2001:db8::2", 5432))
    assert str(found) == "postgresql://relay@[2001:db8::1]:5433,[2001:db8::2]/mail"


def test_characters_may_be_escaped() -> None:
    found = parameters("postgresql://re%40lay:%2F%3f%25ä@db/ma%20il")
    assert (found["user"], found["password"], found["dbname"]) == ("re@lay", "/?%ä", "ma il")


def test_the_password_is_never_in_text_of_the_server() -> None:
    for server in (
        read_server(f"postgresql://relay:{SECRET}@db/mail"),
        read_server("postgresql://relay@db/mail").with_password(SECRET),
    ):
        assert server.connection_parameters()["password"] == SECRET
        assert SECRET not in repr(server) + str(server)
        assert SECRET not in repr(server.parameters)


def test_one_password_is_enough() -> None:
    server = read_server("postgresql://relay:one@db/mail")
    assert server.with_password("") == server
    with pytest.raises(ValueError, match="keep one of them"):
        server.with_password("other")


def test_without_a_password_none_is_given() -> None:
    assert "password" not in parameters("postgresql://relay@db/mail")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "not a URL of the form"),
        ("mysql://relay@db/mail", "not a URL of the form"),
        ("host=db user=relay", "not a URL of the form"),
        ("postgresql://relay@db/mail#part", "not a URL of the form"),
        ("postgresql://db/mail", "names no user"),
        ("postgresql://relay@/mail", "names no host"),
        ("postgresql://relay@a,,b/mail", "names no host"),
        ("postgresql://relay@a%2Cb/mail", "names no host"),
        ("postgresql://relay@db:x/mail", "a host with its port cannot be read"),
        ("postgresql://relay@db:0/mail", "a port is not a number"),
        ("postgresql://relay@db:65536/mail", "a port is not a number"),
        ("postgresql://relay@2001:db8::1/mail", "a host with its port cannot be read"),
        ("postgresql://relay@a/mail?host=b", "keep one of them"),
        ("postgresql://relay@/mail?host=a,b,c&port=1,2", "another number of ports"),
        ("postgresql://relay@/mail?host=a,", "is empty"),
        ("postgresql://relay@" + ",".join("abcdefghijklmnopq") + "/mail", "more than 16 hosts"),
        ("postgresql://relay@db/mail?ssl_mode=require", "unknown parameter after the question mark: ssl_mode"),
        ("postgresql://relay@db/mail?sslmode", "unknown parameter"),
        ("postgresql://relay@db/mail?sslmode=require&sslmode=disable", "sslmode stands there twice"),
        ("postgresql://relay@db/mail?sslmode=yes", "sslmode is not one of disable, "),
        ("postgresql://relay@db/mail?options=-cjit=on", "the relay sets the options"),
        ("postgresql://relay@db/mail?dbname=other", "it stands after the hosts"),
        ("postgresql://relay@db/mail?target_session_attrs=any", "the relay must write"),
        ("postgresql://relay@db/mail?connect_timeout=0", "connect_timeout is not a whole number above 0"),
        ("postgresql://relay@db/ma%il", "written as %25"),
        ("postgresql://relay@db/ma%ffil", "the database is not UTF-8"),
        ("postgresql://relay@db/mail%00", "the database has a control character"),
        ("postgresql://relay@" + "a" * 4000 + "/mail", "longer than 4000"),
    ],
)
def test_a_mistake_is_told_in_one_line(url: str, words: str) -> None:
    found = read(url)
    assert isinstance(found, str)
    assert words in found
    assert len(found.splitlines()) == 1


SPOILT = [
    f"postgresql://relay:{SECRET}@db/mail",
    f"postgresql://relay:{SECRET}@db:x/mail?a=b@c",
    f"postgresql://relay@realm:{SECRET}@db/mail",
    f"postgresql://relay:a:{SECRET}@db/mail",
    f"postgresql://relay:a/{SECRET}@db/mail",
    f"postgresql://relay:a?{SECRET}@db/mail",
    f"postgresql://relay:a#{SECRET}@db/mail",
    f"postgresql://relay:a@b/{SECRET}@db/mail",
    f"postgresql://relay:a@b?{SECRET}@db/mail",
    f"postgresql://relay:a@b?{SECRET}=@db/mail",
    f"postgresql://relay:%0{SECRET}@db/mail",
    f"postgresql://relay@db/mail?password={SECRET}",
    f"postgresql://relay@db/mail?sslpassword={SECRET}&sslmode=require",
    f"relay:{SECRET}@db/mail",
    f"postgresql:/relay:{SECRET}@db/mail",
    f"host=db password = '{SECRET} x' user=relay",
    f"host=db password={SECRET}",
]


@pytest.mark.parametrize("url", SPOILT)
def test_no_text_about_a_wrong_url_has_the_password(url: str) -> None:
    shown = show_url(url)
    assert "****" in shown
    assert SECRET not in shown
    found = read(url)
    assert SECRET not in repr(found) + str(found)


def test_a_url_without_a_password_is_shown_as_it_is() -> None:
    for url in (
        "postgresql://relay@db1:5433,db2/mail?sslmode=require",
        "postgresql://relay@/mail?host=/run/postgresql",
        "postgresql://relay@[::1]:5432/mail",
    ):
        assert show_url(url) == url


def test_a_url_that_is_shown_can_be_read_again() -> None:
    shown = show_url(f"postgresql://relay:{SECRET}@db1:5433,db2/mail?sslmode=require")
    assert shown == "postgresql://relay:****@db1:5433,db2/mail?sslmode=require"
    assert read_server(shown).hosts == (("db1", 5433), ("db2", 5432))


@given(st.text(st.sampled_from("pq:/@?#%&=,[]aä0. \n"), max_size=60))
def test_any_text_is_read_or_told_as_a_mistake(text: str) -> None:
    found = read(f"postgresql://{text}")
    if isinstance(found, Server):
        assert found.user
        assert found.hosts
    else:
        assert len(found.splitlines()) == 1
