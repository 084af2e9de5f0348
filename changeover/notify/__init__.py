"""Telling people: the channels of a plan, and sending what waits in the store."""
