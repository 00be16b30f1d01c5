"""What is wrong with this subject?"""

from dataclasses import dataclass
from typing import Annotated

from quarterdeck_sdk import Severity
from quarterdeck_sdk.scanner_rule import File, Finding, Interest, ScannerRule, Subject, SubjectKind


@dataclass
class Config:
    """What an instance is configured with."""

    word: Annotated[str, "The word that must not stand in a file.", {"minLength": 1}] = "FIXME"


class {{type}}(ScannerRule[Config]):
    name = "{{name}}"
    version = "0.1.0"
    summary = "Words that must not stand in a file"

    def interests(self, config: Config) -> Interest:
        return Interest([SubjectKind.FILE], max_bytes=1 << 20)

    def scan(self, config: Config, subjects: list[Subject]) -> list[Finding]:
        findings = []
        for index, subject in enumerate(subjects):
            if not isinstance(subject, File):
                continue
            for number, line in enumerate(subject.content.decode(errors="replace").splitlines(), start=1):
                if config.word in line:
                    finding = Finding(
                        subject=index,
                        rule="{{name}}/word",
                        title="A word that must not stand there",
                        severity=Severity.LOW,
                        message=f"line {number} holds `{config.word}`",
                        remediation="do what it asks for, and take it out",
                        fingerprint=line.strip(),
                        line=number,
                    )
                    findings.append(finding)
        return findings
