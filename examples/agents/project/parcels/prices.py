"""What a parcel costs."""

from parcels.settings import BASE_PRICE, HEAVIEST_KG, PRICE_PER_KG
from parcels.zones import ZONES


def price(country: str, kilograms: float) -> float:
    """Return the price in euro.

    Raises:
        ValueError: Nobody delivers there, or the parcel is too heavy.
    """
    if country not in ZONES:
        raise ValueError(f"no delivery to {country}")
    if not 0 < kilograms <= HEAVIEST_KG:
        raise ValueError(f"{kilograms} kg: allowed are 0 to {HEAVIEST_KG}")
    return BASE_PRICE * ZONES[country] + PRICE_PER_KG * kilograms
