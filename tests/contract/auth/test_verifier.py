from __future__ import annotations

import base64
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from libs.auth.errors import KeysUnavailableError, TokenInvalidError
from libs.auth.verifier import PROBLEMS, TokenVerifier
from libs.issuer.keys import make_keys
from tests.contract.auth.tokens import OTHER_TENANT, TENANT, ManualClock, ScriptedIssuer

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR = 3600


async def problem_of(verifier: TokenVerifier, token: str) -> str:
    with pytest.raises(TokenInvalidError) as caught:
        await verifier.verify(token)
    assert "canary" not in caught.value.message
    assert token not in caught.value.message
    return caught.value.metadata["problem"]


async def test_a_good_token_tells_who_calls(issuer: ScriptedIssuer) -> None:
    async with TokenVerifier(issuer.settings()) as verifier:
        caller = await verifier.verify(issuer.sign(scope="leo.events.write openid"))
    assert caller.subject == "0b0b0b0b-canary"
    assert caller.client_id == "crm"
    assert caller.tenant_id == TENANT
    assert caller.scopes == {"leo.events.write", "openid"}
    assert not caller.internal


async def test_a_token_as_rfc_9068_words_it_is_taken(issuer: ScriptedIssuer) -> None:
    token = issuer.sign(header={"typ": "at+JWT"}, typ=None, azp=None, client_id="crm")
    async with TokenVerifier(issuer.settings()) as verifier:
        assert (await verifier.verify(token)).client_id == "crm"


def now() -> int:
    return int(time.time())


REFUSED: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "no exp": (lambda: {"exp": None}, "expiry"),
    "no iat": (lambda: {"iat": None}, "expiry"),
    "exp is text": (lambda: {"exp": "tomorrow"}, "expiry"),
    "exp is true": (lambda: {"exp": True}, "expiry"),
    "exp huge": (lambda: {"exp": 1e300}, "lifetime"),
    "exp beyond the cap": (lambda: {"exp": now() + HOUR + 60}, "lifetime"),
    "issued later": (lambda: {"iat": now() + 200, "exp": now() + 400}, "not_yet_valid"),
    "not before later": (lambda: {"nbf": now() + 200}, "not_yet_valid"),
    "not before is text": (lambda: {"nbf": "soon"}, "not_yet_valid"),
    "expired": (lambda: {"iat": now() - 300, "exp": now() - 11}, "expired"),
    "ID token": (lambda: {"typ": "ID"}, "type"),
    "refresh token": (lambda: {"typ": "Refresh"}, "type"),
    "untyped": (lambda: {"typ": None}, "type"),
    "unknown client": (lambda: {"azp": "stranger"}, "authorized_party"),
    "no client": (lambda: {"azp": None}, "authorized_party"),
    "no aud": (lambda: {"aud": None}, "audience"),
    "another aud": (lambda: {"aud": ["account"]}, "audience"),
    "aud as a part": (lambda: {"aud": "leo-activation-2"}, "audience"),
    "another iss": (lambda: {"iss": "http://issuer.test/realms/leo/"}, "issuer"),
    "no iss": (lambda: {"iss": None}, "issuer"),
    "no sub": (lambda: {"sub": None}, "subject"),
    "empty sub": (lambda: {"sub": ""}, "subject"),
    "scope is a list": (lambda: {"scope": ["leo.internal"]}, "malformed"),
    "tenant is a name": (lambda: {"tenant_id": "canary"}, "tenant"),
    "tenant is a list": (lambda: {"tenant_id": [str(TENANT)]}, "tenant"),
    "tenant is empty": (lambda: {"tenant_id": ""}, "tenant"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_signed_token_is_refused_for_its_claims(issuer: ScriptedIssuer, name: str) -> None:
    changes, problem = REFUSED[name]
    async with TokenVerifier(issuer.settings()) as verifier:
        assert await problem_of(verifier, issuer.sign(**changes())) == problem


async def test_a_clock_that_is_a_little_off_is_forgiven(issuer: ScriptedIssuer) -> None:
    async with TokenVerifier(issuer.settings()) as verifier:
        await verifier.verify(issuer.sign(iat=now() + 5))
        await verifier.verify(issuer.sign(iat=now() - 60, exp=now() - 5))


async def test_any_client_of_the_issuer_may_call_where_no_list_is_set(
    issuer: ScriptedIssuer,
) -> None:
    async with TokenVerifier(issuer.settings(authorized_parties=None)) as verifier:
        assert (await verifier.verify(issuer.sign(azp="stranger"))).client_id == "stranger"
        assert await problem_of(verifier, issuer.sign(azp=None)) == "authorized_party"


async def test_a_changed_token_does_not_fit_its_signature(issuer: ScriptedIssuer) -> None:
    head, body, signature = issuer.sign().split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["tenant_id"] = str(OTHER_TENANT)
    changed = _encode(claims)
    async with TokenVerifier(issuer.settings()) as verifier:
        assert await problem_of(verifier, f"{head}.{changed}.{signature}") == "signature"


async def test_an_unsigned_token_is_refused(issuer: ScriptedIssuer) -> None:
    signed = issuer.sign().split(".")
    head = _encode({"alg": "none", "typ": "JWT", "kid": issuer.keys.signing.kid})
    async with TokenVerifier(issuer.settings()) as verifier:
        token = f"{head}.{signed[1]}."
        assert await problem_of(verifier, token) == "algorithm"


async def test_the_public_key_is_no_shared_secret(issuer: ScriptedIssuer) -> None:
    # By hand, because joserfc refuses to do it.
    head = _encode({"alg": "HS256", "typ": "JWT", "kid": issuer.keys.signing.kid})
    signed = f"{head}.{issuer.sign().split('.')[1]}"
    public_key = issuer.keys.signing.as_pem(private=False)
    digest = hmac.digest(public_key, signed.encode(), "sha256")
    token = f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
    async with TokenVerifier(issuer.settings()) as verifier:
        assert await problem_of(verifier, token) == "algorithm"


async def test_the_encryption_key_of_the_issuer_signs_nothing(issuer: ScriptedIssuer) -> None:
    encryption = issuer.keys.encryption.as_dict(private=True)
    signer = RSAKey.import_key({**encryption, "use": "sig", "alg": "RS256"})
    token = issuer.sign(key=signer, header={"kid": encryption["kid"]})
    async with TokenVerifier(issuer.settings()) as verifier:
        assert await problem_of(verifier, token) == "key_unknown"


async def test_a_key_signs_only_with_its_own_algorithm(issuer: ScriptedIssuer) -> None:
    signer = issuer.keys.signing.as_dict(private=True)
    del signer["alg"]
    token = issuer.sign(key=RSAKey.import_key(signer), header={"alg": "PS256"})
    async with TokenVerifier(issuer.settings()) as verifier:
        assert await problem_of(verifier, token) == "signature"


@pytest.mark.filterwarnings("ignore:Key size should be")
async def test_a_weak_key_and_a_shared_one_are_left_out(issuer: ScriptedIssuer) -> None:
    weak = RSAKey.generate_key(1024, {"use": "sig"}, auto_kid=True)
    unreadable = {"kty": "RSA", "kid": "x", "use": "sig", "n": "", "e": "AQAB"}
    shared = OctKey.generate_key(256, {"use": "sig"}, auto_kid=True)
    issuer.extra_keys = [weak.as_dict(private=False), shared.as_dict(), {"kid": 1}, unreadable]
    async with TokenVerifier(issuer.settings()) as verifier:
        assert await problem_of(verifier, issuer.sign(key=weak)) == "key_unknown"
        await verifier.verify(issuer.sign())


async def test_an_elliptic_curve_key_signs(issuer: ScriptedIssuer) -> None:
    key = ECKey.generate_key("P-256", {"use": "sig"}, auto_kid=True)
    issuer.extra_keys = [key.as_dict(private=False)]
    token = issuer.sign(key=key, header={"alg": "ES256"})  # type: ignore[arg-type]
    async with TokenVerifier(issuer.settings()) as verifier:
        assert (await verifier.verify(token)).client_id == "crm"


@pytest.mark.parametrize(
    "token",
    ["x", "..", "a.b.c", "é.é.é", "eyJhbGciOiJSUzI1NiJ9.e30.x.y", "W10.e30.x", "bnVsbA.e30.x"],
)
async def test_what_is_no_token_is_malformed(issuer: ScriptedIssuer, token: str) -> None:
    async with TokenVerifier(issuer.settings()) as verifier:
        assert await problem_of(verifier, token) == "malformed"
    assert issuer.fetch_count == 0


@pytest.mark.parametrize("payload", [b"", b"canary", b"[]", b'"canary"', b"\xff"])
async def test_a_signed_text_that_is_no_object_is_malformed(
    issuer: ScriptedIssuer, payload: bytes
) -> None:
    key = issuer.keys.signing
    token = jws.serialize_compact({"alg": "RS256", "kid": key.kid}, payload, key)
    async with TokenVerifier(issuer.settings()) as verifier:
        assert await problem_of(verifier, token) == "malformed"


async def test_an_oversize_token_is_not_even_read(issuer: ScriptedIssuer) -> None:
    async with TokenVerifier(issuer.settings(token_bytes_max=2000)) as verifier:
        assert await problem_of(verifier, issuer.sign(padding="x" * 3000)) == "too_long"
    assert issuer.fetch_count == 0


async def test_a_token_without_key_id_is_refused(issuer: ScriptedIssuer) -> None:
    async with TokenVerifier(issuer.settings()) as verifier:
        header = {"alg": "RS256"}
        token = jwt.encode(header, {"sub": "x"}, issuer.keys.signing)
        assert await problem_of(verifier, token) == "key_unknown"


class TestRemembering:
    async def test_a_remembered_token_ends_with_its_expiry(self, issuer: ScriptedIssuer) -> None:
        clock = ManualClock()
        async with TokenVerifier(issuer.settings(), clock=clock) as verifier:
            token = issuer.sign()
            first = await verifier.verify(token)
            assert await verifier.verify(token) is first
            clock.now += 311
            assert await problem_of(verifier, token) == "expired"

    async def test_no_more_than_the_limit_is_remembered(self, issuer: ScriptedIssuer) -> None:
        settings = issuer.settings(verified_token_count_max=2)
        async with TokenVerifier(settings) as verifier:
            tokens = [issuer.sign(jti=str(number)) for number in range(3)]
            callers = [await verifier.verify(token) for token in tokens]
            assert await verifier.verify(tokens[2]) is callers[2]
            assert await verifier.verify(tokens[1]) is callers[1]
            assert await verifier.verify(tokens[0]) is not callers[0]

    async def test_a_refused_token_is_not_remembered(self, issuer: ScriptedIssuer) -> None:
        clock = ManualClock()
        async with TokenVerifier(issuer.settings(), clock=clock) as verifier:
            token = issuer.sign(nbf=now() + 100)
            assert await problem_of(verifier, token) == "not_yet_valid"
            clock.now += 100
            await verifier.verify(token)


class TestKeys:
    async def test_keys_are_fetched_once(self, issuer: ScriptedIssuer) -> None:
        async with TokenVerifier(issuer.settings()) as verifier:
            for number in range(3):
                await verifier.verify(issuer.sign(jti=str(number)))
        assert issuer.fetch_count == 1

    async def test_strangers_make_us_fetch_at_most_every_thirty_seconds(
        self, issuer: ScriptedIssuer
    ) -> None:
        monotonic = ManualClock()
        stranger = make_keys().signing
        async with TokenVerifier(issuer.settings(), monotonic=monotonic) as verifier:
            await verifier.verify(issuer.sign())
            for _ in range(3):
                assert await problem_of(verifier, issuer.sign(key=stranger)) == "key_unknown"
            assert issuer.fetch_count == 1
            monotonic.now += 30
            for _ in range(3):
                assert await problem_of(verifier, issuer.sign(key=stranger)) == "key_unknown"
            assert issuer.fetch_count == 2

    async def test_a_new_key_is_found(self, issuer: ScriptedIssuer) -> None:
        monotonic = ManualClock()
        async with TokenVerifier(issuer.settings(), monotonic=monotonic) as verifier:
            await verifier.verify(issuer.sign())
            issuer.rotate()
            monotonic.now += 30
            await verifier.verify(issuer.sign())
        assert issuer.fetch_count == 2

    async def test_a_withdrawn_key_ends_its_remembered_tokens(self, issuer: ScriptedIssuer) -> None:
        monotonic = ManualClock()
        async with TokenVerifier(issuer.settings(), monotonic=monotonic) as verifier:
            old = issuer.sign()
            await verifier.verify(old)
            issuer.rotate()
            monotonic.now += 30
            await verifier.verify(issuer.sign())
            assert await problem_of(verifier, old) == "key_unknown"

    async def test_old_keys_are_renewed_behind_the_scenes(self, issuer: ScriptedIssuer) -> None:
        monotonic = ManualClock()
        async with TokenVerifier(issuer.settings(), monotonic=monotonic) as verifier:
            old = issuer.sign()
            caller = await verifier.verify(old)
            issuer.rotate()
            monotonic.now += 601
            assert await verifier.verify(old) is caller
            renewal = verifier._keys._renewal
            assert renewal is not None
            await renewal
            assert await problem_of(verifier, old) == "key_unknown"

    async def test_a_failed_fetch_keeps_the_keys(self, issuer: ScriptedIssuer) -> None:
        monotonic = ManualClock()
        stranger = make_keys().signing
        async with TokenVerifier(issuer.settings(), monotonic=monotonic) as verifier:
            await verifier.verify(issuer.sign())
            issuer.failing = True
            monotonic.now += 601
            assert await problem_of(verifier, issuer.sign(key=stranger)) == "key_unknown"
            assert issuer.fetch_count == 2
            await verifier.verify(issuer.sign(jti="2"))

    async def test_without_any_key_we_say_that_it_is_our_fault(
        self, issuer: ScriptedIssuer
    ) -> None:
        monotonic = ManualClock()
        issuer.failing = True
        async with TokenVerifier(issuer.settings(), monotonic=monotonic) as verifier:
            for _ in range(3):
                with pytest.raises(KeysUnavailableError):
                    await verifier.verify(issuer.sign())
            assert issuer.fetch_count == 1
            issuer.failing = False
            monotonic.now += 1
            await verifier.ready()
            await verifier.verify(issuer.sign())

    async def test_an_unreachable_issuer_is_no_bad_token(self, issuer: ScriptedIssuer) -> None:
        settings = issuer.settings(jwks_url="http://127.0.0.1:1/certs")
        async with TokenVerifier(settings) as verifier:
            with pytest.raises(KeysUnavailableError):
                await verifier.verify(issuer.sign())

    @pytest.mark.parametrize("document", [[], {}, {"keys": {}}, {"keys": []}])
    async def test_what_is_no_key_set_is_a_failed_fetch(
        self, issuer: ScriptedIssuer, document: Any
    ) -> None:
        issuer.document = document
        async with TokenVerifier(issuer.settings()) as verifier:
            with pytest.raises(KeysUnavailableError):
                await verifier.ready()


def _encode(document: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def test_every_problem_has_a_test() -> None:
    """A word that is never seen here is either dead or untested."""
    seen = {problem for _, problem in REFUSED.values()}
    seen |= {"algorithm", "key_unknown", "malformed", "signature", "too_long"}
    assert set(PROBLEMS) == seen
