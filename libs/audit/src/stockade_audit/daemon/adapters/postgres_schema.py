"""The tables in PostgreSQL, and the steps that lead from one version of them to the next and back.

Everything lies in the schema `stockade_audit`; each row says by `node` whose machine it is of, so that a fleet can
share one database. The daemon's role needs SELECT and INSERT on `entries` and `heads`, and UPDATE on `journals` alone.
Who signs the fleet's head needs SELECT on all, INSERT on `fleet_heads`, and INSERT and UPDATE on `fleet_members`.
"""

from typing import Final

from stockade_rpckit.migrations import Schema, Step

# The database itself holds each leaf to its hash: what was not computed from it cannot be stored beside it.
_COPIES: Final = Step(
    forward=r"""
CREATE TABLE stockade_audit.journals (
    node text NOT NULL, slot text NOT NULL, size bigint NOT NULL, edge bytea NOT NULL,
    PRIMARY KEY (node, slot)
);
CREATE TABLE stockade_audit.entries (
    node text NOT NULL, slot text NOT NULL, position bigint NOT NULL, hash bytea NOT NULL, leaf bytea NOT NULL,
    time timestamptz NOT NULL, id text NOT NULL, service text NOT NULL, action text NOT NULL, agent_type text NOT NULL,
    domain text NOT NULL, reason text NOT NULL, rule text NOT NULL, status text NOT NULL, trace_id text NOT NULL,
    PRIMARY KEY (node, slot, position),
    CHECK (hash = sha256('\x00'::bytea || leaf))
);
CREATE INDEX entries_time ON stockade_audit.entries (time);
CREATE INDEX entries_action ON stockade_audit.entries (action, time);
CREATE INDEX entries_id ON stockade_audit.entries (id);
CREATE INDEX entries_domain ON stockade_audit.entries (domain, time) WHERE domain <> '';
CREATE INDEX entries_trace ON stockade_audit.entries (trace_id) WHERE trace_id <> '';
""",
    back="DROP TABLE stockade_audit.entries, stockade_audit.journals;",
)
_HEADS: Final = Step(
    forward="""
CREATE TABLE stockade_audit.witness_keys (origin text PRIMARY KEY, key text NOT NULL);
CREATE TABLE stockade_audit.heads (
    origin text NOT NULL REFERENCES stockade_audit.witness_keys, sequence bigint NOT NULL, note bytea NOT NULL,
    kept_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (origin, sequence)
);
""",
    back="DROP TABLE stockade_audit.heads, stockade_audit.witness_keys;",
)
_FLEET: Final = Step(
    forward="""
CREATE TABLE stockade_audit.fleet_heads (
    sequence bigint PRIMARY KEY, note bytea NOT NULL, kept_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE stockade_audit.fleet_members (origin text PRIMARY KEY, leaf bytea NOT NULL);
""",
    back="DROP TABLE stockade_audit.fleet_heads, stockade_audit.fleet_members;",
)
SCHEMA: Final = Schema("stockade_audit", "stockade-auditd migrate", (_COPIES, _HEADS, _FLEET))
