"""How the dataclasses of the reports are made of JSON."""

from __future__ import annotations

import typing
from typing import Any, Dict


def _value(kind: Any, value: Any) -> Any:
    """A JSON value as what the annotation says."""
    if value is None:
        return None
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Union:
        return _value(next(own for own in arguments if own is not type(None)), value)
    if origin is list:
        return [_value(arguments[0], own) for own in value]
    if origin is dict:
        return {name: _value(arguments[1], own) for name, own in value.items()}
    if isinstance(kind, type) and issubclass(kind, Part):
        return kind.from_json(value)
    return value


class Part:
    """A part of a report."""

    @classmethod
    def from_json(cls, value: Dict[str, Any]) -> Any:
        """From a parsed JSON object; keys of later versions are left out. A name that Python reserves has
        an underscore at its end."""
        kinds = typing.get_type_hints(cls)
        return cls(**{name: _value(kind, value.get(name.rstrip("_"))) for name, kind in kinds.items()})
