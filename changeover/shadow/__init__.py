"""The shadow service: tapped answers, the candidate's beside them, and what differs."""
