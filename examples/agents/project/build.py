"""The project's build: compiles every file and runs the tests; exit code 1 says what is wrong."""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))
sys.dont_write_bytecode = True


def compiled():
    """Compile every file, and refuse a mapping that names a key twice: the last one would win."""
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text(), str(path))
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
                assert len(keys) == len(set(keys)), f"{path.name}: a key is there twice"


def zones_are_known():
    """Countries are written as the post writes them, and zones are 1 to 4."""
    from parcels.zones import ZONES
    for country, zone in ZONES.items():
        assert len(country) == 2 and country.isalpha() and country.isupper(), country
        assert zone in (1, 2, 3, 4), f"{country} is in zone {zone}"


def settings_are_numbers():
    """Every setting is a whole number; those that belong together fit."""
    from parcels import settings
    for name, value in vars(settings).items():
        assert not name.isupper() or (type(value) is int and value > 0), f"{name} is {value}"
    assert settings.BATCH_SIZE == 10, "the partner takes batches of ten"
    assert settings.HEAVIEST_KG == 30, "the scales end at 30 kg"


def prices_add_up():
    """The zone gives the base price, and each kilogram costs the same."""
    from parcels.prices import price
    from parcels.settings import BASE_PRICE, PRICE_PER_KG
    from parcels.zones import ZONES
    for country, zone in ZONES.items():
        assert price(country, 2) == zone * BASE_PRICE + 2 * PRICE_PER_KG
    for country, kilograms in (("XX", 1), ("AT", 0), ("AT", 31)):
        try:
            price(country, kilograms)
        except ValueError:
            continue
        raise AssertionError(f"{country}, {kilograms} kg has a price")


if __name__ == "__main__":
    try:
        compiled()
        for test in (zones_are_known, settings_are_numbers, prices_add_up):
            test()
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
        sys.exit(1)
    print("build: well")
