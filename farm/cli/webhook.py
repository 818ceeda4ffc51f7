"""`farm webhook ...`: who was told what, and who could not be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from farm.cli.options import Dir, Json, completing, examples
from farm.cli.screen import console, note, say, say_json
from farm.cli.show import empty_table, moment, plain

if TYPE_CHECKING:
    from rich.table import Table

    from farm.jobs.hooks import Delivery

A_WEBHOOK = "20261122-181530-k3f9ab.done.1795371330123.job"
STYLES = {"delivered": "green", "failed": "bold red", "pending": "yellow"}

app = typer.Typer(name="webhook", no_args_is_help=True, help="See what receivers were told, and tell them again.")


@app.callback()
def webhook() -> None:
    """See what receivers were told, and tell them again."""


complete_webhook = completing(
    lambda farm: [(one.id, f"{one.receiver}, {one.state}") for one in farm.webhooks(limit=100)]
)


@app.command("list", epilog=examples("farm webhook list", "farm webhook list --failed --json"))
def list_webhooks(
    failed: Annotated[bool, typer.Option("--failed", metavar="", help="Only those that were given up.")] = False,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Most webhooks to list, 1 or more.")] = 50,
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """List webhooks, newest first: those that wait, and what was delivered or given up in the last week."""
    from farm import Farm

    with Farm.from_settings(dir=folder) as farm:
        found = farm.webhooks(failed=failed, limit=limit)
    if as_json:
        say_json([one.to_dict() for one in found])
    elif found:
        console().print(webhook_table(found))
    else:
        note("No webhook was given up." if failed else "No webhooks.")


@app.command(epilog=examples(f"farm webhook send {A_WEBHOOK}"))
def send(
    webhook_id: Annotated[
        str,
        typer.Argument(
            metavar="WEBHOOK",
            autocompletion=complete_webhook,
            show_default=False,
            help="Id of the webhook (Tab completes it).",
        ),
    ],
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """Send a webhook again, now, whether it arrived or was given up. Its event keeps its id."""
    from farm import Farm

    with Farm.from_settings(dir=folder) as farm:
        farm.send_webhook(webhook_id)
    if as_json:
        say_json({"webhook": webhook_id, "state": "pending"})
    else:
        say(f"Webhook {webhook_id} is sent again by the sweeper's process.")


@app.command("test", epilog=examples("farm webhook test https://example.com/hooks/lessons", "farm webhook test"))
def try_out(
    url: Annotated[
        str | None,
        typer.Argument(metavar="URL", show_default=False, help="Where to send it. Default: setting webhook_url."),
    ] = None,
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """Send an event of type "test" from this machine, signed, and say what came of it. Exit code 4 if not taken."""
    from farm import Farm

    with Farm.from_settings(dir=folder) as farm:
        event = farm.try_webhook(url)
    if as_json:
        say_json({"event": event, "state": "delivered"})
    else:
        say(f"Delivered, event {event}.")


def webhook_table(found: list[Delivery]) -> Table:
    """Webhooks, a row each; their ids say what they tell of."""
    table = empty_table("webhook", "to", "when", "what became of it")
    for one in found:
        whose = one.receiver if one.to == one.receiver else f"{one.receiver} ({one.to}'s)"
        table.add_row(one.id, plain(whose), moment(one.at), Text(plain(fate(one)), style=STYLES[one.state]))
    return table


def fate(one: Delivery) -> str:
    """'waits, next 2026-11-22 18:15:30 after 3 tries: ... answered 503'."""
    tries = f"{one.tries} {'try' if one.tries == 1 else 'tries'}"
    if one.state == "delivered":
        return f"delivered, {tries}"
    said = f"given up after {tries}" if one.state == "failed" else "waits"
    if one.state == "pending" and one.tries and one.due is not None:
        said += f", next {moment(one.due)} after {tries}"
    return f"{said}: {one.problem}" if one.problem else said
