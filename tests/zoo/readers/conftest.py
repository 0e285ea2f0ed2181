"""What the tests of readers share."""

import pytest

from artifacts.errors import RequestError


@pytest.fixture
def refused():
    """Calls what must be refused in one sentence that has these words."""

    def check(call, *words):
        with pytest.raises(RequestError) as caught:
            call()
        text = str(caught.value)
        assert "\n" not in text
        assert [word for word in words if word not in text] == [], text
        return text

    return check
