package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/metadata"
	auditpb "stockade.dev/client/stockade/audit/v1"
	pb "stockade.dev/client/stockade/networkpolicy/v1"
	sandboxpb "stockade.dev/client/stockade/sandbox/v1"
)

func (s *session) decisions() pb.DecisionServiceClient {
	return pb.NewDecisionServiceClient(s.channels["policy"])
}

func (s *session) decide(ctx context.Context, with given) (*pb.Decision, error) {
	request := &pb.RequestToCheck{Agent: with.Agent, AgentType: with.AgentType, Host: with.Host, Port: with.Port}
	answer, err := s.decisions().CheckRequest(ctx, &pb.CheckRequestRequest{Request: request})
	return answer.GetDecision(), err
}

// check asks for one request as often as said; tells the last decision.
func check(ctx context.Context, s *session, with given) (result, error) {
	var decision *pb.Decision
	for range max(with.Times, 1) {
		var err error
		if decision, err = s.decide(ctx, with); err != nil {
			return nil, err
		}
	}
	return result{
		"verdict":     decision.Verdict.String(),
		"rule":        decision.Rule,
		"host":        decision.CanonicalHost,
		"named":       decision.DecisionId != "",
		"retry_after": decision.RetryAfter.AsDuration() > 0,
	}, nil
}

// record says twice how an allowed request ended, and reads it back.
func record(ctx context.Context, s *session, with given) (result, error) {
	decision, err := s.decide(ctx, with)
	if err != nil {
		return nil, err
	}
	outcome := &pb.RequestOutcome{Status: with.Status, BytesReceived: with.BytesReceived}
	recorded := []bool{}
	for range 2 {
		request := &pb.RecordRequestRequest{DecisionId: decision.DecisionId, Outcome: outcome}
		answer, err := s.decisions().RecordRequest(ctx, request)
		if err != nil {
			return nil, err
		}
		recorded = append(recorded, answer.Recorded)
	}
	found, err := s.decisions().GetDecision(ctx, &pb.GetDecisionRequest{DecisionId: decision.DecisionId})
	if err != nil {
		return nil, err
	}
	kept := found.Record.Outcome
	return result{"recorded": recorded, "status": kept.Status, "bytes_received": kept.BytesReceived}, nil
}

func getDecision(ctx context.Context, s *session, with given) (result, error) {
	_, err := s.decisions().GetDecision(ctx, &pb.GetDecisionRequest{DecisionId: with.DecisionID})
	return result{}, err
}

// audit reads the record of an agent by pages, once its sandbox's making is in it.
func audit(ctx context.Context, s *session, with given) (result, error) {
	created := func(entry *auditpb.Entry) bool { return entry.Action == auditpb.Action_ACTION_SANDBOX_CREATED }
	var pages [][]*auditpb.Entry
	err := polled(func() (good bool, err error) {
		pages, err = s.pages(ctx, &auditpb.EntryFilter{Agents: []string{with.Agent}}, with.PageSize)
		return slices.ContainsFunc(slices.Concat(pages...), created), err
	})
	if err != nil {
		return nil, err
	}
	entries := slices.Concat(pages...)
	ids := map[string]bool{}
	for _, entry := range entries {
		ids[entry.Id] = true
	}
	short := func(page []*auditpb.Entry) bool { return len(page) != int(with.PageSize) }
	count := "one"
	if len(pages) > 1 {
		count = "several"
	}
	return result{
		"pages":    count,
		"full":     !slices.ContainsFunc(pages[:len(pages)-1], short),
		"distinct": len(ids) == len(entries),
		"in_order": slices.IsSortedFunc(entries, func(a, b *auditpb.Entry) int {
			return a.Time.AsTime().Compare(b.Time.AsTime())
		}),
		"created": slices.ContainsFunc(entries, created),
	}, nil
}

func (s *session) pages(ctx context.Context, filter *auditpb.EntryFilter, size int32) ([][]*auditpb.Entry, error) {
	reader := auditpb.NewAuditServiceClient(s.channels["audit"])
	order := auditpb.EntryOrder_ENTRY_ORDER_OLDEST_FIRST
	request := &auditpb.ListEntriesRequest{Filter: filter, PageSize: size, Order: order}
	var pages [][]*auditpb.Entry
	for {
		answer, err := reader.ListEntries(ctx, request)
		if err != nil {
			return nil, err
		}
		pages = append(pages, answer.Entries)
		if answer.NextPageToken == "" {
			return pages, nil
		}
		request.PageToken = answer.NextPageToken
	}
}

// trace runs a program in a trace that begins here; looks for it in the process, the record and the kept spans.
func trace(ctx context.Context, s *session, with given) (result, error) {
	ids := make([]byte, 24)
	rand.Read(ids)
	traceID, spanID := hex.EncodeToString(ids[:16]), hex.EncodeToString(ids[16:])
	traced := metadata.AppendToOutgoingContext(ctx, "traceparent", fmt.Sprintf("00-%s-%s-01", traceID, spanID))
	request := &sandboxpb.RunCommandRequest{Sandbox: s.sandbox, Command: with.command()}
	answer, err := s.execs().RunCommand(traced, request)
	if err != nil {
		return nil, err
	}
	recorded := false
	err = polled(func() (bool, error) {
		pages, err := s.pages(ctx, &auditpb.EntryFilter{TraceId: traceID}, 100)
		recorded = err == nil && len(pages[0]) > 0
		return recorded, err
	})
	if err != nil {
		return nil, err
	}
	child, err := s.childOf(ctx, traceID, spanID)
	return result{"process": strings.Contains(string(answer.Stdout), traceID), "record": recorded, "child": child}, err
}

// childOf tells whether the kept trace has a span whose parent is ours.
func (s *session) childOf(ctx context.Context, traceID, spanID string) (bool, error) {
	traces := auditpb.NewTraceServiceClient(s.channels["audit"])
	err := polled(func() (bool, error) {
		listed, err := traces.ListTraces(ctx, &auditpb.ListTracesRequest{PageSize: 1000})
		return slices.ContainsFunc(listed.GetTraces(), func(t *auditpb.TraceSummary) bool { return t.TraceId == traceID }), err
	})
	if err != nil {
		return false, err
	}
	ours := func(span *auditpb.Span) bool { return span.ParentSpanId == spanID }
	found := false
	err = polled(func() (bool, error) {
		kept, err := traces.GetTrace(ctx, &auditpb.GetTraceRequest{TraceId: traceID})
		found = slices.ContainsFunc(kept.GetSpans(), ours)
		return found, err
	})
	return found, err
}
