"""How fast: ratios taken in one run on one machine. `make bench` prints the table; `docs/performance.md` reads it."""
