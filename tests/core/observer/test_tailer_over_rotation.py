"""Following the access log over a rotation loses no line."""

from __future__ import annotations

from pathlib import Path

from changeover.gateway.accesslog import Tailer


def line(number: int) -> str:
    """Return one line of the access log."""
    return (
        f'{{"t": "{number}.0", "us": 10, "s": 200, "f": "-", "r": "baseline:0:safe", '
        '"c": "baseline", "h": "x", "n": 1, "k": "u"}\n'
    )


def ends(tailer: Tailer, **limit: int) -> list[int]:
    """Return the seconds of the lines that were read."""
    return [int(entry.end) for entry in tailer.read(**limit)]


def test_lines_before_the_new_file_exists_are_read(tmp_path: Path) -> None:
    """Between the rotation and Envoy's reopening lines still go to the old file."""
    path = tmp_path / "access.log"
    path.write_text(line(1))
    tailer = Tailer(path, {})
    assert ends(tailer) == [1]
    assert tailer.rotate(max_bytes=1)
    with (tmp_path / "access.log.1").open("a") as file:
        file.write(line(2))
    assert ends(tailer) == [2]
    path.write_text(line(3))
    assert ends(tailer) == [3]


def test_old_file_is_read_to_its_end_before_the_new_one(tmp_path: Path) -> None:
    """A rotation far behind the writer skips nothing, however little is read at once."""
    path = tmp_path / "access.log"
    path.write_text("".join(map(line, range(1, 50))))
    tailer = Tailer(path, {})
    tailer.read(limit=200)
    tailer.rotate(max_bytes=1)
    path.write_text(line(50))
    seen = [second for _ in range(60) for second in ends(tailer, limit=200)]
    assert seen[-1] == 50
    assert len(seen) == len(set(seen)) >= 48


def test_tailer_says_that_it_is_behind(tmp_path: Path) -> None:
    """Far from the end, seconds are not complete yet."""
    path = tmp_path / "access.log"
    path.write_text("".join(map(line, range(1, 50))))
    tailer = Tailer(path, {})
    assert tailer.is_behind()
    tailer.read(limit=200)
    assert tailer.is_behind(within=1000)
    tailer.read()
    assert not tailer.is_behind(within=0)


def test_restart_after_a_rotation_goes_on_in_the_old_file(tmp_path: Path) -> None:
    """A kept position in the file that was moved aside is found again."""
    path = tmp_path / "access.log"
    path.write_text(line(1))
    tailer = Tailer(path, {})
    tailer.read()
    with path.open("a") as file:
        file.write(line(2))
    tailer.rotate(max_bytes=1)
    path.write_text(line(3))
    assert ends(Tailer(path, {}, position=tailer.position)) == [2, 3]
