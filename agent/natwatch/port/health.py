"""How the device itself is: memory, processor, temperature, storage.

From psutil where that is installed, else from /proc and the like; what a platform does not tell
is None. Sizes are bytes, times seconds.
"""

import os

from natwatch import port

_TICKS = 100  # a second, of the times in /proc/*/stat: USER_HZ, the same on every architecture


def read(folder, root=""):
    """{"rss", "peak", "cpu_s", "temperature", "storage", "machine_s", "descriptors"}.

    "storage" is {"free", "size"} of the file system of *folder*, "machine_s" how long the machine
    has run. *root* stands before /proc and /sys.
    """
    status = _fields(root + "/proc/self/status")
    found = {
        "rss": _kibibytes(status.get("VmRSS")),
        "peak": _kibibytes(status.get("VmHWM")),
        "cpu_s": _cpu(root),
        "temperature": _temperature(root),
        "storage": _storage(folder),
        "machine_s": _number(_text(root + "/proc/uptime").split(" ")[0]),
        "descriptors": _entries(root + "/proc/self/fd"),
    }
    if not root and port.interpreter == "cpython":
        found.update(_by_psutil())
    if None not in (found["rss"], found["peak"]):
        found["peak"] = max(found["rss"], found["peak"])
    return found


def _by_psutil():
    """What psutil knows; it does so without /proc as well."""
    try:
        import psutil
    except ImportError:
        return {}
    try:
        process = psutil.Process()
        times = process.cpu_times()
        return {
            "rss": process.memory_info().rss,
            "cpu_s": times.user + times.system,
            "descriptors": process.num_fds(),
        }
    except (OSError, AttributeError, psutil.Error):
        return {}


def _text(path):
    try:
        with open(path) as source:
            return source.read(4096)
    except (OSError, ValueError):
        return ""


def _fields(path):
    """{name: text} of the "name: text" lines of a file."""
    pairs = [line.split(":", 1) for line in _text(path).split("\n") if ":" in line]
    return {pair[0]: pair[1].strip() for pair in pairs}


def _number(text):
    try:
        return float(text)
    except ValueError:
        return None


def _kibibytes(text):
    number = _number((text or "").split(" ")[0])
    return None if number is None else int(number) * 1024


def _cpu(root):
    # "12 (a name, with anything in it) S …": utime and stime are the 14th and 15th field.
    fields = _text(root + "/proc/self/stat").split(")")[-1].split()
    if len(fields) < 13:
        return None
    ticks = [_number(fields[11]), _number(fields[12])]
    return None if None in ticks else sum(ticks) / _TICKS


def _temperature(root):
    """Degrees Celsius of the hottest zone, None without any."""
    folder = root + "/sys/class/thermal"
    found = []
    for name in _listed(folder):
        if name.startswith("thermal_zone"):
            milli = _number(_text("%s/%s/temp" % (folder, name)).strip())
            if milli is not None:
                found.append(milli / 1000)
    return max(found) if found else None


def _storage(folder):
    try:
        told = os.statvfs(folder)
    except (OSError, AttributeError):
        return None
    # Block size, its fragment, blocks, free ones, free ones for others than root.
    return {"free": told[1] * told[4], "size": told[1] * told[2]}


def _entries(path):
    """How many there are in a folder, None where it cannot be read."""
    return len(_listed(path)) or None


def _listed(path):
    try:
        return os.listdir(path)
    except OSError:
        return []
