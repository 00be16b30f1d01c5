import importlib
import io
import logging
import re
import unittest

from quarterdeck_sdk import Rejected, Retry, build, host, http
from quarterdeck_sdk.host import append, clock, events, exec, files, kv, log, metrics, process, reveal, secret, system, tcp
from quarterdeck_sdk.testing import FakeHost


class TestFakeHost(unittest.TestCase):
    def test_keys_lines_and_events_are_kept(self) -> None:
        with FakeHost(kv={"old": b"1"}) as fake:
            kv.set("new", b"2")
            kv.delete("old")
            kv.delete("never")
            log.info("done")
            events.publish("a.b", "subject", {"x": 1})
            self.assertEqual((kv.get("new"), kv.get("old")), (b"2", None))
        self.assertEqual(fake.kv, {"new": b"2"})
        self.assertEqual(fake.log, [(log.Level.INFO, "done")])
        self.assertEqual(fake.events, [("a.b", "subject", {"x": 1})])

    def test_what_is_not_scripted_fails_and_so_does_everything_outside_of_a_host(self) -> None:
        self.assertRaises(host.Failed, kv.get, "a")
        log.info("nobody reads it")
        with FakeHost():
            self.assertRaises(host.Failed, exec.run, exec.Command("/bin/true"))
            self.assertRaises(host.Failed, system.take, 1)
            self.assertRaises(host.Failed, tcp.connect, tcp.Unix("/a"))
            self.assertRaises(host.Failed, tcp.peer_certificate, "a", 1)
            self.assertRaises(host.Failed, http.get, "http://a")

    def test_programs_machines_secrets_and_series_are_scripted(self) -> None:
        machine = system.Snapshot(top_processes=[system.Process(1, "a"), system.Process(2, "b")])
        points = [("up", metrics.Point({"a": "1"}, 0, 1.0)), ("up", metrics.Point({"a": "2"}, 0, 0.0))]
        fake = FakeHost(
            exec=lambda command: exec.Finished(stdout=" ".join(command.arguments)),
            system=machine,
            hmac=lambda name, message: name.encode() + message,
            metrics=points,
        )
        with fake:
            self.assertEqual(exec.run(exec.Command("/bin/echo", ["a", "b"])).stdout, "a b")
            self.assertEqual([own.name for own in system.take(1).top_processes], ["a"])
            self.assertEqual(secret.hmac_sha256("key", b"m"), b"keym")
            self.assertEqual(secret.header_value("key"), "secret:key")
            self.assertEqual([point.value for point in metrics.latest("up", {"a": "2"})], [0.0])
            self.assertEqual(len(metrics.latest("up", {"b": ""})), 2)

    def test_a_process_runs_once_under_its_name(self) -> None:
        with FakeHost():
            spec = process.Spec("web", "/bin/web")
            self.assertEqual(process.start(spec).phase, process.Phase.STARTING)
            self.assertEqual(process.start(spec).pid, 1)
            self.assertRaises(host.Failed, process.start, process.Spec("web", "/bin/other"))
            self.assertEqual(process.stop("web", 100).phase, process.Phase.ABSENT)
            self.assertEqual(process.status("web").phase, process.Phase.ABSENT)

    def test_a_test_sets_the_time_and_lets_it_go_on(self) -> None:
        with FakeHost(now_ms=1_000) as fake:
            self.assertEqual(clock.now_ms(), 1_000)
            self.assertEqual(clock.now_ms(), 1_000, "it stands still")
            fake.advance(60_000)
            self.assertEqual(clock.now_ms(), 61_000)
            with FakeHost(now_ms=5):
                self.assertEqual(clock.now_ms(), 5, "the innermost one counts")
            fake.advance(-61_001)
            self.assertEqual(clock.now_ms(), -1, "clocks are set back, too")
        before = clock.now_ms()
        self.assertGreater(before, 1_600_000_000_000, "without a time it is that of the machine")
        with FakeHost() as fake:
            self.assertGreaterEqual(clock.now_ms(), before)
            fake.advance(3_600_000)
            self.assertGreaterEqual(clock.now_ms(), before + 3_600_000)

    def test_a_stream_is_read_and_written(self) -> None:
        with FakeHost(tcp=lambda address: io.BytesIO(b"hello")):
            with tcp.connect(tcp.Tcp("a", 1)) as connection:
                self.assertEqual(connection.read(2), b"he")
                connection.write(b"x")

    def test_a_secret_is_written_to_a_stream_in_the_place_of_its_name(self) -> None:
        kept = io.BytesIO()
        with FakeHost(tcp=lambda address: kept) as fake:
            connection = tcp.connect(tcp.Tcp("a", 1))
            connection.start_tls("a")
            connection.write_secret(b"", "key")
            connection.write_secret(b"\0user\0", "mail", base64=True)
        self.assertEqual(kept.getvalue(), b"secret:key" + b"AHVzZXIAc2VjcmV0Om1haWw=")
        self.assertEqual(fake.tls, ["a"])

    def test_files_are_read_in_parts_and_one_that_is_not_there_is_not(self) -> None:
        large = bytes(files.READ_BYTES + 1)
        with FakeHost(files={"/log": (7, b"one\ntwo\n"), "/large": (8, large)}):
            self.assertEqual(files.read("/log", 4, 3), files.Part(b"two", 8, 7))
            self.assertEqual(files.read("/log", 99, 3), files.Part(b"", 8, 7))
            part = files.read("/large", 0, 1 << 30)
            self.assertEqual(part and len(part.bytes), files.READ_BYTES)
            self.assertIsNone(files.read("/other", 0, 3))
        self.assertRaises(host.Failed, files.read, "/log", 0, 1)

    def test_lines_are_appended_and_what_is_none_is_refused(self) -> None:
        with FakeHost() as fake:
            append.line("/log", b"one")
            self.assertRaises(host.Failed, append.line, "/log", b"one\ntwo")
            self.assertRaises(host.Failed, append.line, "/log", bytes(append.LINE_BYTES + 1))
        self.assertEqual(fake.lines, [("/log", b"one")])

    def test_file_systems_are_those_that_are_scripted(self) -> None:
        mounted = system.FileSystem("/dev/a", "/", "ext4", space=system.Space(total_bytes=100))
        with FakeHost(file_systems=[mounted]):
            self.assertEqual(system.file_systems(), [mounted])
        with FakeHost():
            self.assertRaises(host.Failed, system.file_systems)

    def test_a_secret_is_revealed_where_that_is_scripted_and_denied_where_it_is_not(self) -> None:
        with FakeHost(secrets={"db": b"hunter2"}):
            self.assertEqual(reveal.secret("db"), b"hunter2")
            self.assertRaises(host.Denied, reveal.secret, "other")
            self.assertEqual(secret.header_value("db"), "secret:db")

    def test_addresses_are_read_as_people_write_them(self) -> None:
        for text, expected in [
            ("db:5432", tcp.Tcp("db", 5432)),
            ("[::1]:80", tcp.Tcp("::1", 80)),
            ("/run/a.sock", tcp.Unix("/run/a.sock")),
            ("unix:/run/a.sock", tcp.Unix("/run/a.sock")),
            ("db", None),
            ("db:99999", None),
        ]:
            self.assertEqual(tcp.parse(text), expected, text)

    def test_logging_of_the_standard_library_reaches_the_host(self) -> None:
        logger = logging.getLogger("mine")
        logger.addHandler(log.Handler())
        logger.propagate = False
        with FakeHost() as fake:
            logger.warning("odd: %s", 1)
        self.assertEqual(fake.log, [(log.Level.WARN, "odd: 1")])


class TestParity(unittest.TestCase):
    def test_everything_that_a_plugin_may_import_has_a_function_here(self) -> None:
        worlds, interfaces = (build.WIT / "worlds/worlds.wit").read_text(), (build.WIT / "host/host.wit").read_text()
        imports = re.findall(r"import quarterdeck:host/([a-z-]+)@", worlds)
        self.assertEqual(sorted((*build.CAPABILITIES, "log")), sorted(imports))
        for name in imports:
            module = importlib.import_module(f"quarterdeck_sdk.host.{name}")
            body = interfaces.partition(f"interface {name} {{")[2].partition("\n}")[0]
            functions = re.findall(r"(?m)^ +([a-z0-9-]+): (?:static )?func", body)
            self.assertNotEqual(functions, [], name)
            for function in (own.replace("-", "_") for own in functions):
                found = getattr(module, function, None) or getattr(getattr(module, "Connection", None), function, None)
                self.assertTrue(callable(found), f"{name}.{function}")


class TestErrors(unittest.TestCase):
    def test_what_is_denied_stays_so_and_anything_else_may_work_later(self) -> None:
        self.assertIsInstance(host.Denied("x").as_failure(), Rejected)
        self.assertIsInstance(host.Limited("x").as_failure(), Retry)
        self.assertIsInstance(http.Invalid("x").as_failure(), Rejected)
        self.assertIsInstance(http.Timeout("x").as_failure(), Retry)


class TestHttp(unittest.TestCase):
    def test_a_request_reaches_the_scripted_host(self) -> None:
        def answer(request: http.Request) -> http.Response:
            self.assertEqual((request.method, request.timeout_ms), ("POST", 5))
            self.assertIn(("content-type", "application/json"), request.headers)
            return http.Response(201, [("X-Id", "7")], request.body)

        with FakeHost(http=answer):
            response = http.post_json("https://a/b", {"n": 1}, timeout_ms=5)
        self.assertTrue(response.is_success)
        self.assertEqual((response.header("x-id"), response.json()), ("7", {"n": 1}))

    def test_urls_are_split_as_they_are_sent(self) -> None:
        self.assertEqual(http.split_url("https://a.example:8443?b=c#top"), ("https", "a.example:8443", "/?b=c"))
        for url in ("ftp://a", "http://", "a/b", "http://[::1"):
            self.assertRaises(http.Invalid, http.split_url, url)

    def test_host_and_port_of_a_url_are_found_without_user_information(self) -> None:
        for url, expected in [
            ("http://a", ("a", 80)),
            ("https://[::1]/x", ("::1", 443)),
            ("https://me:secret@a.example:8443/x?y", ("a.example", 8443)),
            ("http://[::1]:8080", ("::1", 8080)),
        ]:
            self.assertEqual(http.host_and_port(url), expected)
        for url in ("ftp://a", "http://a:", "http://a:x", "http://a:99999", "http://a:80:90"):
            self.assertRaises(http.Invalid, http.host_and_port, url)
