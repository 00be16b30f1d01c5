import unittest

from plugin import Config, {{type}}
from quarterdeck_sdk import Outcome, Rejected, Retry, Severity
from quarterdeck_sdk.http import Request, Response
from quarterdeck_sdk.notifier import Message
from quarterdeck_sdk.testing import FakeHost


class Test{{type}}(unittest.TestCase):
    def told(self, status: int) -> Outcome:
        def answer(request: Request) -> Response:
            self.assertIn(("idempotency-key", "key-1"), request.headers)
            return Response(status)

        message = Message("incident.opened", "inc_1", "It is down", "", Severity.HIGH)
        with FakeHost(http=answer):
            return {{type}}().notify(Config("https://example.com/hook"), message, "key-1")

    def test_what_may_work_later_is_tried_again_and_what_may_not_is_not(self) -> None:
        self.told(204)
        self.assertRaises(Retry, self.told, 503)
        self.assertRaises(Rejected, self.told, 404)
