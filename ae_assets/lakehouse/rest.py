"""pyiceberg's REST catalog with timeouts: by itself it waits without end for a server that is silent."""

from functools import partial

import requests
from pyiceberg.catalog.rest import RestCatalog

_SECONDS = (10, 120)
"""To connect, and without a byte of an answer: a commit may take a server long."""


class RestCatalogWithTimeouts(RestCatalog):
    """Gives up a request that is not answered; those who asked try again."""

    def _config_headers(self, session: requests.Session) -> None:
        # The first thing that pyiceberg does with a new session, before the request for a token.
        session.request = partial(session.request, timeout=_SECONDS)  # type: ignore[method-assign]
        super()._config_headers(session)
