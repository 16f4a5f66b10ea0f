#!/usr/bin/env python3
"""`python3 manage.py up` runs everything on this machine; `python3 manage.py test` tests it. Both install what they need."""

import os
import sys

# This file must parse on any Python 3, so that an old one gets this sentence and not a SyntaxError.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("Restaurant WA needs Python 3.11 or newer; this is %d.%d. Try: python3.11 manage.py up" % sys.version_info[:2])  # noqa: UP031


def main() -> None:
    if os.environ.get("RESTAURANT_WA_NO_BOOTSTRAP") != "1":
        from restaurant_wa.local.bootstrap import prepare

        prepare(sys.argv)
    if sys.argv[1:2] == ["test"]:  # tests make their own databases, and never touch those of .env
        os.environ["RESTAURANT_WA_IGNORE_DOTENV"] = "1"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "restaurant_wa.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
