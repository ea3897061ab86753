"""Processes that do not outlive the one that started them."""

import ctypes
import signal
import sys


def die_with_parent(how: signal.Signals = signal.SIGKILL) -> None:
    """For `preexec_fn`: the kernel sends this to the process when its parent ends, whatever ends that. Elsewhere than on Linux nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, how)  # PR_SET_PDEATHSIG


def end_with_parent() -> None:
    """The same for a process that ends its own children when it is asked to end."""
    die_with_parent(signal.SIGTERM)
