"""moto's server with four flaws mended; fake_aws.py starts it.

- moto checks a signature against the decoded URL. With IAM enforced that refuses (SignatureDoesNotMatch) whatever clients
  sign in its encoded form: a listing with a slash in its prefix, a key with a plus sign or a letter outside ASCII.
- moto does not evaluate conditions: a bucket policy that denies requests without TLS denies every request. Here a Deny
  with a Condition denies nothing; what such a statement does is tested where conditions are evaluated.
- moto takes whatever a service other than S3 and STS is asked for as "*", so that a right to one image repository or one
  secret allows nothing. Here a request to ECR, Secrets Manager or CloudWatch Logs is judged by what it names.
- moto forgets NewerNoncurrentVersions of a lifecycle rule, and Terraform's provider waits minutes for it to appear.
"""

import json
from typing import Any

import flask
from moto.iam.access_control import IAMPolicyStatement, IAMRequestBase, PermissionResult
from moto.s3.models import FakeBucket
from moto.s3.responses import S3Response
from moto.server import main

# Where a request names its resource, and how that is written in a policy; a secret's ARN ends with six characters more.
RESOURCES = {
    "ecr": ("repositoryName", "repository/{}"),
    "logs": ("logGroupName", "log-group:{}:log-stream:any"),
    "secretsmanager": ("SecretId", "secret:{}-AbCdEf"),
}

check_action_permitted = IAMRequestBase.check_action_permitted
create_aws_request = IAMRequestBase._create_aws_request
is_action_permitted = IAMPolicyStatement.is_action_permitted
set_lifecycle = FakeBucket.set_lifecycle
serialized = S3Response.serialized


def create_aws_request_as_sent(self: IAMRequestBase) -> Any:
    """Rebuild the request from the URL that the client signed, before anybody decoded it."""
    self._path = flask.request.environ["RAW_URI"]
    return create_aws_request(self)


def check_action_permitted_on_it(self: IAMRequestBase, resource: str) -> None:
    """Judge the request by the resource that it names."""
    name, arn = RESOURCES.get(self._service, ("", ""))
    if named := name and json.loads(self._body or b"{}").get(name):
        resource = f"arn:aws:{self._service}:{self._region}:{self.account_id}:{arn.format(named)}"
    check_action_permitted(self, resource)


def is_action_permitted_unless_conditional(self: IAMPolicyStatement, *args: Any, **kwargs: Any) -> PermissionResult:
    """Leave a Deny with a Condition out."""
    if self._statement["Effect"] == "Deny" and self._statement.get("Condition"):
        return PermissionResult.NEUTRAL
    return is_action_permitted(self, *args, **kwargs)


def set_lifecycle_whole(self: FakeBucket, rules: list[dict[str, Any]]) -> None:
    """Remember beside each rule what moto drops."""
    set_lifecycle(self, rules)
    for kept, rule in zip(self.rules, rules, strict=True):
        vars(kept)["newest"] = (rule.get("NoncurrentVersionExpiration") or {}).get("NewerNoncurrentVersions")


def serialized_whole(self: S3Response, action_result: Any) -> Any:
    """Put it into the answer."""
    result = action_result.result
    if isinstance(result, dict) and "TransitionDefaultMinimumObjectSize" in result:
        kept = self.backend.get_bucket(self.bucket_name).rules
        for rule, answer in zip(kept, result["Rules"], strict=True):
            if newest := vars(rule)["newest"]:
                answer["NoncurrentVersionExpiration"]["NewerNoncurrentVersions"] = newest
    return serialized(self, action_result)


if __name__ == "__main__":
    IAMRequestBase._create_aws_request = create_aws_request_as_sent  # type: ignore[method-assign]
    IAMRequestBase.check_action_permitted = check_action_permitted_on_it  # type: ignore[method-assign]
    IAMPolicyStatement.is_action_permitted = is_action_permitted_unless_conditional  # type: ignore[method-assign]
    FakeBucket.set_lifecycle = set_lifecycle_whole  # type: ignore[method-assign]
    S3Response.serialized = serialized_whole  # type: ignore[method-assign,assignment]
    main()
