"""The receiver of TLS reports: it takes the example of RFC 8460, and refuses what breaks its rules."""

import copy
import email.policy
import gzip
import json
from email.message import EmailMessage

import pytest

from harness.certificates import self_signed
from harness.tls_report_receiver import ReportError, ReportReceiver, report_in_mail, report_of
from harness.web_server import WebAnswer, WebRequest

# RFC 8460 appendix B, with the numbers of its failures in agreement.
EXAMPLE = {
    "organization-name": "Company-X",
    "date-range": {"start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z"},
    "contact-info": "sts-reporting@company-x.example",
    "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
    "policies": [
        {
            "policy": {
                "policy-type": "sts",
                "policy-string": ["version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400"],
                "policy-domain": "company-y.example",
                "mx-host": ["*.mail.company-y.example"],
            },
            "summary": {"total-successful-session-count": 5326, "total-failure-session-count": 302},
            "failure-details": [
                {
                    "result-type": "certificate-expired",
                    "sending-mta-ip": "2001:db8:abcd:0012::1",
                    "receiving-mx-hostname": "mx1.mail.company-y.example",
                    "failed-session-count": 100,
                },
                {"result-type": "starttls-not-supported", "failed-session-count": 202},
            ],
        }
    ],
}


def packed(report):
    return gzip.compress(json.dumps(report).encode())


def broken(change):
    report = copy.deepcopy(EXAMPLE)
    change(report)
    return report


def mail(report, name="mail.company-x.example!company-y.example!1459468800!1459555199.json.gz"):
    message = EmailMessage(policy=email.policy.SMTP)
    message["Subject"] = (
        "Report Domain: company-y.example Submitter: mail.company-x.example"
        " Report-ID: <5065427c@mail.company-x.example>"
    )
    message["TLS-Report-Domain"] = "company-y.example"
    message["TLS-Report-Submitter"] = "mail.company-x.example"
    message.set_content("This is an aggregate TLS report.")
    message.add_attachment(packed(report), maintype="application", subtype="tlsrpt+gzip", filename=name)
    message.replace_header("Content-Type", 'multipart/report; report-type="tlsrpt"')
    return message


def test_the_example_is_taken_and_counted():
    report = report_in_mail(mail(EXAMPLE).as_bytes())
    assert report.counts == {"sts": (5326, 302)}
    assert report.failures == {"certificate-expired": 100, "starttls-not-supported": 202}
    assert (report.domain, report.submitter) == ("company-y.example", "mail.company-x.example")


@pytest.mark.parametrize(
    "change",
    [
        lambda report: report.pop("contact-info"),
        lambda report: report.update(extra=1),
        lambda report: report["date-range"].update({"end-datetime": "2016-04-01"}),
        lambda report: report["policies"][0]["summary"].update({"total-failure-session-count": 1}),
        lambda report: report["policies"][0]["policy"].update({"policy-type": "none"}),
        lambda report: report["policies"].clear(),
    ],
)
def test_a_report_that_breaks_a_rule_is_refused(change):
    with pytest.raises(ReportError):
        report_of("application/tlsrpt+gzip", packed(broken(change)))


def test_mail_that_breaks_a_rule_is_refused():
    with pytest.raises(ReportError, match="file name"):
        report_in_mail(mail(EXAMPLE, "report.json.gz").as_bytes())
    message = mail(EXAMPLE)
    message.replace_header("Subject", "a report")
    with pytest.raises(ReportError, match="subject"):
        report_in_mail(message.as_bytes())
    message.replace_header("Content-Type", "multipart/mixed")
    with pytest.raises(ReportError, match="multipart/mixed"):
        report_in_mail(message.as_bytes())


def test_reports_come_by_post(tmp_path):
    tls = tuple(map(str, self_signed(["localhost"]).write(tmp_path)))
    receiver = ReportReceiver(tls, "127.0.0.1")

    def status(method, kind, body):
        return receiver.answer_to(WebRequest(method, "/v1/tlsrpt", {"Content-Type": kind}, body)).status

    assert status("POST", "application/tlsrpt+gzip", packed(EXAMPLE)) == 201
    assert status("PUT", "application/tlsrpt+gzip", packed(EXAMPLE)) == 400
    assert status("POST", "application/json", json.dumps(EXAMPLE).encode()) == 400
    receiver.answers = [WebAnswer(503)]
    assert status("POST", "application/tlsrpt+gzip", packed(EXAMPLE)) == 503
    assert ([report.domain for report in receiver.reports], len(receiver.faults)) == (["company-y.example"], 2)
