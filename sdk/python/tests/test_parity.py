"""What is public in the Rust SDK is public here, under the same name, and nothing else is: a name that is missing on one side, or that says
something else, is one that an author looks for in vain. What can't be the same is listed below with the reason."""

import importlib
import inspect
import re
import unittest
from dataclasses import is_dataclass
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import quarterdeck_sdk

RUST = Path(__file__).parents[2] / "rust" / "src"

#: Names of the Rust SDK that are written otherwise in Python.
RENAMED = {
    # A class attribute, and the types between the brackets of a kind.
    "Plugin.Config": "Plugin.config_type",
    "runbook_action.RunbookAction.Inputs": "runbook_action.RunbookAction.inputs_type",
    # `optional` is a field.
    "Capability.optional": "Capability.optionally",
    # What makes a request also sends it.
    "http.Request.get": "http.get",
    "http.Request.post": "http.post",
    "http.Request.header": "http.Request.headers",
    # There is nothing to name an address by but its three classes.
    "host.tcp.Address.parse": "host.tcp.parse",
    "host.tcp.Connection.connect": "host.tcp.connect",
    # `len(memory)`; an empty one is false.
    "detector.Memory.len": "detector.Memory.__len__",
    "detector.Memory.is_empty": "detector.Memory.__len__",
    # `with FakeHost() as host`.
    "testing.FakeHost.run": "testing.FakeHost.__enter__",
    "schema.document": "schema.of",
}
#: Names of the Rust SDK that Python has no use for.
NEEDLESS = {
    # A dictionary, which can do all of it.
    "Labels.new",
    "Labels.with",
    "Labels.get",
    "Labels.iter",
    "Labels.is_empty",
    "Labels.sorted",
    # A member of an enumeration has its `value`.
    "Severity.as_str",
    # `str(error)`, and `message` of each of its classes.
    "Failure.message",
    # A class says more: `raise Rejected(...)`, `Done({...})`, `Pending(...)`.
    "Failure.rejected",
    "Failure.retry",
    "Failure.other",
    "Outcome.done",
    "Outcome.pending",
    "Outcome.with",
    # Constructors, and what they are given.
    "Problem.at",
    "collector.Collection.new",
    "collector.Collection.with",
    "collector.Family.new",
    "collector.Family.push",
    "detector.Reader.new",
    "http.Request.new",
    "http.Request.body",
    # Classes of their own, which hold what the variants do.
    "http.Error.message",
    "host.Error.message",
    # The standard library's.
    "json",
    # The author of a dataclass needs no trait.
    "schema.Schema",
    "schema.Place",
}
#: What functions are given otherwise, and why.
PARAMETERS = {
    # What is a type in Rust, `config_schema::<Wave>()`.
    "config_schema": ["plugin"],
    "testing.bears_odd_windows": ["detector", "config"],
}
#: What Python has beside it: what its tools use, and what its author would miss.
OWN = {
    "host.Door": "the way to a capability, for its module",
    "host.IS_COMPONENT": "whether there is a host",
    "host.bindings": "what was made of `wit/`",
    "host.log.Handler": "takes what `logging` says to the host",
    "http.exchange": "the exchange of a component",
    "http.post_json": "what a builder does in Rust",
    "schema.read": "what a configuration is read by",
}
#: Modules that an author has no use for.
TOOLS = {"build", "component", "exchange", "fake_host", "kinds", "mirror"}


#: What functions are given; `None`: it is no function.
Members = dict[str, list[str] | None]


def declared(file: Path) -> dict[str, Members]:
    """What a file of the Rust SDK makes public: items, and their fields, variants and functions. A function is its own member."""
    found: dict[str, Members] = {}
    shown = set()
    lines = file.read_text().partition("\n#[cfg(test)]\nmod tests")[0].splitlines()
    for index, line in enumerate(lines):
        item = re.match(r"pub (?:const )?(fn|struct|enum|trait|const|type) (\w+)", line)
        own = re.match(r"impl(?:<[^>]*>)? (\w+)(?:<[^>]*>)? \{", line)
        if item and is_shown(lines[:index]):
            members = found.setdefault(item[2], {})
            shown.add(item[2])
            pattern = {"struct": r"    pub (\w+):", "enum": r"    ([A-Z]\w*)", "trait": r"    (?:fn|type|const) (\w+)"}.get(item[1])
            if item[1] == "fn":
                members[item[2]] = parameters(lines[index:])
        elif own:
            members, pattern = found.setdefault(own[1], {}), r"    pub (?:const )?fn (\w+)"
        else:
            continue
        if pattern and line.endswith("{"):
            end = lines.index("}", index)
            for inside in range(index + 1, end):
                if match := re.match(pattern, lines[inside]):
                    members[match[1]] = parameters(lines[inside:end]) if " fn " in lines[inside] else None
    # What is public of a type that is not is not.
    return {item: members for item, members in found.items() if item in shown}


def parameters(lines: list[str]) -> list[str]:
    """Of the function that begins with these lines, without the receiver."""
    given = re.match(r".*?fn \w+(?:<[^(]*>)?\((.*?)\)(?: ->| \{|;| where|$)", " ".join(line.strip() for line in lines[:12]))
    assert given is not None, lines[0]
    return re.findall(r"(?:^|[ ,(])_?(\w+): ", given[1])


def is_shown(before: list[str]) -> bool:
    """Whether the attributes of an item leave it in the documentation."""
    for line in reversed(before):
        if not line.startswith(("#[", "///")):
            return True
        if "doc(hidden)" in line:
            return False
    return True


def modules(name: str = "", file: Path = RUST / "lib.rs") -> dict[str, dict[str, Members]]:
    """Every public module of the Rust SDK, `host.tcp`, with what is public in it."""
    text = file.read_text()
    folder = file.parent if name == "" else file.with_suffix("")
    own = declared(file)
    found = {name: own}
    for hidden, child in re.findall(r"(?m)^((?:#\[doc\(hidden\)\]\n(?:#.*\n)*)?)pub mod (\w+);", text):
        if not hidden:
            found.update(modules(f"{name}.{child}".removeprefix("."), folder / f"{child}.rs"))
    for lines, inner, list_, one in re.findall(r"(?m)^((?:#.*\n)*)pub use (\w+)::(?:\{([^}]*)\}|(\w+));", text):
        if "doc(hidden)" in lines or not (folder / f"{inner}.rs").is_file():
            continue
        inside = declared(folder / f"{inner}.rs")
        for each in (list_ or one).split(","):
            original, _, alias = each.strip().partition(" as ")
            own[alias or original] = inside[original]
    return found


def module_of(name: str) -> ModuleType:
    return importlib.import_module(f"quarterdeck_sdk.{name}" if name else "quarterdeck_sdk")


def look_up(path: str) -> Any:
    """What a path of this package names: modules, then attributes or fields."""
    parts = path.split(".")
    found: Any = quarterdeck_sdk
    for part in parts:
        if isinstance(found, ModuleType) and not hasattr(found, part):
            found = importlib.import_module(f"{found.__name__}.{part}")
        elif isinstance(found, type) and not hasattr(found, part):
            # A field without a default stands in the annotations only.
            found = next(hints[part] for hints in map(inspect.get_annotations, found.__mro__) if part in hints)
        else:
            found = getattr(found, part)
    return found


def ways_to_say(module: str, item: str, member: str) -> list[str]:
    """Where a member of an item of the Rust SDK may stand here."""
    owner = f"{module}.{item}".removeprefix(".")
    enumeration = re.sub(r"(?<!^)([A-Z])", r"_\1", member).upper()
    beside = f"{module}.{member}".removeprefix(".")
    return [f"{owner}.{member}", f"{owner}.{enumeration}", f"{owner}.{member.lower()}", beside]


class TestParity(unittest.TestCase):
    def test_what_is_public_in_rust_is_public_here(self) -> None:
        missing, used = [], set()
        for module, items in modules().items():
            if module in NEEDLESS:
                used.add(module)
                continue
            for item, members in items.items():
                path = f"{module}.{item}".removeprefix(".")
                for ways in [[path], *(ways_to_say(module, item, member) for member in members if path not in NEEDLESS)]:
                    used |= {*ways} & {*NEEDLESS, *RENAMED}
                    if ways[0] in NEEDLESS or any(self.is_there(RENAMED.get(way, way)) for way in ways):
                        continue
                    missing.append(ways[0])
        self.assertEqual(missing, [], "public in sdk/rust, and not here")
        self.assertEqual({*NEEDLESS, *RENAMED} - used, set(), "listed above, and not in sdk/rust")

    def is_there(self, path: str) -> bool:
        try:
            look_up(path)
        except (AttributeError, ModuleNotFoundError, StopIteration):
            return False
        return True

    def test_what_is_public_here_is_public_in_rust(self) -> None:
        rust = modules()
        told = {f"{module}.{name}" for module, items in rust.items() for item in items for name in (item, *items[item])}
        told |= {value for value in RENAMED.values()} | {f".{value}" for value in RENAMED.values()} | {*OWN}
        more = []
        for file in sorted(Path(quarterdeck_sdk.__file__).parent.rglob("*.py")):
            name = ".".join(file.relative_to(Path(quarterdeck_sdk.__file__).parent).with_suffix("").parts).removesuffix("__init__").rstrip(".")
            if name in TOOLS or name == "":
                continue
            module = module_of(name)
            # Rust re-exports what stands in modules of its own.
            owner = name if name in rust else ".".join(name.split(".")[:-1])
            for own in self.public(module):
                if not {f"{owner}.{own}", f"{name}.{own}"} & told:
                    more.append(f"{name}.{own}")
        self.assertEqual(more, [], "public here, and not in sdk/rust")

    def public(self, module: ModuleType) -> list[str]:
        """What is made in this module, not what it imports."""
        source = inspect.getsource(module)
        return [
            name
            for name, value in vars(module).items()
            if not name.startswith("_")
            and not isinstance(value, (ModuleType, TypeVar))
            and (getattr(value, "__module__", None) == module.__name__ or re.search(rf"(?m)^{name}\b.* = ", source))
        ]

    def test_the_parameters_of_functions_have_the_same_names(self) -> None:
        others = []
        for module, items in modules().items():
            for item, members in items.items():
                for member, wanted in members.items():
                    path = f"{module}.{item}".removeprefix(".") if member == item else f"{module}.{item}.{member}".removeprefix(".")
                    if wanted is None or {module, path, path.rpartition(".")[0]} & {*NEEDLESS, *RENAMED}:
                        continue
                    function = look_up(path)
                    if not inspect.isroutine(function):
                        continue
                    own = [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]
                    if own != PARAMETERS.get(path, wanted):
                        others.append(f"{path}({', '.join(own)}), in Rust ({', '.join(wanted)})")
        self.assertEqual(others, [])

    def test_everything_public_says_what_it_is(self) -> None:
        mute = []
        for name in modules():
            if name in NEEDLESS:
                continue
            module = module_of(name)
            for own in self.public(module):
                value = getattr(module, own)
                if not inspect.isclass(value) and not inspect.isfunction(value):
                    continue
                made_up = is_dataclass(value) and (value.__doc__ or "").startswith(f"{own}(")
                if not value.__doc__ or made_up or (inspect.isclass(value) and issubclass(value, Enum) and value.__doc__ == Enum.__doc__):
                    mute.append(f"{name}.{own}")
        self.assertEqual(mute, [])
