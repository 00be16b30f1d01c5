import json
import unittest
from typing import Any

from plugin import Config, StatusPage
from quarterdeck_sdk import http
from quarterdeck_sdk.collector import Collection, State
from quarterdeck_sdk.testing import FakeHost

PAGE: dict[str, Any] = {
    "components": [
        {"name": "Git", "status": "operational"},
        {"name": "Hooks", "status": "partial_outage"},
        {"name": "Pages", "status": "major_outage"},
        {"name": "Everything", "status": "major_outage", "group": True},
    ],
    "incidents": [{"name": "It is slow"}],
}


def collected(answer: http.Response | http.Error, *components: str) -> Collection:
    def fetch(request: http.Request) -> http.Response:
        assert request.url == "https://status.example/api/v2/summary.json", request.url
        if isinstance(answer, http.Error):
            raise answer
        return answer

    with FakeHost(http=fetch):
        return StatusPage().collect(Config("https://status.example/", list(components)), 0)


def page(value: Any) -> http.Response:
    return http.Response(body=json.dumps(value).encode())


class TestStatusPage(unittest.TestCase):
    def test_every_component_is_told_and_groups_are_not(self) -> None:
        collection = collected(page(PAGE))
        ratio = lambda name: collection.value("status_page_component_ratio", {"component": name})
        self.assertEqual([ratio(name) for name in ("Git", "Hooks", "Pages", "Everything")], [1.0, 0.5, 0.0, None])
        self.assertEqual(collection.value("status_page_open_incidents"), 1.0)
        self.assertEqual((collection.health.state, collection.health.message), (State.FAILED, "out: Pages"))

    def test_only_what_is_watched_counts(self) -> None:
        self.assertEqual(collected(page(PAGE), "Git").health.state, State.OK)
        self.assertEqual(collected(page(PAGE), "Git", "Hooks").health.state, State.DEGRADED)
        self.assertIn("no component Odd", collected(page(PAGE), "Odd").health.message)

    def test_a_page_that_cannot_be_read_is_a_measurement(self) -> None:
        for answer in (
            http.Connect("connection refused"),
            http.Response(503),
            http.Response(body=b"<html>"),
            page([]),
            page({"components": [1], "incidents": []}),
        ):
            collection = collected(answer)
            self.assertEqual(collection.value("status_page_up"), 0.0)
            self.assertEqual(collection.health.state, State.FAILED)

    def test_a_grant_that_is_missing_fails_the_call(self) -> None:
        self.assertRaises(http.Denied, collected, http.Denied("the request is not granted"))

    def test_a_status_that_is_not_known_is_degraded(self) -> None:
        collection = collected(page({"components": [{"name": "Git", "status": "new"}], "incidents": []}))
        self.assertEqual(collection.health.state, State.DEGRADED)

    def test_an_address_that_is_none_is_found_before_it_is_used(self) -> None:
        self.assertEqual([problem.pointer for problem in StatusPage().validate(Config("ftp://a"))], ["/url"])
        self.assertEqual(StatusPage().validate(Config("https://a")), [])
