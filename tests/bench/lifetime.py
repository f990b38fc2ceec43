"""make bench-lifetime: what the measurement promises, in real labs side by side, as tables.

PARTS (environment, words) restricts it, for example PARTS="brackets memory"; further words that
restrict a part stand at that part. All of it takes 50 minutes: a timer of 300 s is searched for
twice, then watched for three periods. Exit code 0 if everything keeps what is promised, else 1.
"""

import sys
from types import ModuleType

from tests.bench import brackets, jobs, keepalives, memory, resident, shrinks, troubles, watching

_PARTS: dict[str, ModuleType] = {
    "brackets": brackets,
    "troubles": troubles,
    "keepalives": keepalives,
    "resident": resident,
    "watching": watching,
    "shrinks": shrinks,
    "memory": memory,
}


def main() -> int:
    names = jobs.words("PARTS", " ".join(_PARTS))
    unknown = [name for name in names if name not in _PARTS]
    if unknown:
        print(f"PARTS: expected some of {', '.join(_PARTS)}, found {unknown[0]}", file=sys.stderr)
        return 2
    rows, errors = jobs.run([job for name in names for job in _PARTS[name].jobs()])
    bad = {name: _PARTS[name].show(rows) for name in names}
    print()
    for name, count in bad.items():
        told = "all as promised" if not count else f"{count} not as promised"
        print(f"{name}: {told}")
    for name, error in errors.items():
        print(f"no result for {name}: {error}")
    return 1 if errors or any(bad.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
