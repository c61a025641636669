"""`orderlog`: one command, every verb. Each group of verbs is a module beside this one."""

import logging
import sys

import typer

from cli import admin, log, services, stack
from cli.dlq.verbs import dlq
from cli.errors import explained
from cli.order_import.verb import import_orders
from cli.rebuild import verb as rebuild
from cli.topics import topics
from cli.verify import verify

app = typer.Typer(
    name="orderlog",
    help="An order system whose system of record is a Kafka log.",
    epilog="Settings come from ORDERLOG_… variables and .env; `orderlog config` lists them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

for name, verb in (("up", stack.up), ("down", stack.down), ("status", stack.status), ("demo", stack.demo)):
    app.command(name, rich_help_panel="The stack on this machine")(verb)
app.command("serve", rich_help_panel="Services, one process each")(services.serve)
app.command("project", rich_help_panel="Services, one process each")(services.project)
app.command("subscribe", rich_help_panel="Services, one process each")(services.subscribe)
app.command("import", rich_help_panel="Using it")(import_orders)
app.command("rebuild", rich_help_panel="Using it", epilog=rebuild.EPILOG)(rebuild.rebuild)
app.add_typer(topics, name="topics", rich_help_panel="Preparing a cluster")
app.add_typer(admin.schemas, name="schemas", rich_help_panel="Preparing a cluster")
app.command("migrate", rich_help_panel="Preparing a cluster")(admin.migrate)
app.add_typer(log.log, name="log", rich_help_panel="Looking at it")
app.command("verify", rich_help_panel="Looking at it")(verify)
app.add_typer(dlq, name="dlq", rich_help_panel="Looking at it")
app.command("config", rich_help_panel="Looking at it")(admin.config)


def main() -> None:
    """Run the command line; what goes wrong is one line on standard error."""
    # A verb that cannot connect says so itself; the services set up logs of their own.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    sys.exit(explained(lambda: app(standalone_mode=False)))


if __name__ == "__main__":
    main()
