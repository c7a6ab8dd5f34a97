"""How often something may be done that strangers can ask for. Pure; the time is given."""


class TokenBucket:
    """Holds a few permits, and gains one each ``refill_seconds`` until it is full again.

    In any span of S seconds it grants at most ``capacity + S / refill_seconds`` permits, rounded down, however often
    it is asked. An asking that is refused costs nothing.

    Args:
        capacity: permits that it holds when full, which it is at first; 1 or more.
        refill_seconds: for one permit; above 0.
    """

    def __init__(self, capacity: int, refill_seconds: float) -> None:
        if capacity < 1 or not refill_seconds > 0:
            raise ValueError("capacity >= 1 and refill_seconds > 0 must hold")
        self.capacity = capacity
        self.refill_seconds = refill_seconds
        self._full_at: float | None = None

    def take(self, uptime: float) -> bool:
        """One permit, if there is one.

        Args:
            uptime: seconds by a clock that nobody can set. One that went back all the same adds nothing.
        """
        # What is missing is kept as the moment at which nothing would be: one number, and no sum that drifts.
        full_at = uptime if self._full_at is None else max(uptime, self._full_at)
        if full_at + self.refill_seconds - uptime > self.capacity * self.refill_seconds:
            return False
        self._full_at = full_at + self.refill_seconds
        return True
