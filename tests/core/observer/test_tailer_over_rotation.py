"""Following the access log over a rotation loses no line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from changeover.gateway.tailer import Place, Tailer, earliest


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


def rotated(path: Path, tailer: Tailer, number: int, **options: object) -> bool:
    """Rotate as soon as possible; write a line into the file that is the present one then."""
    is_rotated = tailer.rotate(0, **options)  # type: ignore[arg-type]
    with path.open("a") as file:
        file.write(line(number))
    return is_rotated


def test_a_log_that_is_not_read_to_its_end_is_kept(tmp_path: Path) -> None:
    """The next rotation would take it away; the log grows until then."""
    path = tmp_path / "access.log"
    path.write_text(line(1) + line(2))
    tailer = Tailer(path, {})
    assert ends(tailer, limit=len(line(1))) == [1]
    assert rotated(path, tailer, 3)
    assert not rotated(path, tailer, 4)
    assert ends(tailer) == [2, 3, 4]
    assert rotated(path, tailer, 5)
    assert ends(tailer) == [5]


def test_a_log_that_a_restart_would_read_is_kept(tmp_path: Path) -> None:
    """What was read and is not in the store yet is read again after a kill."""
    path = tmp_path / "access.log"
    path.write_text(line(1))
    tailer = Tailer(path, {})
    saved = (path.stat().st_ino, 0)
    tailer.read()
    assert rotated(path, tailer, 2, needed=[saved, None])
    tailer.read()
    assert not rotated(path, tailer, 3, needed=[None, saved])
    assert ends(Tailer(path, {}, position=saved)) == [1, 2, 3]
    assert rotated(path, tailer, 4, needed=[tailer.position])


def test_a_log_that_nobody_reads_ends_somewhere(tmp_path: Path) -> None:
    """A full disk would be worse; how much was not read is said."""
    path = tmp_path / "access.log"
    path.write_text(line(1) + line(2))
    tailer = Tailer(path, {})
    tailer.read(limit=len(line(1)))
    assert rotated(path, tailer, 3)
    assert rotated(path, tailer, 4, longest=len(line(3)) - 1)
    assert tailer.dropped == len(line(2))
    assert ends(tailer) == [3, 4]


def test_the_earliest_place_is_in_the_older_file(tmp_path: Path) -> None:
    """Whatever the offsets; a place in a file that is gone is none."""
    path = tmp_path / "access.log"
    path.write_text(line(1))
    old = path.stat().st_ino
    Tailer(path, {}).rotate(0)
    path.write_text(line(2))
    new = path.stat().st_ino
    assert earliest(path, [(new, 0), (old, 90)]) == (old, 90)
    assert earliest(path, [(new, 5), (new, 3), None]) == (new, 3)
    assert earliest(path, [(new + old, 1), None]) is None


@dataclass
class Reader:
    """Counts lines twice, as samples and as sums, with a place in the log for each."""

    path: Path
    samples: set[int] = field(default_factory=set)
    sums: list[int] = field(default_factory=list)
    saved: list[Place | None] = field(default_factory=lambda: [None, None])
    saved_samples: set[int] = field(default_factory=set)
    saved_sums: list[int] = field(default_factory=list)
    written: int = 0

    def __post_init__(self) -> None:
        self.write()
        self.start()
        self.read()
        self.save_samples()
        self.save_sums()

    def start(self) -> None:
        """Begin as after a kill."""
        self.samples, self.sums = set(self.saved_samples), [*self.saved_sums]
        self.tailer = Tailer(self.path, {}, position=earliest(self.path, self.saved))
        self.known: Place | None = self.saved[1]

    def write(self) -> None:
        self.written += 1
        with self.path.open("a") as file:
            file.write(line(self.written))

    def read(self, limit: int = 200) -> None:
        for part in self.tailer.until(self.known, limit) if self.known else ():
            self.samples.update(int(each.end) for each in part)
        found = ends(self.tailer, limit=limit)
        self.samples.update(found)
        self.sums += found
        self.known = self.tailer.position

    def rotate(self) -> None:
        if self.tailer.rotate(300, needed=self.saved):
            self.write()  # Envoy opens a new one

    def save_samples(self) -> None:
        self.saved[0], self.saved_samples = self.tailer.position, set(self.samples)

    def save_sums(self) -> None:
        self.saved[1], self.saved_sums = self.known, [*self.sums]


@settings(max_examples=200)
@given(st.lists(st.sampled_from(
    ["write", "write", "write", "read", "rotate", "save_samples", "save_sums", "start"]),
    max_size=60))
def test_kills_and_rotations_lose_nothing_and_repeat_nothing(steps: list[str]) -> None:
    """Wherever samples and sums were saved: in the same file, or one before and one after it."""
    with TemporaryDirectory() as folder:
        reader = Reader(Path(folder) / "access.log")
        for step in steps:
            getattr(reader, step)()
        for _ in range(reader.written + 2):
            reader.read()
    assert reader.sums == [*range(1, reader.written + 1)]
    assert reader.samples == {*range(1, reader.written + 1)}
