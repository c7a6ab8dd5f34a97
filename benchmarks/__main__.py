"""`make bench`: every measurement that needs only Python, one table each."""

from benchmarks import first_seen

if __name__ == "__main__":
    first_seen.main()
