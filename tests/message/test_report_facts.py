from mta.message import dsn, report_facts


def test_the_module_that_makes_reports_exports_their_values() -> None:
    assert (dsn.Original, dsn.ReportedRecipient, dsn.ReportIdentity) == (
        report_facts.Original,
        report_facts.ReportedRecipient,
        report_facts.ReportIdentity,
    )
