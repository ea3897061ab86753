"""The pure rules at their edges: which names may be beside each other, and how much a package may hold."""

from __future__ import annotations

import pytest

import dag_protocol as protocol
from dag_protocol import ProtocolError


@pytest.mark.parametrize(
    ("name", "others", "clash"),
    [
        ("sales", ["finance", "salesforce"], None),
        ("sales", ["sales"], None),
        ("sales", ["sales_eu"], "sales_eu"),
        ("sales_eu", ["sales"], "sales"),
        ("sales_eu", ["sales_us", "sales_eu2"], None),
        ("a1", ["a1_b", "a1_a"], "a1_a"),
    ],
)
def test_a_name_clashes_with_one_that_its_ids_could_begin_with_either_way(
    name: str, others: list[str], clash: str | None
) -> None:
    assert protocol.package_clash(name, others) == clash


def sizes(total: int) -> dict[str, int]:
    """Files of so many bytes in all, each as large as a file may be, but for the last."""
    whole, rest = divmod(total, protocol.MAX_FILE_BYTES)
    return {**{f"{number}.csv": protocol.MAX_FILE_BYTES for number in range(whole)}, "last.csv": rest}


def test_a_package_holds_so_much_and_not_a_byte_more() -> None:
    protocol.check_sizes(sizes(protocol.MAX_PACKAGE_BYTES))
    with pytest.raises(ProtocolError, match="67,108,865 bytes in all are more than the 67,108,864"):
        protocol.check_sizes(sizes(protocol.MAX_PACKAGE_BYTES + 1))


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("a.py", 512 << 10),
        ("sub/.airflowignore", 16 << 10),
        ("a.csv", 16 << 20),
        ("notes.airflowignore", 16 << 20),
        ("a.pyc.txt", 16 << 20),
    ],
)
def test_a_file_holds_so_much_and_not_a_byte_more(path: str, most: int) -> None:
    protocol.check_sizes({path: most})
    with pytest.raises(ProtocolError, match=f"{path}: {most + 1:,} bytes"):
        protocol.check_sizes({path: most + 1})


def test_a_package_has_so_many_files_and_not_one_more() -> None:
    protocol.check_sizes({f"{number}.py": 0 for number in range(protocol.MAX_FILES)})
    with pytest.raises(ProtocolError, match="2,001 files are more than the 2,000"):
        protocol.check_sizes({f"{number}.py": 0 for number in range(protocol.MAX_FILES + 1)})
