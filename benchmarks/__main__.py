"""`make bench`: every measurement, a table each; the last one starts the demo's stack."""

from benchmarks import first_seen, logout, status_lists

if __name__ == "__main__":
    for measured in (first_seen, status_lists, logout):
        measured.main()
        print(flush=True)
