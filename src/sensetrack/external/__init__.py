"""Find, run, watch and end other programs; the only room that starts a process.

`find_program` looks where a program may be; `run_program` runs it with a list of arguments (never through a shell),
keeps what it says in a file, and ends it with everything it started when time is up or the user has had enough;
`require_output` looks whether what it was to write is there.
"""

from sensetrack.external.find import find_program
from sensetrack.external.outputs import require_output
from sensetrack.external.run import Finished, run_program

__all__ = ["Finished", "find_program", "require_output", "run_program"]
