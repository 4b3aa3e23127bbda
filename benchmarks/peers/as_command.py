"""Imported first by every way that runs in prefdata's environment: the process keeps its memory, as the `prefdata` command's does."""

from prefdata.cli.memory import keep_memory

keep_memory()
