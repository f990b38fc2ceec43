"""A function in namespaces of its own: whatever it starts and makes ends with it.

    caller ── keeper ── init (process 1 of the namespaces) ── the function

The kernel does the tidying: init dies with the keeper and the keeper with the caller, also
by kill -9; with init dies every process of its process namespace, and with the last process
go the network and mount namespaces. So there is nothing to clean, and labs that run side by
side cannot see each other. No link leads out of them, and nothing of the machine's own
network is touched. An ordinary user gets a user namespace, in which he is root.
"""

import ctypes
import errno
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable

_NEW_MOUNTS = 0x00020000  # linux/sched.h
_NEW_USERS = 0x10000000
_NEW_PROCESSES = 0x20000000
_NEW_NETWORK = 0x40000000
_PRIVATE_TREE = 0x4000 | 0x40000  # linux/mount.h: MS_REC | MS_PRIVATE
_PARENT_DEATH_SIGNAL = 1  # linux/prctl.h

# In the container's environment: the keeper's process id as seen from outside. Its only child
# is init, whose namespaces nsenter(1) can join.
KEEPER = "NATWATCH_LAB_KEEPER"

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_libc = ctypes.CDLL(None, use_errno=True)

REFUSED = (
    "lab: expected root, or a kernel that lets ordinary users make user namespaces; found"
    " neither (%s). Run it as root outside any container or chroot, or set"
    " kernel.unprivileged_userns_clone=1 and user.max_user_namespaces above 0."
)


def run(function: Callable[[], int | None]) -> int:
    """Calls *function* in a fresh container; its exit status, 128 + n if signal n ended it.

    SIGINT, SIGTERM and SIGHUP are passed on to it. Without the right to make namespaces the
    status is 2, and one sentence on stderr says why.
    """
    keeper = start(function)
    before = {number: signal.signal(number, _pass_on(keeper)) for number in _STOPPING}
    terminal = _lend_terminal(keeper)
    try:
        return wait(keeper)
    finally:
        if terminal:
            _set_foreground(os.getpgrp())
        for number, handler in before.items():
            signal.signal(number, handler)


def start(function: Callable[[], int | None]) -> int:
    """Like run, but returns at once: the keeper's process id, to be waited for or killed.

    The keeper leads a process group in which only *function* listens to signals.
    """
    caller = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    keeper = os.fork()
    if keeper == 0:
        _exit_with(lambda: _keep(caller, function))
    return keeper


def wait(keeper: int) -> int:
    """The exit status of what start() began, when it has ended."""
    return _status(os.waitpid(keeper, 0)[1])


def _keep(caller: int, function: Callable[[], int | None]) -> int:
    os.setpgid(0, 0)
    os.environ[KEEPER] = str(os.getpid())
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)
    die_with_parent()
    if os.getppid() != caller:
        return 1
    try:
        _unshare()
    except OSError as error:
        return _refused("unshare", error)
    keeper_lives, held = os.pipe()
    init = os.fork()
    if init == 0:
        os.close(held)
        _exit_with(lambda: _be_init(keeper_lives, function))
    return _status(os.waitpid(init, 0)[1])


def _be_init(keeper_lives: int, function: Callable[[], int | None]) -> int:
    die_with_parent()
    # The keeper may have died before that call: then its end of the pipe is closed.
    if select.select([keeper_lives], [], [], 0)[0]:
        return 1
    try:
        _mount("none", "/", "", _PRIVATE_TREE)
        _mount("proc", "/proc", "proc")
        _mount("tmpfs", "/run", "tmpfs")  # ip(8) keeps its names of network namespaces here
    except OSError as error:
        return _refused("mount", error)
    os.mkdir("/run/netns")
    # Debian's PATH for ordinary users lacks the folders of nft, conntrack and mosquitto.
    os.environ["PATH"] = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"
    worker = os.fork()
    if worker == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        _exit_with(function)
    while True:  # process 1 inherits every orphan
        pid, status = os.wait()
        if pid == worker:
            return _status(status)


def _refused(step: str, error: OSError) -> int:
    print(REFUSED % f"{step}: {error.strerror}", file=sys.stderr)
    return 2


def _exit_with(function: Callable[[], int | None]) -> None:
    """Ends this forked process with what *function* returns; its caller's code never goes on."""
    status = 1
    try:
        status = function() or 0
    except KeyboardInterrupt:
        status = 130
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _status(wait_status: int) -> int:
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code


def _pass_on(keeper: int) -> Callable[..., None]:
    def handler(number: int, _frame: object) -> None:
        try:
            os.killpg(keeper, number)
        except ProcessLookupError:
            pass  # ended already

    return handler


def _lend_terminal(group: int) -> bool:
    """Makes *group* the terminal's foreground group, if we are it: Ctrl-C then goes there."""
    if not sys.stdin or sys.stdin.closed or not sys.stdin.isatty():
        return False
    if os.tcgetpgrp(0) != os.getpgrp():
        return False
    try:
        os.setpgid(group, group)  # in case the keeper has not come to it yet
        _set_foreground(group)
    except OSError:
        return False  # it has ended already
    return True


def _set_foreground(group: int) -> None:
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        os.tcsetpgrp(0, group)
    finally:
        signal.signal(signal.SIGTTOU, before)


def _unshare() -> None:
    user, group = os.getuid(), os.getgid()
    flags = _NEW_MOUNTS | _NEW_PROCESSES | _NEW_NETWORK
    ordinary = user != 0
    _check(_libc.unshare(flags | _NEW_USERS if ordinary else flags))
    if ordinary:
        for file, line in (
            ("setgroups", "deny"),
            ("uid_map", f"0 {user} 1"),
            ("gid_map", f"0 {group} 1"),
        ):
            with open(f"/proc/self/{file}", "w") as out:
                out.write(line)


def of_ordinary_user() -> bool:
    """Inside a container: whether an ordinary user made it, with a user namespace."""
    with open("/proc/self/uid_map") as lines:
        return lines.read().split()[1] != "0"


def join_network(namespace: int) -> None:
    """Moves the calling thread into the network namespace behind the descriptor."""
    _check(_libc.setns(namespace, _NEW_NETWORK))


def _mount(source: str, target: str, kind: str, flags: int = 0) -> None:
    _check(_libc.mount(source.encode(), target.encode(), kind.encode(), flags, None))


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, by kill -9 too."""
    _check(_libc.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number) if number != errno.ENOSPC else "none left")
