"""What is wrong with this subject?"""

from dataclasses import dataclass, field
from enum import Enum

from quarterdeck_sdk.plugin import C, Plugin
from quarterdeck_sdk.severity import Severity


class SubjectKind(Enum):
    """See `Subject`."""

    FILE = "file"
    HTTP_RESPONSE = "http-response"


@dataclass
class Interest:
    """What a rule wants to see."""

    #: Files, responses, or both.
    kinds: list[SubjectKind]
    #: Larger files are left out and counted.
    max_bytes: int
    #: Globs over a file's path below the scanned root; empty: all.
    include: list[str] = field(default_factory=list)
    #: Globs, stronger than `include`.
    exclude: list[str] = field(default_factory=list)


@dataclass
class File:
    """A file below the scanned root."""

    #: Below the root, with `/` between its parts.
    path: str
    #: All of it.
    content: bytes


@dataclass
class HttpResponse:
    """The answer of a page that was fetched."""

    #: As it was asked for.
    url: str
    status: int
    #: In the order of the response; a name may stand more than once, in any case.
    headers: list[tuple[str, str]] = field(default_factory=list)
    #: The first 64 KiB.
    body: bytes = b""


#: What is looked at.
Subject = File | HttpResponse


@dataclass
class Finding:
    """One thing that is wrong."""

    #: Index into the subjects of the call.
    subject: int
    #: Stable, kebab-case: `secrets/aws-access-key`.
    rule: str
    #: One line, the same for every finding of the rule.
    title: str
    severity: Severity
    #: What was seen, with secrets masked.
    message: str
    #: What to do instead.
    remediation: str
    #: The same as long as the finding is the same, also when lines above it move.
    fingerprint: str
    #: From 1, 0 where there is none.
    line: int = 0
    #: From 1, 0 where there is none.
    column: int = 0
    #: CWE number, where there is one.
    cwe: int | None = None


class ScannerRule(Plugin[C]):
    """Judges files and HTTP responses. Pure: the same input gives the same output."""

    def interests(self, config: C) -> Interest:
        """What the rule wants to see; asked once per scan."""
        raise NotImplementedError

    def scan(self, config: C, subjects: list[Subject]) -> list[Finding]:
        """Called with as many subjects as fit in 1 MiB."""
        raise NotImplementedError
