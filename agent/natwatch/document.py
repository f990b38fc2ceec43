"""JSON files that people write, the configuration and the profile, before anybody checks a field.

They come from elsewhere as well, so what is absurd ends in a sentence, on either interpreter: a
file of megabytes, brackets without end, text that no terminal can show.
"""

import json

MOST = 65536  # characters; a configuration with every field has two thousand
_SHOWN = 80  # characters of a value that was not expected


class DocumentError(ValueError):
    """The text is no document; the message says what was expected and found."""


def read(path):
    """The value in the JSON file *path*. Raises OSError, or DocumentError."""
    try:
        with open(path, encoding="utf-8") as source:  # whatever the locale says
            text = source.read(MOST + 1)
    except (ValueError, UnicodeError):
        raise DocumentError("expected a text file in UTF-8")
    if len(text) > MOST:
        raise DocumentError("expected JSON of at most %d characters, found more" % MOST)
    try:
        value = json.loads(text)
    except (ValueError, RuntimeError, MemoryError):
        raise DocumentError("expected JSON, found text that is not")
    if not complete(text):
        raise DocumentError("expected JSON, found a file that ends in the middle")
    return value


def complete(text):
    """Whether every bracket of the JSON *text* is closed: MicroPython takes it cut short."""
    depth, inside, skip = 0, False, False
    for character in text:
        if skip:
            skip = False
        elif inside:
            skip = character == "\\"
            inside = character != '"'
        elif character == '"':
            inside = True
        elif character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
    return depth == 0 and not inside


def shown(value):
    """*value*, as it was found, for a sentence: short, whatever it is."""
    try:
        text = value if isinstance(value, str) else repr(value)
        text = repr(text[:_SHOWN]) if isinstance(value, str) else text
    except (RuntimeError, ValueError, MemoryError):  # too deep, or a number of thousands of digits
        return type(value).__name__
    return text if len(text) <= _SHOWN + 2 else text[:_SHOWN] + "..."


def plain(text):
    """*text* with ? for what is no printable character: control characters, of which terminals
    have their orders, and halves of a surrogate pair, which JSON can spell and UTF-8 cannot."""
    if sound(text):
        return text
    return "".join(["?" if _odd(ord(one)) else one for one in text])


def sound(text):
    """Whether plain() would leave *text* as it is."""
    return not [one for one in text if _odd(ord(one))]


def _odd(number):
    # 0x202a to 0x202e, 0x2066 to 0x2069: they turn the direction in which all that follows reads.
    turns = 0x202A <= number <= 0x202E or 0x2066 <= number <= 0x2069
    return number < 32 or 127 <= number < 160 or turns or 0xD800 <= number <= 0xDFFF
