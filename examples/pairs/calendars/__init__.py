"""Calendars move from Radicale 2 to Radicale 3."""
