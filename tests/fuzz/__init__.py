"""Damaged files in large numbers: whatever is in a file, a reader gives what it means or says in one line what is
wrong, within memory and time that the file's size accounts for. `make fuzz N=1000`, or `python -m fuzz` with tests/ on
the path.

`seeds` has sound files of every kind, `mutate` damages them (a mutant is given by kind, seed and number, whatever was
run before), `targets` reads them, `server` runs many in a forked process with limits and finds what went wrong.
"""
