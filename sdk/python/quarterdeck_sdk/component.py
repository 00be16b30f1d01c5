"""What a component exports: a class per interface, around the author's. Used by the module that `build` writes."""

import gc
import json
import logging
import random
import sys
from collections.abc import Callable
from typing import Any, get_type_hints

from quarterdeck_sdk import failure, host, kinds, mirror, schema
from quarterdeck_sdk import http as http
from quarterdeck_sdk.host import log
from quarterdeck_sdk.plugin import Plugin, config_schema

# What the standard library imports when it is first used: a component has no files to find it in later.
import _strptime  # noqa: F401  isort: skip
import encodings.ascii  # noqa: F401  isort: skip
import encodings.idna  # noqa: F401  isort: skip
import encodings.latin_1  # noqa: F401  isort: skip


def exports(plugin: type[Plugin[Any]]) -> dict[str, type]:
    """A class per interface, by the names that the bindings look for."""
    logging.basicConfig(handlers=[log.Handler()], level=logging.INFO, format="%(name)s: %(message)s")
    made = {"Plugin": _plugin(plugin)}
    if kinds.asks_for_reuse(plugin):
        made["Reuse"] = type("Reuse", (), {"calls": lambda self: plugin.calls_of_a_sandbox})
    for kind in kinds.of(plugin):
        made[kind.class_name] = _kind(plugin, kind)
    # What is there by now stays: a collection that looked at it would touch, and so copy, all of its memory in each sandbox.
    gc.collect()
    gc.freeze()
    return made


def _plugin(plugin: type[Plugin[Any]]) -> type:
    wit = host.bindings("exports.plugin")
    # Made once, while the component is built.
    capabilities = [wit.Capability(own.name, own.reason, own.optional) for own in plugin.capabilities]
    manifest = wit.Manifest(plugin.name, plugin.version, plugin.summary, config_schema(plugin), capabilities)

    def describe(self: Any) -> Any:
        return manifest

    def validate_configuration(self: Any, config: str) -> None:
        try:
            problems = plugin().validate(schema.read(plugin.config_type, json.loads(config)))
        except ValueError as error:
            raise _err([wit.Problem("", str(error))]) from None
        if problems:
            raise _err([wit.Problem(problem.pointer, problem.message) for problem in problems])

    return type("Plugin", (), {"describe": describe, "validate_configuration": validate_configuration})


def _kind(plugin: type[Plugin[Any]], kind: kinds.Kind) -> type:
    protocol = getattr(host.bindings("exports"), kind.class_name)
    names = [name for name, value in vars(protocol).items() if callable(value) and not name.startswith("_")]
    return type(kind.class_name, (), {name: _function(plugin, kind, protocol, name) for name in names})


def _function(plugin: type[Plugin[Any]], kind: kinds.Kind, protocol: type, name: str) -> Callable[..., Any]:
    """What the bindings call: reads the configuration, turns types over, and says why it failed."""
    theirs, ours = get_type_hints(getattr(protocol, name)), get_type_hints(getattr(kind.cls, name))
    result = _result(theirs.pop("return"), ours.pop("return"))
    steps = _parameters(plugin, kind, name, theirs, ours)

    def call(self: Any, config: str, *given: Any) -> Any:
        # Its state was fixed when the component was built.
        random.seed()
        try:
            read = _read(plugin.config_type, config, "configuration")
            answer = getattr(plugin(), name)(read, *steps(given))
            return result(answer)
        except failure.Failure as error:
            raise _err(_failure(error)) from None
        except (host.Error, http.Error) as error:
            raise _err(_failure(error.as_failure())) from None
        finally:
            sys.stdout.flush()

    return call


def _parameters(
    plugin: type[Plugin[Any]], kind: kinds.Kind, name: str, theirs: dict[str, Any], ours: dict[str, Any]
) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    if kind.class_name == "DeploymentStrategy":
        return _question(theirs, ours["question"])
    own = list(ours.values())[1:]
    if kind.class_name == "RunbookAction" and name in ("plan", "run"):
        inputs_type = plugin.inputs_type  # type: ignore[attr-defined]
        return lambda given: (_read(inputs_type, given[0], "inputs"), *given[1:])
    ways = [mirror.way(source, target) for source, target in zip(list(theirs.values())[1:], own, strict=True)]
    return lambda given: tuple(step(value) if step else value for step, value in zip(ways, given))


def _question(theirs: dict[str, Any], question: Any) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """What the bindings hand over one by one comes as one."""
    hints = get_type_hints(question)
    names = [name for name in theirs if name != "config"]
    ways = [mirror.way(theirs[name], hints[name]) for name in names]

    def ask(given: tuple[Any, ...]) -> tuple[Any, ...]:
        return (question(**{name: step(value) if step else value for name, step, value in zip(names, ways, given)}),)

    return ask


def _result(theirs: Any, ours: Any) -> Callable[[Any], Any]:
    name = getattr(theirs, "__name__", "")
    if ours == failure.Outcome:
        return _outcome
    if name == "Observation":
        replicas = mirror.way(ours, get_type_hints(theirs)["replicas"]) or _same
        return lambda answer: theirs(replicas(answer))
    if name == "Decision":
        hints = get_type_hints(theirs)
        move = mirror.way(get_type_hints(ours)["next"], hints["move"]) or _same
        return lambda answer: theirs(move(answer.next), answer.reason, answer.state)
    return mirror.way(ours, theirs) or _same


def _outcome(answer: failure.Outcome) -> Any:
    wit = host.bindings("imports.types")
    match answer:
        case failure.Done(outputs):
            return wit.Outcome_Done(json.dumps(outputs))
        case failure.Pending(token, after_ms):
            return wit.Outcome_Pending((token, after_ms))
    raise TypeError(f"{answer!r} is no outcome; hint: Done(...) or Pending(...)")


def _read(cls: type, text: str, what: str) -> Any:
    try:
        return schema.read(cls, json.loads(text))
    except ValueError as error:
        raise failure.Rejected(f"the {what} does not fit: {error}".replace("inputs does", "inputs do")) from None


def _failure(error: failure.Failure) -> Any:
    wit = host.bindings("imports.types")
    match error:
        case failure.Rejected():
            return wit.Failure_Rejected(error.message)
        case failure.Retry():
            return wit.Failure_Retry((error.message, error.after_ms))
    return wit.Failure_Other(error.message)


def _err(value: Any) -> Exception:
    from componentize_py_types import Err  # pyright: ignore[reportMissingImports]

    return Err(value)


def _same(value: Any) -> Any:
    return value
