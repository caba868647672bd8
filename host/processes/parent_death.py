"""Every process dies with its parent: the fork server with the launcher, its children with the fork server, PEs with the PE server.

It uses Linux's parent-death signal, so it holds even where the parent is killed and cannot clean up.
"""

import atexit
import ctypes
import os
import shutil
import signal
import time

LAUNCHER_VARIABLE = "GENNAKER_LAUNCHER_PID"  # tells the fork server whose child it is
FOLDER_VARIABLE = "GENNAKER_LAUNCHER_FOLDER"  # and where multiprocessing keeps its listening socket
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_prctl = ctypes.CDLL(None).prctl  # once: to ask for it makes classes, in each process anew
_NAME_BYTES = 15
_REMOVALS, _REMOVE_AGAIN_S = 20, 0.1
_fork_server_pid = 0  # in the fork server and its children, or the PE server and its own


def die_with(parent_pid: int) -> None:
    """Make the kernel kill this process when its parent dies; leave at once where it is dead already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(0)


def note_fork_server() -> None:
    """Note this process as one that forks others, which die with it: the fork server, or the PE server."""
    global _fork_server_pid  # noqa: PLW0603 - set once, before the first fork
    _fork_server_pid = os.getpid()


def die_with_fork_server() -> None:
    """As `die_with`, in a process that the fork server has forked."""
    die_with(_fork_server_pid)


def die_and_remove(parent_pid: int, folder: str) -> None:
    """As `die_with`, but remove `folder` first: the fork server's listening socket is a file that a killed launcher leaves."""
    own_pid = os.getpid()

    def leave_if_orphaned(*_: object) -> None:
        if os.getppid() != parent_pid and os.getpid() == own_pid:  # a child has this handler, too, until it sets its own
            remove_folder(folder)
            os._exit(0)

    # The one signal that also wakes a process that is stopped. After a Ctrl-Z it comes as well, and means nothing.
    signal.signal(signal.SIGCONT, leave_if_orphaned)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGCONT, 0, 0, 0)
    leave_if_orphaned()

    def remove_when_orphaned() -> None:
        for _ in range(_REMOVALS):  # its files are closed, which ends this process, before its children are told
            leave_if_orphaned()
            time.sleep(_REMOVE_AGAIN_S / 2)

    atexit.register(remove_when_orphaned)


def remove_folder(folder: str) -> None:
    """Remove a folder in which others that die now may still write."""
    for _ in range(_REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder):
            return
        time.sleep(_REMOVE_AGAIN_S)


def set_process_name(name: str) -> None:
    """Show the process under `name` (its first 15 bytes) in process listings."""
    _prctl(_PR_SET_NAME, name.encode()[:_NAME_BYTES], 0, 0, 0)
