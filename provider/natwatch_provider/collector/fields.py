"""The fields of a JSON object that somebody sent: each taken with its check, or Rejected."""

from typing import Any

MAX_S = 7 * 86400.0  # no binding and no search is longer
MAX_COUNT = 2**31 - 1  # what an integer column holds


class Rejected(Exception):
    """One message or part of it that is not as it should be. *reason*: of counts.REASONS."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Fields:
    """The fields of one JSON object. What is wrong raises Rejected with *reason* and a sentence
    that names the field; *within* is the path to this object. A field that is missing is null.
    """

    def __init__(self, data: dict[str, Any], reason: str, within: str = "") -> None:
        self._data = data
        self._reason = reason
        self._within = within

    def expect(self, field: str, good: bool, expected: str) -> None:
        if not good:
            found = self._data.get(field)
            raise Rejected(
                self._reason,
                f"field {self._within}{field}: expected {expected}, found {found!r:.80}",
            )

    def object(self, field: str) -> "Fields":
        value = self._data.get(field)
        self.expect(field, isinstance(value, dict), "an object")
        return Fields(dict(value or {}), self._reason, f"{self._within}{field}.")

    def object_or_none(self, field: str) -> "Fields | None":
        return None if self._data.get(field) is None else self.object(field)

    def objects(self, field: str, most: int) -> list["Fields"]:
        value = self._data.get(field)
        good = isinstance(value, list) and len(value) <= most
        good = good and all(isinstance(one, dict) for one in value or ())
        self.expect(field, good, f"a list of at most {most} objects")
        return [
            Fields(one, self._reason, f"{self._within}{field}[{index}].")
            for index, one in enumerate(value or ())
        ]

    def names(self, most: int) -> list[str]:
        """The fields there are, where the sender chooses their names: words, at most *most*."""
        for name in self._data:
            if not is_text(name, 32):
                self.expect(f"{name:.40}", False, "a name of 1 to 32 characters")
        if len(self._data) > most:
            name = list(self._data)[most]
            self.expect(name, False, f"at most {most} fields")
        return list(self._data)

    def one_of(self, field: str, allowed: tuple[str, ...]) -> str:
        value = self._data.get(field)
        self.expect(field, value in allowed, "one of " + ", ".join(allowed))
        return str(value)

    def one_of_or_none(self, field: str, allowed: tuple[str, ...]) -> str | None:
        return None if self._data.get(field) is None else self.one_of(field, allowed)

    def flag(self, field: str) -> bool:
        value = self._data.get(field)
        self.expect(field, isinstance(value, bool), "true or false")
        return bool(value)

    def flag_or_none(self, field: str) -> bool | None:
        return None if self._data.get(field) is None else self.flag(field)

    def count(self, field: str, most: int = MAX_COUNT, least: int = 0) -> int:
        value = self._data.get(field)
        good = is_whole(value, least, most)
        limits = f"from {least}" if most >= MAX_COUNT else f"from {least} to {most}"
        self.expect(field, good, f"a whole number {limits}")
        return int(value or 0)

    def count_or_none(self, field: str, most: int = MAX_COUNT, least: int = 0) -> int | None:
        return None if self._data.get(field) is None else self.count(field, most, least)

    def number(self, field: str, most: float, expected: str) -> float:
        value = self._data.get(field)
        self.expect(field, is_number(value, most), expected)
        return float(value or 0)

    def number_or_none(self, field: str, most: float, expected: str) -> float | None:
        return None if self._data.get(field) is None else self.number(field, most, expected)

    def signed_or_none(self, field: str, most: float) -> float | None:
        value = self._data.get(field)
        if value is None:
            return None
        good = is_number(abs(value) if isinstance(value, (int, float)) else value, most)
        good = good and not isinstance(value, bool)
        self.expect(field, good, f"null or a number from {-most:g} to {most:g}")
        return float(value)

    def seconds(self, field: str, most: float = MAX_S) -> float:
        return self.number(field, most, "seconds from 0")

    def seconds_or_none(self, field: str) -> float | None:
        return None if self._data.get(field) is None else self.seconds(field)

    def percent_or_none(self, field: str) -> float | None:
        return self.number_or_none(field, 100.0, "null or a percentage from 0 to 100")

    def text(self, field: str, most: int) -> str:
        value = self._data.get(field)
        self.expect(field, is_text(value, most), f"a text of 1 to {most} characters")
        return str(value)

    def text_or_none(self, field: str, most: int) -> str | None:
        value = self._data.get(field)
        if value is None:
            return None
        self.expect(field, is_text(value, most), f"null or a text of 1 to {most} characters")
        return str(value)

    def texts(self, field: str, most: int, longest: int) -> list[str]:
        value = self._data.get(field)
        good = isinstance(value, list) and len(value) <= most
        good = good and all(is_text(one, longest) for one in value or ())
        self.expect(field, good, f"a list of at most {most} texts of 1 to {longest} characters")
        return list(value or ())

    def ranges(self, field: str, most: int, largest: int) -> list[tuple[int, int]]:
        value = self._data.get(field)
        good = isinstance(value, list) and len(value) <= most
        good = good and all(_is_range(one, largest) for one in value or ())
        self.expect(field, good, f"a list of at most {most} [lowest, highest]")
        return [(low, high) for low, high in value or ()]

    def bracket_or_none(self, field: str) -> tuple[float, float | None] | None:
        value = self._data.get(field)
        if value is None:
            return None
        good = isinstance(value, list) and len(value) == 2 and is_number(value[0], MAX_S)
        if good and value[1] is not None:
            good = is_number(value[1], MAX_S) and value[0] < value[1]
        self.expect(field, good, "null or [alive, dead] in seconds, dead null where nothing died")
        return value[0], value[1]

    def endpoint_or_none(self, field: str) -> tuple[str, int] | None:
        value = self._data.get(field)
        if value is None:
            return None
        good = isinstance(value, list) and len(value) == 2
        good = good and is_text(value[0], 64) and is_whole(value[1], 0, 65535)
        self.expect(field, good, "null or [address, port]")
        return value[0], value[1]


def is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_range(value: object, largest: int) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    low, high = value
    return is_whole(low, 0, largest) and is_whole(high, low, largest)


def is_number(value: object, most: float) -> bool:
    # NaN and both infinities fail the comparison
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= most


def is_text(value: object, most: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= most and value.isprintable()
