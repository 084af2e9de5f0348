"""The zone of each country; the base price follows from it."""

ZONES = {
    "AT": 1,
    "BE": 2,
    "CZ": 1,
    "DE": 1,
    "DK": 2,
    "FR": 2,
    "IT": 2,
    "NL": 2,
    "PL": 1,
    "SE": 3,
}
