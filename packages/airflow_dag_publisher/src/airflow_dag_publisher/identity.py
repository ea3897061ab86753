"""Who we are: the name that AWS gives to our credentials."""

from __future__ import annotations

import os

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError


def identity(endpoint_url: str | None, ask: bool = True) -> str:
    """Who the credentials are: an ARN, or the access key where nobody tells more, or nobody.

    Args:
        endpoint_url: of a server that is not AWS's.
        ask: whether to ask STS; pointless where nothing answers.
    """
    try:
        session = boto3.Session()
        credentials = session.get_credentials()
        if credentials is None:
            return "nobody: no credentials were found"
        if not ask or _is_of_another_store(endpoint_url):
            return f"access key {credentials.access_key}"
        config = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 1})
        sts = session.client(
            "sts", endpoint_url=endpoint_url, config=config, region_name=session.region_name or "us-east-1"
        )
        try:
            return str(sts.get_caller_identity()["Arn"])
        except (ClientError, BotoCoreError, ResponseParserError, KeyError):
            return f"access key {credentials.access_key}"
    except (
        BotoCoreError,
        ClientError,
        OSError,
        ValueError,
    ) as error:  # OSError: a token or a program that is not there
        return f"nobody: {error}"


def _is_of_another_store(endpoint_url: str | None) -> bool:
    """Whether the keys are of a store that is not AWS's and has no STS: they are nothing to be sent to AWS."""
    sts = endpoint_url or os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL_STS")
    return bool(os.environ.get("AWS_ENDPOINT_URL_S3")) and not sts
