from mta.message import dsn, news


def test_whoever_writes_reports_finds_their_values_beside_them() -> None:
    assert (dsn.Original, dsn.Result, dsn.Stamp) == (news.Original, news.Result, news.Stamp)
