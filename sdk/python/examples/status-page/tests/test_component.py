"""The built component in the real runtime. `quarterdeck plugin test` says which host that is; for plain pytest, have `quarterdeck` on the
path, or its path in the variable `QUARTERDECK`."""

import json
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from quarterdeck_sdk.testing import Component, ComponentError

PAGE = {"components": [{"name": "Git", "status": "partial_outage"}], "incidents": []}


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(PAGE).encode())

    def log_message(self, format: str, *given: Any) -> None:
        pass


class TestComponent(unittest.TestCase):
    def test_the_component_reads_the_page_that_is_granted_and_no_other(self) -> None:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.addCleanup(server.server_close)
        threading.Thread(target=server.serve_forever).start()
        self.addCleanup(server.shutdown)
        page = f"http://127.0.0.1:{server.server_port}"
        component = Component.build(Path(__file__).parents[1]).with_config({"url": page})
        component.check()
        output = component.with_grants({"http": [page]}).call("collect", {})["output"]
        self.assertEqual(output["health"], {"state": "degraded", "message": "degraded: Git"})
        self.assertEqual({family["name"]: family["values"] for family in output["families"]}["status_page_component_ratio"], [0.5])
        with self.assertRaisesRegex(ComponentError, "asks for `http`"):
            component.call("collect", {})
