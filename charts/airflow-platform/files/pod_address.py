"""Where other pods reach this one, for `[core] hostname_callable`.

The api-server asks that address for the log of a task that still runs: a Deployment's pod has no name in DNS. Airflow's own
get_host_ip_address knows IPv4 alone, and fails where there is none.
"""

from __future__ import annotations

import socket


def for_urls() -> str:
    """This pod's address as a URL has it: IPv4 where there is one, otherwise IPv6 in brackets. Raises OSError."""
    found = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)
    by_family = {family: str(address[0]) for family, _, _, _, address in reversed(found)}
    if socket.AF_INET in by_family:
        return by_family[socket.AF_INET]
    return f"[{by_family[socket.AF_INET6]}]"
