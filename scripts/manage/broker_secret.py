"""Prints the secret `airflow-broker` for a broker of one's own, for `kubectl create -f -`.

    AIRFLOW_BROKER_URL=rediss://:password@host:6379/0 python -m scripts.manage.broker_secret

It goes to standard output and nowhere else.
"""

from __future__ import annotations

import os
import sys
from urllib.parse import urlsplit

from scripts.manage.secret import print_secret

NAME = "airflow-broker"
VARIABLE = "AIRFLOW_BROKER_URL"
SCHEMES = ("redis", "rediss", "amqp", "amqps")
"""Those that Airflow's image has the client of, and that answer the workers' probe (`celery inspect ping`)."""


def documents(url: str) -> dict[str, str]:
    """The keys of the secret. Raises ValueError with a sentence that does not show the password."""
    url = url.strip()
    try:
        parts = urlsplit(url)
        fits = parts.port is None or parts.port
    except ValueError:
        fits = False
    if not (fits and parts.scheme and parts.hostname) or parts.fragment or ";" in url:
        raise ValueError(
            f"{VARIABLE} is not like rediss://:password@host:6379/0 or amqps://user:password@host:5671/vhost "
            "(special characters as %XX)."
        )
    if parts.scheme not in SCHEMES:
        raise ValueError(
            f"{VARIABLE} begins with {parts.scheme}://, and Celery works here with {', '.join(f'{s}://' for s in SCHEMES)} "
            "only: Amazon SQS for one cannot answer the workers' probe. Take one of these, or the layer "
            "executor/kubernetes, which needs no broker."
        )
    if parts.scheme == "rediss" and "ssl_cert_reqs=" not in parts.query:
        url += ("&" if parts.query else "?") + "ssl_cert_reqs=required"  # Celery refuses rediss:// that does not say it
    return {"connection": url}


def main() -> int:
    """Print the secret."""
    return print_secret(NAME, lambda: documents(os.environ.get(VARIABLE, "")))


if __name__ == "__main__":
    sys.exit(main())
