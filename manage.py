#!/usr/bin/env python
import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opensoar.settings")
    if sys.argv[1:2] == ["up"]:  # what watches over the product needs no Django, which would double its start
        from opensoar.supervisor.main import main

        sys.exit(main(sys.argv[2:]))
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
