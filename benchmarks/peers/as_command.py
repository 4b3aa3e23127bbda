"""Imported first by prefdata's ways and the floors: their process is set up as that of the `prefdata` command. Peers run as Python starts
them."""

from prefdata.cli import bulk

bulk.set_up()
