"""Verbs that have verbs: their help in whole sentences, and the nearest word for one that is not there."""

from __future__ import annotations

import click


class Group(click.Group):
    """click cuts the lines of its help off, and says less of an unknown word."""

    def lines(self, ctx: click.Context) -> list[tuple[str, str]]:
        """Each verb with its first sentence."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        return [(name, verb.get_short_help_str(limit=1000)) for name, verb in found if verb and not verb.hidden]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(self.lines(ctx))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], known, 1)
            hint = f" Did you mean {near[0]!r}?" if near else f" `{ctx.command_path} --help` lists them."
            raise click.UsageError(f"No such verb {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)
