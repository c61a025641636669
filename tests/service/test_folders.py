"""A process's own folder."""

from pathlib import Path

from service.folders import own_folder


def test_each_process_has_its_own_and_finds_it_again(tmp_path: Path) -> None:
    with own_folder(tmp_path) as first:
        with own_folder(tmp_path) as second:
            assert [first.name, second.name] == ["0", "1"]
        with own_folder(tmp_path) as again:
            assert again == second
    with own_folder(tmp_path) as again:
        assert again == first
