"""The home directory: what of it a clean-up may touch."""

from __future__ import annotations

import re
from pathlib import Path

from changeover.cleanup import Cleanup, quarantine
from changeover.site.home import Home


def test_clean_up_spares_all_of_the_home_but_the_systems_own_folder(tmp_path: Path) -> None:
    """A plan beside the store cannot name the store's files, however its patterns are written."""
    home = Home(tmp_path / "home")
    home.create()
    (home.root / "store.db").write_text("kept")
    cache = home.root / "work" / "cache"
    cache.mkdir(parents=True)
    (cache / "page").write_text("temporary")
    task = Cleanup([str(home.root)], [f"{home.root}/*", f"{home.root}/work/cache/*"], None,
                   any_age=True, spared=home.spared())
    found, moved = quarantine(task, "test")
    assert all(re.search(r"/home/work\b", path) for path in moved), moved
    assert not (cache / "page").exists()
    assert (home.root / "store.db").read_text() == "kept"
    assert {Path(each.path).name for each in found.refused} >= {"store.db", "gateway", "logs"}
