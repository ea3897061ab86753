"""Would an IAM policy allow a request? As much of the rules as the project's policies use.

The fake AWS ignores conditions, so `s3:prefix` is judged here.
"""

from fnmatch import fnmatchcase


def allows(statements, action, resource, prefix=None):
    """True when a statement allows the action on the resource, listed with that prefix."""
    assert all(s["Effect"] == "Allow" for s in statements), "a Deny needs more rules than there are here"
    return any(
        any(fnmatchcase(action, a) for a in as_list(s["Action"]))
        and any(fnmatchcase(resource, r) for r in as_list(s["Resource"]))
        and condition_holds(s.get("Condition", {}), prefix)
        for s in statements
    )


def condition_holds(condition, prefix):
    if not condition:
        return True
    assert list(condition) == ["StringLike"] and list(condition["StringLike"]) == ["s3:prefix"], condition
    return prefix is not None and any(fnmatchcase(prefix, p) for p in as_list(condition["StringLike"]["s3:prefix"]))


def as_list(value):
    return [value] if isinstance(value, str) else value
