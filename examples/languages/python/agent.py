"""Asks which hosts it may reach: agent.py HOST..."""

import sys

import grpc
from stockade.networkpolicy.v1 import decision_service_pb2, decision_service_pb2_grpc

with grpc.insecure_channel("unix:/run/stockade/api.sock") as channel:
    decisions = decision_service_pb2_grpc.DecisionServiceStub(channel)
    for host in sys.argv[1:]:
        asked = decision_service_pb2.RequestToCheck(host=host, port=443)
        answer = decisions.CheckRequest(decision_service_pb2.CheckRequestRequest(request=asked))
        verdict = decision_service_pb2.Verdict.Name(answer.decision.verdict).removeprefix("VERDICT_")
        print(host, verdict, answer.decision.rule)
