"""Makes `twistd smtprelay` known; everything else waits in mta.tap until it is asked for."""

from twisted.application.service import ServiceMaker

serviceMaker = ServiceMaker("smtprelay", "mta.tap", "A mail relay with a durable queue.", "smtprelay")  # noqa: N816  twistd looks for this name
