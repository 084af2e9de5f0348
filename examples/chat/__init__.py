"""An old chat transport and a protocol-agnostic one, over one answer engine and one database."""
