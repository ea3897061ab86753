"""Every version of a bucket into a folder, by many threads, until two listings agree."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from dag_store import StoreError

from . import live
from .bucket import THREADS, Bucket, Id, Version
from .folder import Folder, Origin, Progress, Refused, encoded

ROUNDS = 5  # listings that may differ from the one before


@dataclass(frozen=True)
class Exported:
    """What an export holds now."""

    versions: int
    delete_markers: int
    keys: int
    bytes: int
    packages: tuple[str, ...]
    warnings: tuple[str, ...]


def export(bucket: Bucket, origin: Origin, folder: Folder, progress: Progress) -> Exported:
    """Export every version and delete marker; return what the folder holds.

    What an earlier export read is read again only where the folder lost it. What left the bucket since then stays.

    Args:
        bucket: where from.
        origin: its name, environment and region.
        folder: where to; empty, or with an earlier export of the same bucket.
        progress: shows what is under way.

    Raises:
        Refused: for another folder, for lost bytes that the bucket no longer has, and when the bucket does not come to rest.
        StoreError: the bucket cannot be listed, or not all of it can be read.
    """
    listing = bucket.versions()
    folder.path.mkdir(parents=True, exist_ok=True)
    with folder.alone():
        folder.begin(origin)
        known = _still_there(folder, listing, progress)
        for _ in range(ROUNDS):
            _fetch(
                bucket, folder, [v for v in listing.values() if not v.holds_the_same(known.get(v.id))], known, progress
            )
            before, listing = listing, bucket.versions()
            if listing == before:
                break
        else:
            raise Refused(
                f"somebody is still writing to bucket {bucket.bucket}: {ROUNDS + 1} listings differ; stop the publishers, "
                "dag-adopter and Airflow (its logs), then run the export again; what was read is kept."
            )
        index = _index(known, listing)
        packages, warnings = live.rebuild(folder, origin.environment, index.values())
        return _finish(folder, origin, index, packages, warnings)


def _still_there(folder: Folder, listing: dict[Id, Version], progress: Progress) -> dict[Id, Version]:
    """What the folder has of an earlier export. Raises Refused if it lost what nobody else has."""
    known = folder.known()
    damaged = folder.damaged(known.values(), progress)
    in_bucket = {v.sha256 for v in known.values() if v.id in listing}
    for version in known.values():
        if version.sha256 in damaged - in_bucket:
            raise Refused(
                f"{folder.file(version.sha256)} is missing or changed, and the bucket no longer has {version.name}; "
                "bring the file back, or export what is left into another folder."
            )
    return {id: v for id, v in known.items() if not (id in listing and v.sha256 in damaged)}


def _fetch(
    bucket: Bucket, folder: Folder, wanted: Iterable[Version], known: dict[Id, Version], progress: Progress
) -> None:
    """Read the versions that are wanted and note each in `known` and in the journal."""

    def one(version: Version) -> Version:
        digest, told = folder.add(lambda file: bucket.copy(version, file))
        return replace(
            version, sha256=digest, metadata=told.get("Metadata", {}), content_type=told.get("ContentType", "")
        )

    wanted = list(wanted)
    known.update((v.id, v) for v in wanted if v.delete_marker)
    files = [v for v in wanted if not v.delete_marker]
    pool = ThreadPoolExecutor(THREADS)
    try:
        with folder.writing() as journal, progress("reading", len(files)) as tick:
            for future in as_completed([pool.submit(one, version) for version in files]):
                version = future.result()
                journal.write(encoded(version))
                known[version.id] = version
                tick(1)
    except StoreError as error:
        raise StoreError(f"{error}; the export is not finished, and what was read is kept: run it again") from error
    except OSError as error:
        raise Refused(
            f"cannot write into {folder.path}: {error.strerror}; the export is not finished, and what was read is kept: "
            "make room or give access, then run it again."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _index(known: dict[Id, Version], listing: dict[Id, Version]) -> dict[Id, Version]:
    """All that is known, with today's word on which version is the latest; of a key that is gone, the last word."""
    keys = {v.key for v in listing.values()}
    return {
        id: replace(v, is_latest=listing[id].is_latest if id in listing else v.is_latest and v.key not in keys)
        for id, v in known.items()
    }


def _finish(
    folder: Folder, origin: Origin, index: dict[Id, Version], packages: list[str], warnings: list[str]
) -> Exported:
    files = [v for v in index.values() if not v.delete_marker]
    done = Exported(
        versions=len(files),
        delete_markers=len(index) - len(files),
        keys=len({v.key for v in index.values()}),
        bytes=sum(v.size for v in files),
        packages=tuple(packages),
        warnings=tuple(warnings),
    )
    counts = {name: getattr(done, name) for name in ("versions", "delete_markers", "keys", "bytes", "packages")}
    folder.finish(index, {**vars(origin), "exported": datetime.now(UTC).isoformat(timespec="seconds"), **counts})
    return done
