"""Whatever is sent, a proof holds or does not."""

import time

from hypothesis import given
from hypothesis import strategies as st

from scheduling.proofs import proven
from webhooks.signing import new_secret

SECRETS = [new_secret(), new_secret()]
# What servers make of a header's bytes.
VALUE = st.text(st.characters(max_codepoint=255), max_size=60)
NOW = st.sampled_from([str(int(time.time())), f"{time.time()}"])


@given(
    st.sampled_from(["standard", "sha256"]),
    st.fixed_dictionaries(
        {
            "webhook-id": VALUE,
            "webhook-timestamp": NOW | VALUE | st.sampled_from(["nan", "inf", "-1", "1e400"]),
            "webhook-signature": VALUE | VALUE.map("v1,".__add__) | st.just("v1,AAAA v1, v2,x v1,=="),
            "x-signature": VALUE | VALUE.map("sha256=".__add__),
        }
    ),
    st.binary(max_size=60),
)
def test_what_is_not_signed_is_nobodys(verification: str, headers: dict[str, str], body: bytes) -> None:
    assert proven(verification, "x-signature", SECRETS, headers, body) is None
