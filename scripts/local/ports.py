"""A port for a server that cannot say which one it took."""

import socket


def free_port() -> int:
    """A port on loopback that nobody listens on now, and that nobody else is given within the next minute.

    Of a connection that was open once the kernel remembers the port: it gives it to none who asks for any, and to the
    server, which asks for this one and, as servers do, allows its reuse.
    """
    with socket.create_server(("127.0.0.1", 0)) as probe, socket.create_connection(probe.getsockname()) as client:
        accepted, _ = probe.accept()
        with accepted:
            port = int(probe.getsockname()[1])
        client.recv(1)
        return port
