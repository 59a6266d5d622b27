"""What a command that failed tells."""

from __future__ import annotations

from typing import Optional, Union


class Error(Exception):
    """A command failed. ``str`` gives the lines that the command line prints.

    Attributes:
        what: What is wrong.
        where: The file, node, value or option that it is about.
        why: The cause, with numbers and their units.
        help: What can be done about it.
    """

    def __init__(
        self, what: str, where: Optional[str] = None, why: Optional[str] = None, help: Optional[str] = None
    ) -> None:
        self.what, self.where, self.why, self.help = what, where, why, help
        parts = (("where", where), ("why", why), ("help", help))
        super().__init__("\n".join([what, *(f"  {name + ':':<7}{part}" for name, part in parts if part)]))


class InputError(Error, ValueError):
    """The model, the data or the options are not usable (exit status 2 of the command)."""


class CheckFailed(Error):
    """A verification failed (exit status 1 of the command)."""


def of_native(
    kind: str, what: str, where: Optional[str], why: Optional[str], help: Optional[str]
) -> Union[Error, KeyboardInterrupt]:
    """What the native module raises."""
    if kind == "interrupted":
        return KeyboardInterrupt(what)
    return (CheckFailed if kind == "check" else InputError)(what, where, why, help)
