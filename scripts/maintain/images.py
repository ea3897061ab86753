"""Compares the container images that versions.yaml pins with what their registries serve now.

Asks with the OCI distribution API, as anybody may: `python -m scripts.maintain.images check`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import httpx
import yaml

from scripts.pinned import ROOT

VERSIONS = ROOT / "versions.yaml"
SECONDS = 10.0
ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
REPOSITORY = re.compile(r"([a-z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?")
KEYS = {"repository", "tag", "platforms", "platforms_seen", "digest", "seen"}


class PinError(Exception):
    """An image in versions.yaml is not pinned as it has to be."""


class Unreachable(Exception):
    """Nobody knows: no network, a time-out, or an answer that is none."""


class Gone(Exception):
    """The registry does not serve this tag to everybody."""


class Outcome(Enum):
    """What became of the comparison of one image; `wrong` ones end the program with 1."""

    EQUAL = "equal"
    FIRST_SEEN = "first seen"
    UNREACHABLE = "unreachable"
    MOVED = "moved"
    MISSING_PLATFORM = "platform missing"
    GONE = "gone"

    @property
    def wrong(self) -> bool:
        """Whether the pin and the registry disagree."""
        return self in (Outcome.MOVED, Outcome.MISSING_PLATFORM, Outcome.GONE)


@dataclass(frozen=True)
class Image:
    """One pinned image."""

    name: str
    repository: str
    tag: str
    platforms: tuple[str, ...]
    digest: str | None

    @property
    def location(self) -> tuple[str, str]:
        """The registry's host and the repository's path there: what a short name stands for."""
        host, slash, path = self.repository.partition("/")
        if not slash or not ("." in host or ":" in host or host == "localhost"):
            host, path = "docker.io", self.repository
        if host == "docker.io":
            return "registry-1.docker.io", path if "/" in path else f"library/{path}"
        return host, path


@dataclass(frozen=True)
class Served:
    """What a registry serves under a tag."""

    digest: str
    platforms: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """The comparison of one image, in words."""

    image: Image
    outcomes: tuple[Outcome, ...]
    lines: tuple[str, ...]


def _image(name: str, pin: Any) -> Image:
    """Check one entry of `images:`; a pin that would run something else tomorrow is refused."""
    if not isinstance(pin, dict) or pin.keys() != KEYS:
        raise PinError(f"{name}: an image has exactly these: {', '.join(sorted(KEYS))}")
    texts = {key: pin[key] for key in ("repository", "tag", "seen", "platforms_seen")}
    for key, text in texts.items():
        if not isinstance(text, str) or not text:
            raise PinError(f"{name}: {key} is not a text: {text!r}")
    if not REPOSITORY.fullmatch(texts["repository"]):
        raise PinError(f"{name}: not a repository's name: {texts['repository']!r}")
    if not TAG.fullmatch(texts["tag"]) or texts["tag"] == "latest":
        raise PinError(f"{name}: not a tag that names a version: {texts['tag']!r}")
    digest, platforms = pin["digest"], pin["platforms"]
    if digest is not None and not (isinstance(digest, str) and DIGEST.fullmatch(digest)):
        raise PinError(f"{name}: neither a digest nor null: {digest!r}")
    if not isinstance(platforms, list) or not platforms or not all(PLATFORM.fullmatch(str(p)) for p in platforms):
        raise PinError(f"{name}: platforms are os/architecture: {platforms!r}")
    return Image(name, texts["repository"], texts["tag"], tuple(platforms), digest)


def load(text: str) -> list[Image]:
    """Read the images of a versions.yaml."""
    images = yaml.safe_load(text).get("images")
    if not isinstance(images, dict) or not images:
        raise PinError("no images: in this file")
    return [_image(name, pin) for name, pin in images.items()]


def _token(client: httpx.Client, challenge: str) -> str:
    """Get the token that a registry hands to anybody who asks as its challenge says."""
    scheme, _, rest = challenge.partition(" ")
    said = dict(re.findall(r'([a-z]+)="([^"]*)"', rest))
    if scheme.lower() != "bearer" or "realm" not in said:
        raise Gone(f"it wants a login: {challenge or 'no challenge'}")
    answer = client.get(said.pop("realm"), params={key: said[key] for key in ("service", "scope") if key in said})
    if answer.status_code != httpx.codes.OK:
        raise Unreachable(f"{answer.url.host} gives no token: {answer.status_code}")
    given = answer.json()
    return str(given.get("token") or given["access_token"])


def _get(client: httpx.Client, url: str) -> bytes:
    answer = client.get(url, headers={"Accept": ACCEPT})
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        token = _token(client, answer.headers.get("WWW-Authenticate", ""))
        # Where it was refused, which after a redirect is another host.
        answer = client.get(answer.url, headers={"Accept": ACCEPT, "Authorization": f"Bearer {token}"})
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND):
        raise Gone(f"{answer.url.host} answers {answer.status_code}")
    if answer.status_code != httpx.codes.OK:
        raise Unreachable(f"{answer.url.host} answers {answer.status_code}")
    return answer.content


def _platform(of: dict[str, Any]) -> str:
    return "/".join(str(of[key]) for key in ("os", "architecture", "variant") if of.get(key))


def ask(client: httpx.Client, image: Image) -> Served:
    """Ask the image's registry what it serves under the tag."""
    host, path = image.location
    # As docker has it: without TLS on this machine, and nowhere else.
    scheme = "http" if host.split(":")[0] in ("localhost", "127.0.0.1") else "https"
    base = f"{scheme}://{host}/v2/{path}"
    try:
        body = _get(client, f"{base}/manifests/{image.tag}")
        manifest = json.loads(body)
        if "manifests" in manifest:
            # Attestations are listed as unknown/unknown.
            listed = [_platform(entry["platform"]) for entry in manifest["manifests"] if "platform" in entry]
        else:  # one image and no index
            listed = [_platform(json.loads(_get(client, f"{base}/blobs/{manifest['config']['digest']}")))]
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unreachable(f"{host}: {error or type(error).__name__}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unreachable(f"{host}: not a registry's answer: {error!r}") from error
    platforms = tuple(sorted({platform for platform in listed if not platform.startswith("unknown/")}))
    return Served(f"sha256:{hashlib.sha256(body).hexdigest()}", platforms)


def compare(client: httpx.Client, image: Image) -> Report:
    """Compare one pin with its registry."""
    try:
        served = ask(client, image)
    except Unreachable as error:
        return Report(image, (Outcome.UNREACHABLE,), (f"unreachable, nothing compared: {error}",))
    except Gone as error:
        return Report(image, (Outcome.GONE,), (f"gone: {error}",))
    today = datetime.now(UTC).date()
    put = (
        "to put into versions.yaml:",
        f"    digest: {served.digest}",
        f"    seen: asked {image.location[0]} on {today}",
    )
    if image.digest is None:
        outcomes, lines = [Outcome.FIRST_SEEN], ["digest first seen", *put]
    elif image.digest == served.digest:
        outcomes, lines = [Outcome.EQUAL], [f"digest equal: {served.digest}"]
    else:
        outcomes, lines = [Outcome.MOVED], [f"digest moved from {image.digest}", *put]
    # A pin without a variant is content with any: arm64 is listed as arm64/v8.
    missing = [p for p in image.platforms if not any(f"{had}/".startswith(f"{p}/") for had in served.platforms)]
    if missing:
        outcomes.append(Outcome.MISSING_PLATFORM)
        lines.append(f"platforms missing: {', '.join(missing)}; it has {', '.join(served.platforms) or 'none'}")
    else:
        lines.append(f"platforms present: {', '.join(image.platforms)}")
    return Report(image, tuple(outcomes), tuple(lines))


def check(images: Sequence[Image], *, require_all: bool) -> int:
    """Compare all, say what was seen, and return the program's exit status."""
    with (
        httpx.Client(timeout=SECONDS, follow_redirects=True) as client,
        ThreadPoolExecutor(max_workers=8) as pool,
    ):
        reports = list(pool.map(lambda image: compare(client, image), images))
    for report in reports:
        print(f"{report.image.name}: {report.image.repository}:{report.image.tag}")
        for line in report.lines:
            print(f"  {line}")
    counts = {outcome: sum(outcome in report.outcomes for report in reports) for outcome in Outcome}
    print("in all:", ", ".join(f"{count} {outcome.value}" for outcome, count in counts.items() if count))
    if counts[Outcome.UNREACHABLE]:
        print(
            "The unreachable ones were not compared; this says nothing about them"
            + (", and --require-all makes that an error." if require_all else ".")
        )
    wrong = any(outcome.wrong and count for outcome, count in counts.items())
    return int(wrong or (require_all and counts[Outcome.UNREACHABLE] > 0))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.maintain.images", description=__doc__)
    command = parser.add_subparsers(required=True).add_parser("check", help="compare with the registries")
    command.add_argument("--require-all", action="store_true", help="an unreachable registry is an error")
    command.add_argument("--versions", type=Path, default=VERSIONS, help="another versions.yaml")
    given = parser.parse_args(arguments)
    try:
        images = load(given.versions.read_text())
    except PinError as error:
        print(f"refused: {error}")
        return 1
    return check(images, require_all=given.require_all)


if __name__ == "__main__":
    raise SystemExit(main())
