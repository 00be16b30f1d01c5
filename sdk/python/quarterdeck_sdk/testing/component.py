"""The built component in the real runtime: `quarterdeck plugin build`, `check` and `run`, from a test."""

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any


class ComponentError(Exception):
    """Why the host did not do it, in its own words."""


def _host() -> Path:
    return Path(os.environ.get("QUARTERDECK") or "quarterdeck")


@dataclass(frozen=True)
class Component:
    """A component, and what its calls are given.

    Calls run in the host that is named by the variable `QUARTERDECK`, else the `quarterdeck` on the path: in a sandbox with limits and
    grants, as an instance would. `quarterdeck plugin test` names itself. A call takes some tenths of a second, the first one the seconds that
    compiling an interpreter takes::

        component = Component.build(Path(__file__).parents[1]).with_config({"amplitude": 2})
        component.check()
        answer = component.call("collect", {"now": "2026-01-01T00:00:30Z"})
        assert answer["output"]["families"][0]["name"] == "wave_height"
    """

    #: The file.
    file: Path
    _config: Any = None
    _grants: Any = None
    _program: Path = field(default_factory=_host)

    @classmethod
    def build(cls, folder: str | os.PathLike[str]) -> "Component":
        """Builds the component of the plugin in that folder, as a rule `Path(__file__).parents[1]`.

        Raises `ComponentError`: there is no host, or the plugin does not build.
        """
        program = _host()
        built = _parsed(_said(program, ["plugin", "build", "--json", os.fspath(folder)]))
        file = built.get("component") if isinstance(built, dict) else None
        if not isinstance(file, str):
            raise ComponentError("`quarterdeck plugin build` names no component")
        return cls.open(file)

    @classmethod
    def open(cls, file: str | os.PathLike[str]) -> "Component":
        """A component that is there already."""
        return cls(Path(file))

    def with_config(self, config: Any) -> "Component":
        """The configuration of the instance that is called, as JSON has it. Without it, an empty one."""
        return replace(self, _config=config)

    def with_grants(self, grants: Any) -> "Component":
        """What the instance may touch, as under `grants` in the host's configuration. Without it, nothing."""
        return replace(self, _grants=grants)

    def call(self, function: str, input: Any) -> Any:
        """Calls a function of the component's kind by its name in the interface. The input and the answer are those of `quarterdeck plugin
        run`: `output` is what the function gave back, and beside it stands what it did.

        Raises `ComponentError`: the host refused the configuration, or the call failed.
        """
        return _parsed(_said(self._program, [*self._arguments("run"), function, "--input", json.dumps(input)]))

    def check(self) -> None:
        """Judges the component as `quarterdeck plugin check` does.

        Raises `ComponentError`: what it failed in, a line for each.
        """
        judged = _run(self._program, [*self._arguments("check"), "--json"])
        if judged.returncode == 0:
            return
        try:
            findings = json.loads(judged.stdout)["findings"]
        except (ValueError, LookupError, TypeError):
            raise _failed(judged) from None
        poor = [finding for finding in findings if finding.get("verdict") != "passed"]
        raise ComponentError("\n".join(f"{finding.get('check', '')}: {finding.get('detail', '')}" for finding in poor))

    def _arguments(self, verb: str) -> list[str]:
        arguments = ["plugin", verb, os.fspath(self.file)]
        for flag, value in (("--config", self._config), ("--grants", self._grants)):
            if value is not None:
                arguments += [flag, json.dumps(value)]
        return arguments


@cache
def _compiled() -> "tempfile.TemporaryDirectory[str]":
    """Where the host keeps what it compiled from one call to the next; goes when the tests end."""
    return tempfile.TemporaryDirectory(prefix="quarterdeck-compiled-")


def _run(program: Path, arguments: list[str]) -> "subprocess.CompletedProcess[str]":
    own = {} if os.environ.get("QUARTERDECK_CACHE_DIR") else {"QUARTERDECK_CACHE_DIR": _compiled().name}
    command = [os.fspath(program), *arguments]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, env={**os.environ, **own}
        )
    except OSError as error:
        hint = "put it on the path, or name it in QUARTERDECK"
        raise ComponentError(f"failed to run `{program}`: {error.strerror or error}; hint: {hint}") from None


def _said(program: Path, arguments: list[str]) -> str:
    ended = _run(program, arguments)
    if ended.returncode != 0:
        raise _failed(ended)
    return ended.stdout


def _failed(ended: "subprocess.CompletedProcess[str]") -> ComponentError:
    return ComponentError(ended.stderr.strip())


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ComponentError(f"the host did not answer in JSON: {error}") from None
