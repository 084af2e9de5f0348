"""The systems that the plans migrate, as examples."""
