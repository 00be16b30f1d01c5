"""Do this step, or say what it would do."""

from dataclasses import is_dataclass
from typing import Any, ClassVar, Generic, TypeVar, get_args, get_origin

from quarterdeck_sdk.failure import Other, Outcome
from quarterdeck_sdk.plugin import C, Plugin

#: The dataclass of a step's inputs (`with` in the runbook).
I = TypeVar("I")


class RunbookAction(Plugin[C], Generic[C, I]):
    """Carries out one step of a runbook: `class Greet(RunbookAction[Config, Inputs])`."""

    #: The second dataclass between the brackets: what a step is given, with its placeholders filled in.
    inputs_type: ClassVar[type]

    def plan(self, config: C, inputs: I) -> str | None:
        """What `run` would do, in words for a person, and the effects that it would ask for. `None`: it can't tell."""
        raise NotImplementedError

    def run(self, config: C, inputs: I, key: str) -> Outcome:
        """`key` is the same for every attempt of one step: use it so that doing it twice does no harm.

        The failure says what is known. `Rejected`: nothing was done. `Other`: it has ended, and failed. Both are tried again up
        to the step's `attempts`. `Retry`: it may have been done all the same (a time-out, a connection that was lost); it is tried
        again only if the step is `idempotent`, and else ends as `unknown`."""
        raise NotImplementedError

    def poll(self, config: C, token: str) -> Outcome:
        """Asked after `Pending`, until it is done or fails."""
        raise Other("this action leaves nothing pending")

    def cancel(self, config: C, token: str) -> None:
        """The run was cancelled: stop what the token stands for. Called at least once, also after a restart."""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        for base in vars(cls).get("__orig_bases__", ()):
            given = get_args(base)
            if get_origin(base) is RunbookAction and len(given) == 2 and not isinstance(given[1], TypeVar):
                if not isinstance(given[1], type) or not is_dataclass(given[1]):
                    raise TypeError(f"{cls.__name__}: {given[1]!r} is no dataclass; hint: RunbookAction[Config, Inputs]")
                cls.inputs_type = given[1]
