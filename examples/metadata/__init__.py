"""Two HTTP services that turn documents into structured records, each with its own parser."""
