"""What commands print, without a store."""
