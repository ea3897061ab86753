"""The bucket of Terraform's states: its name, whether it is there, and how it comes to be.

    python -m scripts.manage.state_bucket name
    python -m scripts.manage.state_bucket check --region eu-central-1
    python -m scripts.manage.state_bucket make --region eu-central-1

A state cannot be kept in a bucket that is not there, so this makes it; terraform/account then takes it over (`import`)
and says everything else about it. Each command prints the name. Exit codes: 0 done, 1 refused, with a sentence.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import boto3
import click
from botocore.exceptions import BotoCoreError, ClientError

VARIABLE = "AIRFLOW_PLATFORM_STATE_BUCKET"


def name(owner: str) -> str:
    """Name of an account's bucket, unless the environment variable names another."""
    return os.environ.get(VARIABLE) or f"airflow-terraform-state-{owner}"


def account(region: str) -> str:
    """Account of the credentials, asked in their own partition: elsewhere nobody knows them. Raises botocore's errors."""
    return str(boto3.client("sts", region_name=region).get_caller_identity()["Account"])


def exists(s3: Any, bucket: str, owner: str) -> bool:
    """Whether the bucket is there and `owner`'s: the name can be guessed. Raises ClientError when it is somebody else's."""
    try:
        s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=owner)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchBucket"):
            return False
        raise
    return True


def make(s3: Any, bucket: str, region: str) -> None:
    """Make the bucket, closed and with versions from its first object on. Raises botocore's errors."""
    # us-east-1 is the region that S3 refuses to be told.
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=bucket, **place)
    closed = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(closed, True))
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


@click.command()
@click.argument("command", type=click.Choice(["name", "check", "make"]))
@click.option("--region", default="us-east-1", help="Where the bucket is.")
def main(command: str, region: str) -> None:
    """Name, check or make the bucket of Terraform's states."""
    bucket = ""
    try:
        owner = account(region)
        bucket = name(owner)
        s3 = boto3.client("s3", region_name=region)
        there = command == "name" or exists(s3, bucket, owner)
        if not there and command == "make":
            make(s3, bucket, region)
        elif not there:
            sys.exit(
                f"manage.sh: there is no bucket {bucket} for Terraform's states; run 'manage.sh init account' once."
            )
    except ClientError as error:
        why = error.response["Error"]
        if not bucket:
            sys.exit(f"manage.sh: AWS refused the credentials ({why['Code']}); set AWS_PROFILE, or sign in again.")
        hint = (
            f"; the name may be somebody else's: choose another one in {VARIABLE}"
            if why["Code"] in ("403", "BucketAlreadyExists")
            else ""
        )
        sys.exit(
            f"manage.sh: the bucket {bucket} of Terraform's states was refused ({why['Code']}: {why['Message']}){hint}."
        )
    except BotoCoreError as error:
        sys.exit(
            f"manage.sh: AWS was not reached: {str(error).rstrip('.')}. Set AWS_PROFILE or sign in again; AWS_ENDPOINT_URL is for another AWS than Amazon's."
        )
    click.echo(bucket)


if __name__ == "__main__":
    main()
