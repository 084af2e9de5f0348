"""The chat: months of a plan in minutes, users in the middle of conversations."""

from changeover.supervisor.examples import Example, Fault, Service
from examples.chat.faults import FAULTS

EXAMPLE = Example(
    about="A chat moves from whole answers and long polling to streams: SSE and websockets.",
    load="examples.chat.load",
    speed=60_000,
    rate=20,
    users=300,
    services=(Service("helpdesk", "examples.chat.helpdesk", port=8303),),
    faults={
        **{kind: Fault(about) for kind, about in FAULTS.items()},
        "complaints": Fault("every second answer of the candidate brings a complaint", to="load"),
    },
)
