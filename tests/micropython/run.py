"""Runs the agent's suite on MicroPython: micropython tests/micropython/run.py [NAME… | K/N]

Finds the test_* functions of tests/unit/test_*.py (or of the files whose name contains one of
NAME…, or of every N-th file from the K-th on), calls each, prints a traceback for each failure,
and closes with the count. A file that needs CPython says so: CPYTHON_ONLY = "the reason". Exit 1
if anything failed.
"""

import gc
import os
import sys

HERE = __file__[: -len("run.py")] if "/" in __file__ else "./"
ROOT = HERE + "../../"
UNIT = ROOT + "tests/unit"


def test_files(wanted):
    """The names of the test modules, sorted, without .py."""
    files = sorted(os.listdir(UNIT))
    names = [name[:-3] for name in files if name.startswith("test_") and name.endswith(".py")]
    if len(wanted) == 1 and "/" in wanted[0]:
        part, parts = [int(number) for number in wanted[0].split("/")]
        return [name for index, name in enumerate(names) if index % parts == part - 1]
    return [name for name in names if not wanted or any(part in name for part in wanted)]


def reason_to_skip(name):
    """The text of the module's CPYTHON_ONLY, or None. Read, since importing it may fail."""
    with open("%s/%s.py" % (UNIT, name)) as lines:
        for line in lines:
            if line.startswith("CPYTHON_ONLY"):
                return line.split("=", 1)[1].strip().strip("\"'")
    return None


def run_file(name):
    """(passed, failed) of one test module."""
    reason = reason_to_skip(name)
    if reason:
        print("skipped %s: %s" % (name, reason))
        return 0, 0
    try:
        module = __import__(name)
    except Exception as error:
        print("FAILED %s: cannot be imported" % name)
        sys.print_exception(error)
        return 0, 1
    # The device collects early to stay small (port/micropython.py); here that only takes time.
    gc.threshold(-1)
    passed = failed = 0
    # dir() is sorted here: MicroPython keeps no order of definition.
    for function in sorted(dir(module)):
        if not function.startswith("test_"):
            continue
        try:
            getattr(module, function)()
            passed += 1
        except Exception as error:
            failed += 1
            print("FAILED %s.%s" % (name, function))
            sys.print_exception(error)
    return passed, failed


def main():
    sys.path.insert(0, ROOT + "agent")
    sys.path.insert(0, UNIT)
    passed = failed = 0
    for name in test_files(sys.argv[1:]):
        some_passed, some_failed = run_file(name)
        passed += some_passed
        failed += some_failed
    print("%d passed, %d failed" % (passed, failed))
    # Nothing run is a failure too: a typing error in a name must not look like success.
    sys.exit(1 if failed or not passed else 0)


main()
