"""Who may use the server over HTTP: a file of tokens, each of one agent."""

import hashlib
from pathlib import Path

from mcp.server.auth.provider import AccessToken

from stockade_cli.errors import CommandFailed, Exit

MIN_LENGTH = 32
_OTHERS = 0o077


class Tokens:
    """Knows the tokens of a file by their hashes. A caller with one acts as the agent that stands beside it."""

    def __init__(self, file: Path) -> None:
        """Reads lines of "TOKEN AGENT [AGENT_TYPE]"; '#' begins a comment. Raises CommandFailed."""
        if file.stat().st_mode & _OTHERS:
            raise CommandFailed(f"others may read the tokens in {file}; mend it with: chmod 600 {file}", Exit.USAGE)
        self._known: dict[str, dict[str, str]] = {}
        for number, line in enumerate(file.read_text().splitlines(), 1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            if len(words) not in (2, 3) or len(words[0]) < MIN_LENGTH:
                want = f"TOKEN AGENT [AGENT_TYPE], with a token of at least {MIN_LENGTH} characters"
                raise CommandFailed(f"{file}, line {number}: write {want}, e.g. from: openssl rand -hex 32", Exit.USAGE)
            self._known[_hash(words[0])] = {"agent": words[1], "agent_type": words[2] if words[2:] else "default"}
        if not self._known:
            raise CommandFailed(f"{file} has no token, so nobody could use the server", Exit.USAGE)

    async def verify_token(self, token: str) -> AccessToken | None:
        """The protocol of `mcp.server.auth.provider.TokenVerifier`; the hash makes the look-up's time say nothing."""
        known = _hash(token)
        agent = self._known.get(known)
        if agent is None:
            return None
        return AccessToken(token=token, client_id=known[:16], scopes=[], claims=dict(agent))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
