"""A port for a server that cannot say which one it took."""

import socket


def free_port(host: str = "127.0.0.1") -> int:
    """A port of an address that nobody listens on now, and that nobody else is given within the next minute.

    Of a connection that was open once the kernel remembers the port: it gives it to none who asks for any, and to the
    server, which asks for this one and, as servers do, allows its reuse.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        socket.create_server((host, 0), family=family) as probe,
        socket.create_connection(probe.getsockname()[:2]) as client,
    ):
        accepted, _ = probe.accept()
        with accepted:
            port = int(probe.getsockname()[1])
        client.recv(1)
        return port
