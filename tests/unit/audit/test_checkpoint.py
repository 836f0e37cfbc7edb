"""Keys, signed notes and checkpoints, against the forms and vectors of their specifications."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from stockade_audit import AuditError, verify
from stockade_audit.checkpoint import Checkpoint, open_note, sign_note
from stockade_audit.keys import SigningKey, VerifierKey

# https://pkg.go.dev/golang.org/x/mod/sumdb/note, its example.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NOTE = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)

# RFC 8032 §7.1: (public key, message, signature) of tests 1, 2, 3.
RFC8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe"
        "24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302a"
        "eeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed2"
        "8dc027beceea1ec40a",
    ),
]


def test_a_note_of_the_reference_opens() -> None:
    assert open_note(NOTE.encode(), VerifierKey.parse(PETER)).startswith("If you think")
    verify.check_signature(NOTE.encode(), verify.parse_key(PETER))


@pytest.mark.parametrize("change", [("answer", "question"), ("— PeterNeumann", "— PeterNewman"), ("x08go", "x08gp")])
def test_a_changed_note_does_not(change: tuple[str, str]) -> None:
    with pytest.raises(AuditError, match="not signed by PeterNeumann"):
        open_note(NOTE.replace(*change).encode(), VerifierKey.parse(PETER))
    with pytest.raises(verify.Wrong):
        verify.check_signature(NOTE.replace(*change).encode(), verify.parse_key(PETER))


@pytest.mark.parametrize("text", ["", "a+b", "x+00000000+AAAA", PETER.replace("c74f", "c74e"), PETER[:-8]])
def test_what_is_no_verifier_key_is_said_to_be_none(text: str) -> None:
    with pytest.raises(AuditError):
        VerifierKey.parse(text)
    with pytest.raises((verify.Wrong, ValueError)):
        verify.parse_key(text)


@pytest.mark.parametrize(("key", "message", "signature"), RFC8032)
def test_the_verifier_keeps_to_rfc_8032(key: str, message: str, signature: str) -> None:
    public, text, signed = bytes.fromhex(key), bytes.fromhex(message), bytes.fromhex(signature)
    assert verify.ed25519_verifies(public, signed, text)
    assert not verify.ed25519_verifies(public, signed, text + b"!")
    order = int.from_bytes(signed[32:], "little") + verify.L
    assert not verify.ed25519_verifies(public, signed[:32] + order.to_bytes(32, "little"), text)


@given(st.binary(max_size=50), st.integers(0, 63), st.integers(0, 7))
def test_the_verifier_agrees_with_a_library(message: bytes, byte: int, bit: int) -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    assert verify.ed25519_verifies(public, signature, message)
    flipped = bytearray(signature)
    flipped[byte] ^= 1 << bit
    assert not verify.ed25519_verifies(public, bytes(flipped), message)


def test_a_checkpoint_has_the_c2sp_form(tmp_path: Path) -> None:
    key = SigningKey.load_or_create(tmp_path / "k.key", "example.com/log")
    checkpoint = Checkpoint("example.com/log", 7, bytes(range(32)))
    note = sign_note(checkpoint.text, key)
    lines = note.decode().split("\n")
    assert lines[:4] == ["example.com/log", "7", base64.b64encode(bytes(range(32))).decode(), ""]
    assert lines[4].startswith("— example.com/log ")
    assert Checkpoint.parse(open_note(note, key.verifier)) == checkpoint


def test_a_key_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "k.key"
    first = SigningKey.load_or_create(path, "n")
    assert path.stat().st_mode & 0o777 == 0o600
    assert SigningKey.load_or_create(path, "n").verifier == first.verifier
    assert VerifierKey.parse(path.with_suffix(".pub").read_text()) == first.verifier
    path.chmod(0o640)
    with pytest.raises(AuditError, match="chmod 600"):
        SigningKey.load_or_create(path, "n")
