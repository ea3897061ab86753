"""Runs a command and writes what it took. Started as `python -I -S launch.py RESULT COMMAND…`: small, imports next to nothing."""

import json
import os
import sys
import time
from pathlib import Path

started = time.monotonic()
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(pid, 0)
figures = {
    "status": os.waitstatus_to_exitcode(status),
    "wall": time.monotonic() - started,
    "cpu": usage.ru_utime + usage.ru_stime,
    "rss_mib": usage.ru_maxrss / 1024,
}
Path(sys.argv[1]).write_text(json.dumps(figures))
