"""`python -m delivery.simulator --dir DIR`: the simulator without Django."""

import argparse
import sys

from delivery.simulator.foreground import add_arguments, run

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="simulator", description="Mail servers and DNS of an outside world, on loopback."
    )
    add_arguments(parser)
    try:
        run(**vars(parser.parse_args()))
    except (ValueError, OSError) as error:
        sys.exit(f"simulator: {error}")
