"""A mail server on this machine."""

from __future__ import annotations

import email
import email.policy
import json
import socketserver
import threading
from typing import Any


class _Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        data: list[bytes] | None = None
        for line in self.rfile:
            if data is None:
                data = [] if line.upper().startswith(b"DATA") else None
                self.wfile.write(b"354 go on\r\n" if data is not None else b"250 yes\r\n")
            elif line == b".\r\n":
                self.server.mails.append(b"".join(data))  # type: ignore[attr-defined]
                self.server.arrived.set()  # type: ignore[attr-defined]
                self.wfile.write(b"250 taken\r\n")
                data = None
            else:
                data.append(line)


class MailServer(socketserver.ThreadingTCPServer):
    """Takes every mail."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.mails: list[bytes] = []
        self.arrived = threading.Event()

    @property
    def environment(self) -> dict[str, str]:
        extra = {"disable_tls": True, "disable_ssl": True, "from_email": "airflow@example.org"}
        connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": self.server_address[1], "extra": extra}
        return {"AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(connection)}

    def read(self) -> list[Any]:
        return [email.message_from_bytes(mail, policy=email.policy.default) for mail in self.mails]
