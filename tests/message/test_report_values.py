"""The facts of a report have one definition, which `dsn` exports."""

from mta.message import dsn, report_text


def test_the_module_that_makes_reports_exports_their_values() -> None:
    assert (dsn.OriginalMessage, dsn.ReportedRecipient, dsn.ReportIdentity) == (
        report_text.OriginalMessage,
        report_text.ReportedRecipient,
        report_text.ReportIdentity,
    )
