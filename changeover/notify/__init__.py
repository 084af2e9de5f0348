"""Notifying people: the channels of a plan, and sending the messages that wait in the store."""
