"""`python -m cluscomp` is the command `cluscomp`."""

from cluscomp.cli.main import run

if __name__ == "__main__":
    run()
