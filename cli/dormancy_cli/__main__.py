"""`python -m dormancy_cli` is the same as `dormancy`."""

from dormancy_cli.main import main

if __name__ == "__main__":
    main()
