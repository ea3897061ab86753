"""Would policies allow a request? As much of IAM's rules as the project's policies use.

The fake AWS ignores conditions, so they are judged here.
"""

from fnmatch import fnmatchcase
from types import MappingProxyType


def allows(statements, action, resource, context=MappingProxyType({})):
    """True when a statement allows the request and none denies it. The context is what conditions see, by key."""
    effects = {s["Effect"] for s in statements if applies(s, action, resource, context)}
    return effects == {"Allow"}


def applies(statement, action, resource, context):
    return (
        any(fnmatchcase(action, a) for a in as_list(statement["Action"]))
        and any(fnmatchcase(resource, r) for r in as_list(statement["Resource"]))
        and all(
            holds(operator, context.get(key), as_list(wanted))
            for operator, conditions in statement.get("Condition", {}).items()
            for key, wanted in conditions.items()
        )
    )


def holds(operator, value, wanted):
    """A condition on a key that the request has with this value, or not at all (None)."""
    match operator:
        case "Null":
            return str(value is None).lower() in wanted
        case "StringNotEquals" | "ArnNotEquals":  # true without the key, as every negated operator
            return value not in wanted
        case "StringEquals" | "Bool":
            return value in wanted
        case "StringLike":
            return value is not None and any(fnmatchcase(value, w) for w in wanted)
    raise ValueError(f"{operator}: no policy of the project has it; say here what it means, before one does")


def as_list(value):
    return [value] if isinstance(value, str) else value
