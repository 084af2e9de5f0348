"""The agents: five weeks of a plan in minutes, GitHub's issues all the while."""

from changeover.supervisor.examples import Example, Fault, Service
from examples.agents.baseline import missing

EXAMPLE = Example(
    about="The agent that works on GitHub issues: one in Node.js by several in Python.",
    load="examples.agents.load",
    speed=20_000,
    rate=2.5,
    users=20,
    services=(
        Service("tracker", "examples.agents.tracker", port=8403),
        Service("receiver", "examples.agents.receiver", port=8404),
    ),
    faults={
        "errors": Fault("two of three issues end in an error: success below 70 %"),
        "broken": Fault("changes do not build, and the reviewer does not look"),
        "careless": Fault("changes build, touch half of the project, and are not accepted"),
        "slow": Fault("each issue takes four seconds longer: people are asked"),
        "hang": Fault("it answers nothing any more, not even its health check"),
        "crash": Fault("the process dies; it is started again"),
        "memory": Fault("it takes ever more memory"),
        "inconsistent": Fault("it forgets that it has done an issue: the systems disagree"),
        "double": Fault("the receiver gives each issue to both: claims keep one", "receiver"),
        "old-errors": Fault("the old agent fails: an alert, nobody moves back", "baseline"),
        "old-slow": Fault("the old agent gets slow", "baseline"),
    },
    needs=missing,
)
