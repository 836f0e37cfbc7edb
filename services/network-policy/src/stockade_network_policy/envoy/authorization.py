"""`envoy.service.auth.v3.Authorization`: the one decision, asked by a mesh's own Envoy, for HTTP and for TCP.

Who asks is said by the Envoy's configuration (`context_extensions`), or by the client's certificate; a header of the
request never says it.
"""

from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.service.auth.v3 import external_auth_pb2 as pb
from envoy.service.auth.v3 import external_auth_pb2_grpc
from envoy.service.auth.v3.attribute_context_pb2 import AttributeContext
from envoy.type.v3 import http_status_pb2
from google.protobuf.struct_pb2 import Struct
from google.rpc import code_pb2, status_pb2
from stockade_audit import RecordUnavailable
from stockade_rpckit.identity import PrincipalKind, of_spiffe_id

from stockade_network_policy import refusals
from stockade_network_policy.domain.decision import Decision, Origin, Request, Verdict
from stockade_network_policy.gate import target
from stockade_network_policy.judgement import Judgement

AGENT, AGENT_TYPE, SANDBOX = "stockade-agent", "stockade-agent-type", "stockade-sandbox"
"""What an Envoy's `context_extensions` say of the sandbox that its listener or route serves."""

_STRIPPED = ("proxy-authorization", "x-stockade-lease")


class Authorization(external_auth_pb2_grpc.AuthorizationServicer):
    """Answers Envoy's ext_authz filters, `envoy.filters.http.ext_authz` and `envoy.filters.network.ext_authz`."""

    def __init__(self, judgement: Judgement, trust_domain: str) -> None:
        self._judgement = judgement
        self._trust_domain = trust_domain

    async def Check(self, request: pb.CheckRequest, _context: Any) -> pb.CheckResponse:
        """Part of Envoy's Authorization service. What cannot be judged or recorded is refused with 503."""
        asked = self._read(request.attributes)
        if asked is None:
            nameless = f"neither {AGENT} nor a certificate says which agent asks\n"
            return _denied(407, nameless.encode(), [_header("proxy-authenticate", "Stockade")])
        try:
            decision = await self._judgement.judge(asked)
        except RecordUnavailable as error:
            return _denied(503, f"{error}\n".encode(), [])
        return _allowed(asked, decision) if decision.verdict is Verdict.ALLOW else _refused(decision)

    def _read(self, attributes: AttributeContext) -> Request | None:
        """The question that Envoy asks; None where nobody says whose it is."""
        whose = self._whose(attributes)
        if whose is None:
            return None
        if attributes.request.HasField("http"):
            return _http(attributes.request.http, whose)
        return _tcp(attributes, whose)

    def _whose(self, attributes: AttributeContext) -> dict[str, Any] | None:
        said = attributes.context_extensions
        if said.get(AGENT):
            return {"agent": said[AGENT], "agent_type": said.get(AGENT_TYPE, ""), "sandbox": said.get(SANDBOX, "")}
        try:
            _, holder = of_spiffe_id(attributes.source.principal, self._trust_domain)
        except ValueError:
            return None
        is_agent = holder.kind is PrincipalKind.AGENT
        return {"agent": holder.name, "agent_type": holder.agent_type} if is_agent else None


def _http(http: AttributeContext.HttpRequest, whose: dict[str, Any]) -> Request:
    host, port, malformed = target.read(http.method, "", http.host)
    if http.scheme == "https" and http.method != "CONNECT" and not target.split(http.host)[1]:
        port = 443  # a gateway that speaks TLS onward: it does not leave in clear text
    return Request(
        **whose,
        host=host,
        port=port,
        malformed=malformed,
        method=http.method,
        scheme=http.scheme,
        path=http.path,
        lease=http.headers.get("x-stockade-lease", ""),
        traceparent=http.headers.get("traceparent", ""),
        origin=Origin.GATE,
    )


def _tcp(attributes: AttributeContext, whose: dict[str, Any]) -> Request:
    """A connection: by the name its TLS asks for, else by the address it goes to."""
    address = attributes.destination.address.socket_address
    host = attributes.tls_session.sni or address.address
    return Request(**whose, host=host, port=address.port_value, method="TCP", origin=Origin.GATE)


def _allowed(asked: Request, decision: Decision) -> pb.CheckResponse:
    metadata = Struct()
    metadata.update({"decision": decision.decision_id, "agent": asked.agent, "sandbox": asked.sandbox})
    return pb.CheckResponse(
        status=status_pb2.Status(code=code_pb2.OK),
        ok_response=pb.OkHttpResponse(
            headers=[_header("x-stockade-decision", decision.decision_id)], headers_to_remove=_STRIPPED
        ),
        dynamic_metadata=metadata,
    )


def _refused(decision: Decision) -> pb.CheckResponse:
    return _denied(
        refusals.status(decision),
        refusals.body(decision),
        [_header(name, value) for name, value in refusals.headers(decision).items()],
    )


def _denied(status: int, body: bytes, headers: list[base_pb2.HeaderValueOption]) -> pb.CheckResponse:
    return pb.CheckResponse(
        status=status_pb2.Status(code=code_pb2.PERMISSION_DENIED),
        denied_response=pb.DeniedHttpResponse(
            status=http_status_pb2.HttpStatus(code=status), headers=headers, body=body.decode()
        ),
    )


def _header(name: str, value: str) -> base_pb2.HeaderValueOption:
    return base_pb2.HeaderValueOption(header=base_pb2.HeaderValue(key=name, value=value))
