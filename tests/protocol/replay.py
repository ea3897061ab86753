"""A way to stop a program before each of its requests to the bucket in memory: the engine of the model checker.

`Replay` runs a program against the answers that it got so far and stops it at the next request. So a schedule of
several programs can be forked at will: a program's state is nothing but the answers that it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from dag_store import Conflict, Missing
from scripts.local.memory_store import MemoryStore

WRITES = ("put", "delete")


@dataclass(frozen=True)
class Request:
    """A call on the store that a program is about to make."""

    method: str
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]

    @property
    def writes(self) -> bool:
        """Whether it changes the bucket."""
        return self.method in WRITES

    def send(self, store: MemoryStore) -> Any:
        """Do it. An error is an answer too."""
        try:
            return getattr(store, self.method)(*self.args, **dict(self.kwargs))
        except (Conflict, Missing) as error:
            return error


class Paused(BaseException):
    """The program wants to send a request that has no answer yet."""

    def __init__(self, request: Request) -> None:
        self.request = request


class Replay:
    """A Store that gives the recorded answers, then stops the program."""

    bucket = "memory"

    def __init__(self, answers: tuple[Any, ...]) -> None:
        self._answers: Iterator[Any] = iter(answers)

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            for answer in self._answers:
                if isinstance(answer, Exception):
                    raise answer
                return answer
            raise Paused(Request(method, args, tuple(sorted(kwargs.items()))))

        return call
