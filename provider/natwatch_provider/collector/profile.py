"""The provider profile: all that differs between one telephony operator and another."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Profile:
    """*keepalive_s*: what a phone is taken to use where its own interval is not known, seconds.

    The default is the shortest interval that operators ask for: a NAT that is too quick for
    it is too quick for every phone, so that an alert by it is never a false one.
    """

    name: str = "default"
    keepalive_s: float = 20.0


def load(path: str) -> Profile:
    """The profile in the JSON file *path*. Raises ValueError with one sentence."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(
            f"profile {path}: expected a readable file, found: {error.strerror}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"profile {path}: expected JSON, found: {error}") from None
    top = _object(path, "the file", value)
    _known(path, "", top, ("name", "keepalive_s", "support"))
    name = top.get("name")
    if not isinstance(name, str) or not name:
        raise ValueError(f"profile {path}: field name: expected a text, found {name!r}")
    support = _object(path, "field support", top.get("support"))
    _known(path, "support.", support, ("phone", "mail"))
    for field in ("phone", "mail"):
        if not isinstance(support.get(field), str):
            raise ValueError(
                f"profile {path}: field support.{field}: expected a text, "
                f"found {support.get(field)!r}"
            )
    keepalive = _object(path, "field keepalive_s", top.get("keepalive_s"))
    _known(path, "keepalive_s.", keepalive, ("min", "max", "default"))
    low, high, default = (
        _seconds(path, f"keepalive_s.{field}", keepalive.get(field))
        for field in ("min", "max", "default")
    )
    if not low <= default <= high:
        raise ValueError(
            f"profile {path}: field keepalive_s.default: expected {low:g} to {high:g} seconds, "
            f"as min and max say, found {default:g}"
        )
    return Profile(name, default)


def _object(path: str, what: str, value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"profile {path}: {what}: expected an object, found {value!r:.80}")
    return value


def _known(path: str, prefix: str, value: dict[str, object], fields: tuple[str, ...]) -> None:
    for field in value:
        if field not in fields:
            raise ValueError(
                f"profile {path}: field {prefix}{field}: expected one of {', '.join(fields)}, "
                "found a name that is not known"
            )


def _seconds(path: str, field: str, value: object) -> float:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and 1 <= value <= 86400
    if not good or not isinstance(value, (int, float)):
        raise ValueError(
            f"profile {path}: field {field}: expected seconds from 1 to 86400, found {value!r:.80}"
        )
    return float(value)
