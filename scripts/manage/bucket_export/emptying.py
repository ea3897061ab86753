"""A bucket emptied of what an export holds, and of nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import dag_protocol as protocol
from dag_store import StoreError

from .bucket import Bucket, Version
from .folder import Folder, Origin, Progress, Refused

AGAIN = "run `manage.sh export` again, into the same folder"


def besides_marker(bucket: Bucket, environment: str) -> list[Version]:
    """Every version and delete marker, but for those of the environment's marker, which Terraform writes."""
    marker = protocol.marker_key(environment)
    return [version for version in bucket.versions().values() if version.key != marker]


def empty(bucket: Bucket, origin: Origin, folder: Folder, progress: Progress) -> int:
    """Delete every version that the export holds, and at last the marker's; return how many.

    Args:
        bucket: to be emptied.
        origin: its name, environment and region.
        folder: a finished export of it.
        progress: shows what is under way.

    Raises:
        Refused: the export is not whole, or the bucket has what it has not; nothing was deleted. Or something was written
            while the rest was deleted: it stays.
        StoreError: the bucket cannot be listed, keeps no versions, or does not delete.
    """
    with folder.alone():
        index = folder.finished(origin)
        damaged = folder.damaged(index.values(), progress)
        if damaged:
            raise Refused(
                f"the export in {folder.path} is damaged, so nothing was deleted: {len(damaged):,} of its files missing or "
                f"changed, the first is {folder.file(min(damaged))}; {AGAIN}."
            )
        there = besides_marker(bucket, origin.environment)
        if there:  # else a destroy that stopped halfway may have taken the versioning already
            bucket.check_versioning()  # the version `null` could change between comparison and deletion
        unknown = [version for version in there if not version.holds_the_same(index.get(version.id))]
        if unknown:
            raise Refused(
                f"the export in {folder.path} lacks {len(unknown):,} of the versions in bucket {bucket.bucket}, so nothing was "
                f"deleted: the first is {unknown[0].name}; {AGAIN}."
            )
        with progress("deleting", len(there)) as tick:
            try:
                deleted = _delete(bucket, there, tick)
            except StoreError as error:
                raise StoreError(f"{error}; what was deleted until then is in {folder.path}: destroy again") from error
            left = besides_marker(bucket, origin.environment)
            if left:
                raise Refused(
                    f"somebody wrote to bucket {bucket.bucket} meanwhile: {left[0].name} and {len(left) - 1:,} more were not "
                    f"deleted; the {deleted:,} that were are in {folder.path}; {AGAIN}, then destroy again."
                )
            marker = protocol.marker_key(origin.environment)
            return deleted + _delete(bucket, (v for v in bucket.versions(marker).values() if v.key == marker), tick)


def _delete(bucket: Bucket, versions: Iterable[Version], tick: Callable[[int], None]) -> int:
    """Delete them so that at no time an old version or a removed file comes to light, which dag-sync would serve.

    Pointers go before files, so that a publisher who is at work fails at its commit.
    """
    past, pointers, rest = list[Version](), list[Version](), list[Version]()
    for version in versions:
        (past if not version.is_latest else pointers if version.key.startswith("pointers/") else rest).append(version)
    deleted = 0
    for group in (past, pointers, rest):
        for number in bucket.erase(group):
            deleted += number
            tick(number)
    return deleted
