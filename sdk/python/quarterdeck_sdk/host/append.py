"""Appends lines to granted files. Each grant names a file, or a folder by a `/` at its end."""

from typing import Any

from quarterdeck_sdk.host import Door, Failed

_DOOR = Door("append")

#: Of one line at most.
LINE_BYTES = 256 << 10


def line(path: str, bytes: bytes) -> None:
    """Appends `bytes`, at most `LINE_BYTES` without a line end in them, and a line end. A file that is not there is made. When it returns,
    the line is on the disk; where it fails, the line may be there."""

    def fake(lines: Any) -> None:
        if b"\n" in bytes or len(bytes) > LINE_BYTES:
            raise Failed("no line: it is too long, or holds a line end")
        lines.append((path, bytes))

    return _DOOR(lambda wit: wit.line(path, bytes), lambda host: fake(host.lines))
