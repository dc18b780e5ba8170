"""The Exim configuration that the bench writes."""

from pathlib import Path

from bench.exim import configuration
from bench.peer import Site

SITE = Site(Path("/home"), Path("/debian"), 2525, 2526)


def options(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


def test_all_mail_goes_to_the_sink_and_no_limit_holds_it_back():
    text = configuration(SITE, {})
    main, _, rest = text.partition("begin routers")
    assert "daemon_smtp_ports = 2525" in options(main)
    assert "smtp_connect_backlog = 1024" in options(main)
    assert "port = 2526" in options(rest)


def test_settings_stand_over_the_usual_ones_each_in_its_section():
    text = configuration(SITE, {"smtp_connect_backlog": "20", "smtp: dkim_domain": "example.test"})
    main, _, rest = text.partition("begin transports")
    assert [line for line in options(main) if line.startswith("smtp_connect_backlog")] == ["smtp_connect_backlog = 20"]
    assert "dkim_domain = example.test" in options(rest.partition("begin retry")[0])
    assert "dkim_domain = example.test" not in options(main)


def test_a_router_given_stands_for_the_usual_one():
    text = configuration(SITE, {"router: driver": "dnslookup", "retry": "F,1h,5s", "queue run": "10s"})
    routers, _, rest = text.partition("begin routers")[2].partition("begin transports")
    assert options(routers)[1:4] == ["onward:", "driver = dnslookup", "transport = remote_smtp"]
    assert "* * F,1h,5s" in options(rest)
    assert "queue run" not in text


def test_mail_goes_to_the_sink_by_the_usual_router():
    assert "route_list = * 127.0.0.1 byname" in options(configuration(SITE, {}))
