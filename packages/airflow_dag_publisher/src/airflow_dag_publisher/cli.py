"""The command `airflow-dag-publisher`."""

from __future__ import annotations

import os

import click

from .commands.author import configmap, publish, validate
from .commands.going_back import adopt, remove, repair, restore, rollback
from .commands.looking import check_store, diff, list_, show, versions
from .commands.repository import validate_repository
from .errors import Exit

SECTIONS = {
    "Author": (validate, validate_repository, publish, configmap),
    "Looking": (list_, versions, show, diff, check_store),
    "Going back": (rollback, restore, remove, repair, adopt),
}


class InSections(click.Group):
    """A group whose help shows the commands by what they are for."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a list for each section."""
        width = formatter.width - 6 - max(map(len, self.commands))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(str(c.name), c.get_short_help_str(width)) for c in commands])


@click.group(cls=InSections, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="airflow-dag-publisher")
def cli() -> None:
    """Validate, publish, roll back and inspect packages of Airflow DAGs in a versioned S3 bucket.

    Credentials come from the ordinary AWS chain. Exit codes: 0 done, 1 refused, 2 wrong use, 3 credentials, 4 bucket,
    5 not found, 6 somebody else was first, 7 no answer, 8 no answer to the commit,
    9 a newer schema than this program knows.
    """


for _commands in SECTIONS.values():
    for _command in _commands:
        cli.add_command(_command)


def main() -> None:
    """Run the command; nothing that a user can cause shows a traceback."""
    try:
        cli.main(standalone_mode=False, prog_name="airflow-dag-publisher")
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except (click.Abort, KeyboardInterrupt):
        click.echo("airflow-dag-publisher: interrupted; what was live still is", err=True)
        os._exit(Exit.INTERRUPTED)  # threads that send files must not hold it back
