"""moto's server with one flaw mended; fake_aws.py starts it.

moto checks a signature against the decoded URL. With IAM enforced that refuses (SignatureDoesNotMatch) whatever clients
sign in its encoded form: a listing with a slash in its prefix, a key with a plus sign or a letter outside ASCII.
"""

from typing import Any

import flask
from moto.iam.access_control import IAMRequestBase
from moto.server import main

create_aws_request = IAMRequestBase._create_aws_request


def create_aws_request_as_sent(self: IAMRequestBase) -> Any:
    """Rebuild the request from the URL that the client signed, before anybody decoded it."""
    self._path = flask.request.environ["RAW_URI"]
    return create_aws_request(self)


if __name__ == "__main__":
    IAMRequestBase._create_aws_request = create_aws_request_as_sent  # type: ignore[method-assign]
    main()
