"""Tests marked ``lab`` run in a lab container of their own (tests/lab/container.py).

The body of the test is called in a forked process, so it is written like any other test,
parameters and fixtures such as tmp_path included; what fixtures start, though, runs outside
the container: start servers in the body, by Lab.spawn.
"""

import os
import signal

import pytest

from tests.lab import container


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "lab: the test's body runs in a lab container of its own")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The lab's tests first, and of them those with a time limit of their own: they take minutes,
    and one that begins last is waited for."""

    def order(item: pytest.Item) -> tuple[bool, bool]:
        marked = [item.get_closest_marker(name) is None for name in ("lab", "timeout")]
        return marked[0], marked[1]

    items.sort(key=order)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if pyfuncitem.get_closest_marker("lab") is None:
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    reader, writer = os.pipe()

    def body() -> int:
        os.close(reader)
        try:
            pyfuncitem.obj(**arguments)
        except BaseException:
            failure = pytest.ExceptionInfo.from_current()
            with os.fdopen(writer, "w") as out:
                out.write(str(pyfuncitem.repr_failure(failure)))
            return 1
        return 0

    keeper = container.start(body)
    os.close(writer)
    try:
        with os.fdopen(reader) as lines:
            failure = lines.read()  # ends when the container has ended
        status = container.wait(keeper)
    except BaseException:  # pytest-timeout, or Ctrl-C
        os.kill(keeper, signal.SIGKILL)
        raise
    if status:
        pytest.fail(failure or f"the lab container ended with status {status}", pytrace=False)
    return True
