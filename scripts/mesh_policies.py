"""Writes deploy/istio/callers.yaml: which RPCs pass on each port of a mesh, from the contract's `callers`.

A port stands for a kind of principal. The sidecar hands it on to the socket in that kind's directory, so that the
service knows who calls, as on one machine; Istio lets in who holds that kind's account, to the RPCs of that kind. Nodes
have a SPIFFE id each, and their port leads to the socket on which the service reads it from what the sidecar says.
"""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from google.protobuf import descriptor_pool
from stockade.options.v1 import options_pb2
from stockade_rpckit.identity import rights

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "deploy/istio/callers.yaml"
NOTICE = "# Generated from the contract by `make gen`.\n"


@dataclass(frozen=True)
class Door:
    """A port of a pod: whose it is, and the service that answers there.

    `kind` is one of `identity.SPIFFE_KINDS`, `principal` who that is to Istio, without the trust domain.
    """

    app: str
    port: int
    kind: str
    package: str
    principal: str

    @property
    def name(self) -> str:
        """Of its AuthorizationPolicy."""
        return f"{self.app}-{self.port}"


DOORS = (
    Door("cache", 9443, "service", "embeddingcache", "ns/stockade/sa/cache-client"),
    Door("cache", 9444, "operator", "embeddingcache", "ns/stockade/sa/operator"),
    Door("cache", 9445, "auditor", "audit", "ns/stockade/sa/auditor"),
    Door("cache", 9446, "node", "embeddingcache", "node/*"),
    Door("policy", 9445, "auditor", "audit", "ns/stockade/sa/auditor"),
    Door("policy", 9446, "node", "networkpolicy", "node/*"),
)


def main() -> None:
    TARGET.write_text(NOTICE + yaml.safe_dump_all(map(policy, DOORS), sort_keys=False, width=120))


def policy(door: Door) -> dict[str, object]:
    """The AuthorizationPolicy of a door."""
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": door.name, "namespace": "stockade"},
        "spec": {
            "selector": {"matchLabels": {"app": door.app}},
            "action": "ALLOW",
            "rules": [
                {
                    "from": [{"source": {"principals": [f"cluster.local/{door.principal}"]}}],
                    "to": [{"operation": {"ports": [str(door.port)], "paths": sorted(paths(door))}}],
                }
            ],
        },
    }


def paths(door: Door) -> Iterator[str]:
    """The RPCs of a package that this kind of principal may call, as gRPC has them in a path."""
    for file in sorted((ROOT / f"protos/stockade/{door.package}/v1").glob("*.proto")):
        name = file.relative_to(ROOT / "protos").as_posix()
        importlib.import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
        for service in descriptor_pool.Default().FindFileByName(name).services_by_name.values():
            for method in service.methods:
                if rights(door.kind) & set(method.GetOptions().Extensions[options_pb2.callers]):
                    yield f"/{service.full_name}/{method.name}"


if __name__ == "__main__":
    main()
