"""One cluster for the session: our own, or the one that is given, with what needs our own skipped by name."""

from __future__ import annotations
