from dataclasses import dataclass
from typing import Annotated

from quarterdeck_sdk import Capability
from quarterdeck_sdk.collector import Collection, Collector, Family, Health
from quarterdeck_sdk.host import Denied, files, reveal


@dataclass
class Config:
    """What an instance is configured with."""

    path: Annotated[str, "File that it may read."]
    other: Annotated[str, "File that it may not read."]


class Reads(Collector[Config]):
    name = "reads"
    version = "0.1.0"
    summary = "Reads a file, and a secret"
    capabilities = [Capability.required("files", "reads the file"), Capability.required("reveal", "says the word")]

    def collect(self, config: Config, now_ms: int) -> Collection:
        part = files.read(config.path, 4, 100)
        gone = files.read(config.path + ".gone", 0, 1)
        try:
            files.read(config.other, 0, 1)
            denied = 0
        except Denied:
            denied = 1
        figures = {
            "read_ok": part is not None and part.bytes == b"two\n" and part.size_bytes == 8 and part.identity > 0,
            "read_gone": gone is None,
            "read_denied": denied,
            "secret_ok": reveal.secret("word") == b"open sesame",
        }
        families = [Family.gauge(name, "Whether").value(value) for name, value in figures.items()]
        return Collection(Health.ok("it read"), families)
