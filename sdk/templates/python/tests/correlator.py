import unittest

from plugin import Config, {{type}}
from quarterdeck_sdk import Severity
from quarterdeck_sdk.correlator import Alert, Incident, Join, Open


class Test{{type}}(unittest.TestCase):
    def test_the_first_alert_opens_an_incident_and_the_next_one_joins_it(self) -> None:
        alert = Alert("f1", "down", Severity.HIGH, {"instance": "web-1"}, "web-1 is down")
        first = {{type}}().correlate(Config(), alert, [], 0)
        self.assertEqual(first, Open("web-1", "web-1 is down", Severity.HIGH))
        incident = Incident("inc_1", "web-1", Severity.HIGH, 0, [alert])
        self.assertEqual({{type}}().correlate(Config(), alert, [incident], 0), Join("inc_1", Severity.HIGH))
