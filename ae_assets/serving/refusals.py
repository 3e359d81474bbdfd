"""Why a request as a whole is not answered: a status, and what its sender can do."""


class Refusal(Exception):  # noqa: N818 - what is refused is no error of the server
    """A request that is not answered.

    Attributes:
        status: of HTTP.
        reason: what was received, what was expected, what to do; nothing of the rows but names of columns.
        shed: where the server has too much to do: for want of what, as its metrics say it.
    """

    def __init__(self, status: int, reason: str, *, shed: str | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.shed = status, reason, shed

    @classmethod
    def busy(cls, what: str, shed: str) -> "Refusal":
        """One that may come again in a moment."""
        return cls(503, f"{what}; send it again in a moment", shed=shed)
