"""Tables for analysts, without a store."""
