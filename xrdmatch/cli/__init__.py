"""The command line: parse, call, print, exit code. `app` is all of it; workers import `pool` alone, without the parser of options."""
