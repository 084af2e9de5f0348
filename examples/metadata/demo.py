"""The quick demo: its plan's soaks are seconds already."""

from changeover.supervisor.examples import Example, Fault

EXAMPLE = Example(
    about="A parser of package metadata is replaced by a stricter one.",
    load="examples.metadata.load",
    faults={
        "errors": Fault("a third of its answers are errors"),
        "latency": Fault("each answer is 0.4 s late"),
        "hang": Fault("it answers nobody any more"),
        "crash": Fault("it ends without a word"),
        "memory": Fault("its memory grows by 50 MB a second"),
        "notfound": Fault("every answer is 404"),
        "redirects": Fault("every answer leads elsewhere"),
        "empty": Fault("every answer is empty"),
        "wrong": Fault("3 % of its answers are another document's"),
    },
)
