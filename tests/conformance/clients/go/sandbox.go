package main

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/fieldmaskpb"
	stockade "stockade.dev/client"
	pb "stockade.dev/client/stockade/sandbox/v1"
)

func (s *session) sandboxes() pb.SandboxServiceClient {
	return pb.NewSandboxServiceClient(s.channels["sandbox"])
}

// create makes a sandbox twice with one request_id.
func create(ctx context.Context, s *session, with given) (result, error) {
	request := &pb.CreateSandboxRequest{
		Agent: with.Agent, AgentType: with.AgentType, RequestId: with.RequestID,
		Limits: &pb.Limits{MemoryBytes: with.MemoryBytes, DiskBytes: with.DiskBytes},
	}
	first, err := s.sandboxes().CreateSandbox(ctx, request)
	if err != nil {
		return nil, err
	}
	again, err := s.sandboxes().CreateSandbox(ctx, request)
	if err != nil {
		return nil, err
	}
	s.sandbox, s.node = first.Sandbox.Name, first.Sandbox.Node
	return result{
		"same":    first.Sandbox.Name == again.Sandbox.Name,
		"state":   first.Sandbox.State.String(),
		"profile": first.Sandbox.Profile,
		"known":   first.Sandbox.AgentTypeKnown,
	}, nil
}

func get(ctx context.Context, s *session, with given) (result, error) {
	name := s.sandbox
	if with.Name != nil {
		name = *with.Name
	}
	found, err := s.sandboxes().GetSandbox(ctx, &pb.GetSandboxRequest{Name: name})
	if err != nil {
		return nil, err
	}
	return result{"state": found.Sandbox.State.String(), "agent": found.Sandbox.Agent}, nil
}

// watch watches the sandbox, changes a label, sees it, goes away and comes back.
func watch(ctx context.Context, s *session, with given) (result, error) {
	request := &pb.WatchSandboxesRequest{Filter: &pb.SandboxFilter{Names: []string{s.sandbox}}}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	events, err := s.sandboxes().WatchSandboxes(watching, request)
	if err != nil {
		return nil, err
	}
	first, err := events.Recv()
	for event := first; err == nil && event.Sandbox != nil; {
		event, err = events.Recv()
	}
	if err != nil {
		return nil, err
	}
	mask := &fieldmaskpb.FieldMask{Paths: []string{"labels"}}
	labels := map[string]string{"session": with.Label}
	update := &pb.UpdateSandboxRequest{Name: s.sandbox, UpdateMask: mask, Labels: labels}
	if _, err := s.sandboxes().UpdateSandbox(ctx, update); err != nil {
		return nil, err
	}
	seen := first
	for seen.Sandbox.Labels["session"] == "" {
		if seen, err = events.Recv(); err != nil {
			return nil, err
		}
	}
	stop()
	if events, err = s.sandboxes().WatchSandboxes(ctx, request); err != nil {
		return nil, err
	}
	back, err := events.Recv()
	if err != nil {
		return nil, err
	}
	return result{
		"first": first.Sandbox.State.String(),
		"label": seen.Sandbox.Labels["session"],
		"again": back.Sandbox.Labels["session"],
	}, nil
}

// remove deletes the sandbox twice: the second time is no error.
func remove(ctx context.Context, s *session, _ given) (result, error) {
	request := &pb.DeleteSandboxRequest{Name: s.sandbox}
	ended, err := s.sandboxes().DeleteSandbox(ctx, request)
	if err != nil {
		return nil, err
	}
	again, err := s.sandboxes().DeleteSandbox(ctx, request)
	if err != nil {
		return nil, err
	}
	return result{"state": ended.Sandbox.State.String(), "again": again.Sandbox.State.String()}, nil
}

// reach asks for sandboxes over another connection than the session's.
func reach(ctx context.Context, _ *session, with given) (result, error) {
	channel, err := stockade.Connect(with.Target, security(with.TLS))
	if err != nil {
		return nil, err
	}
	defer channel.Close()
	ctx, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	_, err = pb.NewSandboxServiceClient(channel).ListSandboxes(ctx, &pb.ListSandboxesRequest{})
	return result{"reached": true}, err
}
