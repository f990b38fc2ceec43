"""OpenWrt's configuration files (UCI), as far as the firewall's is read here.

Statements, one a line: ``config TYPE [NAME]`` begins a section, ``option NAME VALUE`` and
``list NAME VALUE`` stand in it. A word may be quoted, 'as it is' or "with \\ before a quote"; # at
the beginning of a word starts a comment. Source: OpenWrt's user guide, "The UCI system". A text
over several lines, which libuci knows, counts as not read.
"""

_MOST = 32768  # bytes of a file
_LONGEST = 1024  # bytes of a line
_SECTIONS = 512
_OPTIONS = 64  # of a section
_FALSE = ("0", "no", "off", "false", "disabled")


def load(path, types):
    """sections() of the file *path*, None where it cannot be opened."""
    try:
        with open(path, "rb") as source:
            data = source.read(_MOST + 1)
    except OSError:
        return None
    found, unread = sections(data[:_MOST].split(b"\n"), types)
    return found, unread + (1 if len(data) > _MOST else 0)


def sections(lines, types):
    """([(type, {option: [value, …]}), …], how many lines were not understood).

    *lines* are bytes; only sections of *types* are kept. Of an ``option`` that stands twice the
    last counts, of a ``list`` all.
    """
    found, unread = [], 0
    section = None  # the options of the section that is read, None: one that nobody wants
    for line in lines:
        statement = words(line)
        if statement == []:
            continue
        kind = None if statement is None else statement[0]
        if kind == "config" and len(statement) in (2, 3):
            section = {} if statement[1] in types and len(found) < _SECTIONS else None
            if section is not None:
                found.append((statement[1], section))
            elif statement[1] in types:
                unread += 1
        elif kind in ("option", "list") and len(statement) == 3:
            if section is None:
                continue
            name, value = statement[1:]
            before = section.get(name, []) if kind == "list" else []
            if len(before) < _OPTIONS and (name in section or len(section) < _OPTIONS):
                section[name] = before + [value]
            else:
                unread += 1
        elif kind != "package":
            unread += 1
    return found, unread


def words(line):
    """The words of one *line* of bytes; None where it is too long, no text, or a quote is open."""
    try:
        text = None if len(line) > _LONGEST else line.decode()
    except ValueError:  # UnicodeError is one
        text = None
    if text is None or "\0" in text:
        return None
    found = []
    word, quote, escaped = None, None, False
    for character in text:
        if escaped:
            word, escaped = (word or "") + character, False
        elif character == "\\" and quote != "'":
            escaped = True
        elif quote is not None:
            if character == quote:
                quote = None
            else:
                word += character
        elif character in "'\"":
            word, quote = word or "", character
        elif character in " \t\r\n":
            if word is not None:
                found.append(word)
            word = None
        elif character == "#" and word is None:
            break
        else:
            word = (word or "") + character
    if quote is not None or escaped:
        return None
    return found if word is None else found + [word]


def value(options, name, default=None):
    """The one value of the option *name*; *default* where it is not there."""
    values = options.get(name)
    return values[-1] if values else default


def switched(options, name, default):
    """Whether the option *name* is on."""
    return default if name not in options else value(options, name).lower() not in _FALSE
