"""Imported first by every way that runs in prefdata's environment: the process is set up as that of the `prefdata` command."""

from prefdata.cli import bulk

bulk.set_up()
