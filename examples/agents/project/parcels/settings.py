"""Numbers that may change without anybody looking at the code."""

HEAVIEST_KG = 30
BASE_PRICE = 5
PRICE_PER_KG = 2
QUOTE_VALID_DAYS = 30
BATCH_SIZE = 10
RETRY_SECONDS = 10
