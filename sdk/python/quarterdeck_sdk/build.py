"""Makes a component of a plugin: `python -m quarterdeck_sdk.build [FOLDER]`, with componentize-py in the same environment.

The plugin's folder has `pyproject.toml`, which names its class (`[tool.quarterdeck]`, `plugin = "plugin:Wave"`), and `src/`, which
holds the module. What the component imports is what its class asks for. Prints where the component is.
"""

import argparse
import importlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from quarterdeck_sdk import kinds, schema
from quarterdeck_sdk.plugin import Plugin

#: Where this package is, and the interfaces beside it.
SDK = Path(__file__).resolve().parents[1]
WIT = SDK.parents[1] / "wit"
VERSION = "0.1.0"

CAPABILITIES = ("kv", "metrics", "events", "system", "exec", "tcp", "process", "secret", "reveal", "files", "append")

WORLD = """package quarterdeck:built;

world component {{
{lines}
}}
"""

MODULE = """from quarterdeck_sdk import component
from {module} import {name}

globals().update(component.exports({name}))
"""


class Unfit(Exception):
    """The plugin can't be built; the message says what to do."""


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m quarterdeck_sdk.build", description="Makes a component of a plugin")
    parser.add_argument("folder", nargs="?", default=".", type=Path)
    folder = parser.parse_args().folder.resolve()
    try:
        print(build(folder))
    except Unfit as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def build(folder: Path) -> Path:
    """Makes the component of the plugin in that folder; gives back where it is."""
    module, plugin = load(folder)
    made = folder / "build"
    shutil.rmtree(made, ignore_errors=True)
    interfaces(made / "wit", plugin)
    # A folder of its own: everything that is not the plugin's stays out.
    shutil.copytree(folder / "src", made / "app", ignore=shutil.ignore_patterns("__pycache__"))
    (made / "app" / "quarterdeck_component.py").write_text(MODULE.format(module=module, name=plugin.__name__))
    component = made / f"{plugin.name}.wasm"
    command = [str(tool()), "--quiet", "--wit-path", str(made / "wit"), "--world", "component"]
    for interface, name in (("quarterdeck:types/types@0.1.0", "types"), ("wasi:http/types@0.2.0", "wasi_http_types")):
        if name == "types" or asks_for(plugin, "http"):
            command += ["--import-interface-name", f"{interface}={name}"]
    command += ["componentize", "quarterdeck_component", "--output", str(component)]
    for path in (made / "app", SDK):
        command += ["--python-path", str(path)]
    # Its own stack says nothing about the plugin.
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "RUST_BACKTRACE": "0"})
    if ended.returncode != 0:
        said = (ended.stdout + ended.stderr).partition("Stack backtrace:")[0].strip()
        raise Unfit(f"componentize-py can't make a component of it: {said.partition('AssertionError: ')[2] or said}")
    return component


def load(folder: Path) -> tuple[str, type[Plugin[Any]]]:
    """The module and the class that `pyproject.toml` names."""
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise Unfit(f"pyproject.toml can't be read: {error}") from None
    named = project.get("tool", {}).get("quarterdeck", {}).get("plugin", "")
    module, _, name = named.partition(":")
    if not module or not name:
        raise Unfit('pyproject.toml names no plugin; hint: [tool.quarterdeck] plugin = "plugin:Wave"')
    sys.path.insert(0, str(folder / "src"))
    plugin = getattr(importlib.import_module(module), name, None)
    if not isinstance(plugin, type) or not issubclass(plugin, Plugin):
        raise Unfit(f"`{named}` is no plugin; hint: a class that derives from a kind, as Collector[Config]")
    check(plugin)
    return module, plugin


def check(plugin: type[Plugin[Any]]) -> None:
    """What can be said before anything is built."""
    for attribute in ("name", "version", "summary", "config_type"):
        if not hasattr(plugin, attribute):
            hint = "class Wave(Collector[Config])" if attribute == "config_type" else f'{attribute} = "..."'
            raise Unfit(f"{plugin.__name__} has no `{attribute}`; hint: {hint}")
    if not kinds.of(plugin):
        raise Unfit(f"{plugin.__name__} is of no kind; hint: one of {', '.join(kind.class_name for kind in kinds.ALL)}")
    for capability in plugin.capabilities:
        if capability.name not in (*CAPABILITIES, "http"):
            raise Unfit(f"there is no capability `{capability.name}`; hint: one of {', '.join(CAPABILITIES)}, http")
    try:
        schema.of(plugin.config_type)
    except TypeError as error:
        raise Unfit(f"{plugin.config_type.__name__}: {error}") from None


def asks_for(plugin: type[Plugin[Any]], capability: str) -> bool:
    """Whether a capability is among those that it names."""
    return any(own.name == capability for own in plugin.capabilities)


def version(package: str) -> str:
    """The version of a kind's package, as its interface says it."""
    head, _, _ = (WIT / package / f"{package}.wit").read_text().partition(";")
    return head.rpartition("@")[2]


def interfaces(target: Path, plugin: type[Plugin[Any]]) -> None:
    """Writes the world of the component: what its class is of, and what it asks for."""
    lines = [f"import quarterdeck:host/log@{VERSION};", f"export quarterdeck:plugin/plugin@{VERSION};"]
    lines += [f"import quarterdeck:host/{name}@{VERSION};" for name in CAPABILITIES if asks_for(plugin, name)]
    if kinds.asks_for_reuse(plugin):
        lines.append(f"export quarterdeck:plugin/reuse@{VERSION};")
    if asks_for(plugin, "http"):
        lines += ["import wasi:http/outgoing-handler@0.2.0;", "import wasi:clocks/monotonic-clock@0.2.0;"]
        lines += ["import wasi:io/poll@0.2.0;"]
    lines += [f"export quarterdeck:{kind.name}/{kind.name}@{version(kind.name)};" for kind in kinds.of(plugin)]
    for package in WIT.iterdir():
        if package.is_dir() and package.name not in ("worlds", "compat"):
            shutil.copytree(package, target / "deps" / package.name)
    for file in (Path(__file__).parent / "wasi").iterdir():
        shutil.copy(file, target / "deps" / file.name)
    (target / "world.wit").write_text(WORLD.format(lines="\n".join(f"    {line}" for line in lines)))


def tool() -> Path:
    """componentize-py of this environment."""
    beside = Path(sys.executable).parent / "componentize-py"
    found = beside if beside.is_file() else shutil.which("componentize-py")
    if not found:
        raise Unfit("componentize-py is not installed; hint: pip install -r requirements.txt")
    return Path(found)


if __name__ == "__main__":
    sys.exit(main())
