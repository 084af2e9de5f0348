"""The command's entry: all commands together, and errors as one clear message."""

from __future__ import annotations

import atexit
import gc
import sys
from difflib import get_close_matches
from importlib import import_module

import click
from click.shell_completion import CompletionItem

from changeover import __version__
from changeover.errors import EXIT_INTERRUPTED, ChangeoverError, InvalidInput

COMMANDS = {
    "demo": (
        "demo.demo",
        "Run a whole migration on this machine: Prefect, Envoy, two systems, users' requests."),
    "up": ("run.up", "Start everything for a migration and keep it running until Ctrl-C."),
    "deploy": (
        "deploy.deploy",
        "Save a plan, and deploy every flow for workers on any machine; safe to do again."),
    "gateway": (
        "gateway.gateway",
        "Run a gateway on another machine: it follows the store, and what it measures counts."),
    "console": (
        "console.console",
        "Serve the console on another machine: pages, reports, actions by the store."),
    "status": ("status.status_command", "Show where the migration stands."),
    "watch": (
        "watch.watch",
        "Watch the migration: both systems, the stage and its soak, triggers, and what waits."),
    "wait": (
        "waiting.wait_command",
        "Wait until people are asked, a stage is entered, or the cutover has ended."),
    "health": (
        "health.health",
        "Examine everything that the migration depends on; what is not well stands last."),
    "history": ("status.history", "Show what was decided and changed, by whom and why."),
    "verdict": (
        "verdict.verdict",
        "Show a gate's verdict with its numbers; without ID, all verdicts of the newest cutover."),
    "backtest": (
        "backtest.backtest",
        "Say what another plan's gates and triggers would have decided, by what is kept."),
    "export": (
        "export.export",
        "Write verdicts, samples, comparisons, outcomes and the audit as files for analysts."),
    "env": ("status.env", "Print the variables that `prefect` and `changeover` need in a shell."),
    "approve": (
        "approve.approve",
        "Approve, hold or roll back what awaits a decision, as in Prefect's page."),
    "approver": (
        "approver.approver", "People who approve: their tokens, and codes for Prefect's form."),
    "pause": (
        "steer.pause",
        "Keep a running cutover where it is: nothing is promoted, and no soak counts."),
    "resume": (
        "steer.resume", "Let a paused cutover go on; what was left of the soak is still left."),
    "extend": (
        "steer.extend", "Let the stage that soaks now soak longer by DURATION, as 4h or 2d."),
    "promote-now": (
        "steer.promote_now",
        "End the present soak now; needs as many people as the stage's approval."),
    "skip-stage": (
        "steer.skip_stage",
        "Leave out a stage that was not entered yet; needs as many people as its approval."),
    "forget-gateway": (
        "forgetting.forget_gateway",
        "Remove a gateway node that is dead: nobody waits for what it may have measured."),
    "freeze": (
        "freeze.freeze",
        "Keep everybody where they are for a time: no promotion, rollback always."),
    "enable": (
        "decide.enable",
        "Go to a mode by hand, without gates; refused while a cutover runs."),
    "advance": (
        "decide.advance",
        "Move more users to the candidate by hand, without gates; refused while a cutover runs."),
    "disable": (
        "decide.disable",
        "Go back to baseline_only in good order; when something is wrong, use `rollback`."),
    "continue": (
        "runs.continue_command",
        "Continue work whose flow run has ended: a cutover, a rollback, a retirement."),
    "end": (
        "runs.end_command",
        "End work whose flow run has ended, as it stands; users stay where they are."),
    "report": (
        "reports.command.report",
        "Write a report: where the cutover stands, the day, what differs, lessons learned."),
    "rollback": (
        "decide.rollback_command",
        "Send everyone back to the baseline, now; the rest of the SOP follows by itself."),
    "recover": (
        "decide.recover",
        "End an emergency rollback: back to baseline_only, so that a new cutover may begin."),
    "maintenance": (
        "decide.maintenance",
        "Answer users with 503 and the reason, or let them through again."),
    "shadow": (
        "decide.shadow_command",
        "Change the share of requests that are copied to the candidate for comparison."),
    "divergences": (
        "compare.divergences",
        "Show what differs between the two systems' answers, regressions first."),
    "observer": (
        "observer.observer",
        "Judge triggers and gates when the observer of `changeover up` does not."),
    "outcomes": (
        "outcomes.outcomes",
        "Compare what applications reported of both systems: success, duration, quality numbers."),
    "replay": (
        "compare.replay_command",
        "Send recorded traffic to both systems and compare their answers "
        "(exit code 1: they differ)."),
    "validate": ("validate.validate", "Run the checks of a suite and show every failure at once."),
    "plan": ("plan.plan", "Check plans, and teach editors to complete them."),
    "completion": (
        "completion.completion",
        "Print what bash, zsh or fish needs to complete commands, options, stages and flags."),
    "store": (
        "store.store_group",
        "Bring the database to this version; print the rights that each role needs."),
    "backup": ("backup.backup_group", "Back up what a cutover could harm, and get it back."),
    "cleanup": (
        "cleanup.cleanup",
        "Show which of the candidate's files a rollback moves to quarantine; "
        "moves with --yes only."),
    "flags": (
        "flags.flags",
        "Show flags and change them by hand; what differs from the plan is marked as drift."),
    "explain": (
        "flags.explain",
        "Say which system a user gets, what each flag is for them, and why."),
    "automations": (
        "automations.automations_command",
        "Show or apply automations of Prefect: notify people, roll back on an event."),
    "token": ("token.token", "Tokens with which applications write to the console."),
}
"""Where each command is, and its help in one line. A command's module is read only when it is
called, so that a rollback, and `--help`, start at once."""


OBJECTS_BETWEEN_COLLECTIONS = 200_000
"""Python's own limit is some hundred: see `main`."""


class Commands(click.Group):
    """The group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write every command with its help, without reading its module."""
        with formatter.section("Commands"):
            rows = [(name, COMMANDS[name][1]) for name in self.list_commands(ctx)]
            formatter.write_dl(rows)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name."""
        place, _ = COMMANDS.get(cmd_name, ("", ""))
        module, _, attribute = place.rpartition(".")
        if not module:
            return None
        # one of a layer above has its whole path: it is found by name, nothing here imports it
        path = module if "." in module else f"changeover.cli.{module}"
        found: click.Command = getattr(import_module(path), attribute)
        return found

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return what a shell offers, without reading every command's module."""
        found = []
        for name in self.list_commands(ctx):
            if name.startswith(incomplete):
                found.append(CompletionItem(name, help=COMMANDS[name][1]))
        # options of the group itself, as --version
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is meant; of an unknown one, which name is like it."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            like = get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {like[0]!r}?" if like else ""
            # click would say it without a suggestion
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, epilog="""
\b
Examples:
  changeover demo                      a real cutover, approved by you in Prefect's page
  changeover demo --approve            the same, approved by itself
  changeover up --plan plans/own.yaml  start your own migration and keep it running
  changeover status                    where it stands
  changeover rollback --reason "..."   everyone back to the baseline, now
\b
Exit codes: 0 done or promoted, 1 failed, 2 wrong input, 3 rolled back, 4 refused,
5 the store cannot be used, 6 something does not answer, 7 the machine lacks something,
8 waited in vain, 9 what was waited for cannot come any more, 130 interrupted.
""")
@click.version_option(__version__)
def cli() -> None:
    """Move live traffic from an old system to a new one so safely that no user notices."""


def _check(arguments: list[str]) -> None:
    """Raise InvalidInput for text that no database and no page can hold; a key may be any bytes."""
    for number, text in enumerate(arguments, 1):
        shown = text.encode("utf-8", "backslashreplace").decode()
        # a key of a user may be any bytes: `explain` takes them as the gateway does
        if shown != text and arguments[:1] != ["explain"]:
            see = "see `locale` for what this shell uses"
            raise InvalidInput(
                f"argument {number} is not UTF-8: {shown}",
                next_step=f"Write it in UTF-8; {see}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    # Imports make many objects that live as long as the command: searching them for garbage again
    # and again costs a short command a twentieth of its time.
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    if arguments is None:
        # the process ends with this command: the interpreter would search all that was imported
        # for garbage once more, a sixth of the time of a short command
        atexit.register(gc.freeze)
    try:
        _check(sys.argv[1:] if arguments is None else arguments)
        # not standalone: click would end the process, with exit codes of its own
        result = cli.main(arguments, prog_name="changeover", standalone_mode=False)
    except ChangeoverError as error:
        click.echo(f"changeover: {error}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("changeover: interrupted", err=True)
        return EXIT_INTERRUPTED
    return result if isinstance(result, int) else 0
