"""The findings of `smtprelay doctor` as a JSON object, and back."""

from mta.admin.state import DoctorRun
from mta.admin.wire.fields import Fields, JsonObject, WireError, time_text
from mta.doctor.findings import Finding, Level, exit_status


def run_object(run: DoctorRun) -> JsonObject:
    """Return the JSON object of a run. `status` is its exit status."""
    return {
        "time": time_text(run.time),
        "status": exit_status(run.findings),
        "findings": [
            {
                "check": finding.check,
                "level": finding.level.value,
                "seen": finding.seen,
                "remedy": finding.remedy or None,
                "records": list(finding.records),
            }
            for finding in run.findings
        ],
    }


def read_run(value: object) -> DoctorRun:
    """Return the run of a JSON object. Raises WireError."""
    fields = Fields(value, "a run of doctor")
    return DoctorRun(fields.time("time"), fields.items("findings", _read_finding))


def last_run_object(run: DoctorRun | None) -> JsonObject:
    """Return the JSON object of the last run, which may be missing."""
    return {"doctor": None if run is None else run_object(run)}


def read_last_run(value: object) -> DoctorRun | None:
    """Return the last run of a JSON object. Raises WireError."""
    fields = Fields(value, "an answer")
    return fields.optional("doctor", lambda name: read_run(fields.others().get(name)))


def _read_finding(value: object) -> Finding:
    fields = Fields(value, "a finding")
    try:
        level = Level(fields.word("level"))
    except ValueError:
        raise WireError("level of a finding is no level") from None
    return Finding(fields.word("check"), level, fields.text("seen"), fields.text("remedy"), fields.texts("records"))
