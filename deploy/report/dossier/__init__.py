"""One archive of all that speaks for a net, with a check that a reviewer runs: `archive` makes it, `recheck` is that
check, `samples` what both know of the recorded samples."""
