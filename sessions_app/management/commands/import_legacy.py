"""`manage.py import_legacy --from URL`: takes the restaurants of an old installation and their numbers."""

from argparse import ArgumentParser

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from sessions_app.models.restaurants import validate_region
from sessions_app.services import legacy_import, legacy_source
from sessions_app.services.legacy_import import Outcome


class Command(BaseCommand):
    help = "Take the restaurants of an old installation and their numbers. Only reads there; running it again changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--from", dest="url", required=True, help="the old database: postgresql://user:password@host:port/name"
        )
        parser.add_argument("--table", default="restaurants", help="its table of restaurants (default restaurants)")
        parser.add_argument("--source", default="legacy", help="a name for the old installation, if there are several")
        parser.add_argument("--region", default="", help="where numbers without a country code are dialled, e.g. DE")
        parser.add_argument("--dry-run", action="store_true", help="say what would be taken, and take nothing")

    def handle(self, *, url: str, table: str, source: str, region: str, dry_run: bool, **_: object) -> None:
        _check(source, region)
        try:
            found = legacy_source.read(url=url, table=table)
        except legacy_source.LegacyUnreadable as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Read {len(found.rows)} rows of {found.name}: {', '.join(found.columns)}.")
        if not set(found.columns) & set(legacy_source.NUMBER):
            self.stdout.write(f"It has none of the columns {', '.join(legacy_source.NUMBER)}: no numbers are taken.")
        self._tell(legacy_import.take(rows=found.rows, source=source, region=region, dry_run=dry_run), dry_run)

    def _tell(self, outcome: Outcome, dry_run: bool) -> None:
        for key, why in outcome.skipped:
            self.stderr.write(f"Skipped restaurant {key}: {why}")
        self.stdout.write(
            f"Taken: {outcome.restaurants} restaurants, {outcome.sessions} numbers. "
            f"Unchanged: {outcome.unchanged}. Skipped: {len(outcome.skipped)}."
        )
        self.stdout.write("The old service's WhatsApp credentials are not taken: link each number by QR code (admin, Sessions).")
        if dry_run:
            self.stdout.write("A dry run: nothing was changed.")


def _check(source: str, region: str) -> None:
    if not source.isidentifier() or len(source) > 30:
        raise CommandError("--source is a name of letters, digits and _, at most 30 characters.")
    try:
        if region:
            validate_region(region)
    except ValidationError as error:
        raise CommandError(f"--region: {error.messages[0]}.") from error
