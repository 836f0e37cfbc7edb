package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	pb "stockade.dev/client/stockade/sandbox/v1"
)

// textBytes is how much output is told as text; longer output by its digest alone.
const textBytes = 65536

func (s *session) execs() pb.ExecServiceClient {
	return pb.NewExecServiceClient(s.channels["sandbox"])
}

func (g given) command() *pb.Command {
	command := &pb.Command{Args: g.Args, MaxOutputBytes: g.MaxOutputBytes}
	if g.TimeoutMS > 0 {
		command.Timeout = durationpb.New(time.Duration(g.TimeoutMS) * time.Millisecond)
	}
	return command
}

func starting(start *pb.ExecStart) *pb.ExecRequest {
	return &pb.ExecRequest{Request: &pb.ExecRequest_Start{Start: start}}
}

func telling(input *pb.ExecInput) *pb.ExecRequest {
	return &pb.ExecRequest{Request: &pb.ExecRequest_Input{Input: input}}
}

// execute runs a program with the given stdin, and sends the given signal when it first writes.
func execute(ctx context.Context, s *session, with given) (result, error) {
	stream, err := s.execs().Exec(ctx)
	if err != nil {
		return nil, err
	}
	requests := []*pb.ExecRequest{starting(&pb.ExecStart{Sandbox: s.sandbox, Command: with.command()})}
	for _, text := range with.Stdin {
		requests = append(requests, telling(&pb.ExecInput{Input: &pb.ExecInput_Stdin{Stdin: []byte(text)}}))
	}
	if with.Signal == 0 {
		requests = append(requests, telling(&pb.ExecInput{Input: &pb.ExecInput_CloseStdin{CloseStdin: true}}))
	}
	for _, request := range requests {
		if err := stream.Send(request); err != nil {
			break // the stream's own error comes with the next Recv
		}
	}
	if with.Signal == 0 {
		stream.CloseSend()
	}
	var stdout, stderr bytes.Buffer
	for {
		event, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		if event.GetStdout() != nil && with.Signal != 0 && stdout.Len() == 0 {
			signal := &pb.ExecInput_Signal{Signal: &pb.ExecSignal{Signal: with.Signal}}
			if err := stream.Send(telling(&pb.ExecInput{Input: signal})); err != nil {
				return nil, err
			}
		}
		stdout.Write(event.GetStdout().GetData())
		stderr.Write(event.GetStderr().GetData())
		if ended := event.GetEnded(); ended != nil {
			return told(stdout.Bytes(), stderr.Bytes(), ended), nil
		}
	}
}

func run(ctx context.Context, s *session, with given) (result, error) {
	if with.DeadlineMS > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, time.Duration(with.DeadlineMS)*time.Millisecond)
		defer stop()
	}
	stdin := []byte(strings.Join(with.Stdin, "") + strings.Repeat("x", with.StdinBytes))
	request := &pb.RunCommandRequest{Sandbox: s.sandbox, Command: with.command(), Stdin: stdin}
	answer, err := s.execs().RunCommand(ctx, request)
	if err != nil {
		return nil, err
	}
	return told(answer.Stdout, answer.Stderr, answer.Ending), nil
}

// attach starts a program, goes away after its first output, and comes back for the rest.
func attach(ctx context.Context, s *session, with given) (result, error) {
	leaving, leave := context.WithCancel(ctx)
	start := &pb.ExecStart{Sandbox: s.sandbox, Command: with.command(), NoStdin: true, DetachOnCancel: true}
	stream, started, err := s.begin(leaving, start)
	if err != nil {
		leave()
		return nil, err
	}
	written, err := stream.Recv()
	leave()
	if err != nil {
		return nil, err
	}
	before := written.GetStdout().GetData()
	back, err := s.execs().AttachExec(ctx)
	if err != nil {
		return nil, err
	}
	place := &pb.ExecAttach{Sandbox: s.sandbox, Exec: started.Exec, Offset: uint64(len(before))}
	if err := back.Send(&pb.AttachExecRequest{Request: &pb.AttachExecRequest_Attach{Attach: place}}); err != nil {
		return nil, err
	}
	var after []byte
	for {
		event, err := back.Recv()
		if err != nil {
			return nil, err
		}
		after = append(after, event.GetStdout().GetData()...)
		if ended := event.GetEnded(); ended != nil {
			return result{"before": string(before), "after": string(after), "ending": ended.Reason.String()}, nil
		}
	}
}

// cancel goes away from a program that runs; it is killed.
func cancel(ctx context.Context, s *session, with given) (result, error) {
	leaving, leave := context.WithCancel(ctx)
	start := &pb.ExecStart{Sandbox: s.sandbox, Command: with.command(), NoStdin: true}
	stream, started, err := s.begin(leaving, start)
	leave()
	if err != nil {
		return nil, err
	}
	_, gone := stream.Recv()
	var found *pb.GetExecResponse
	err = polled(func() (bool, error) {
		found, err = s.execs().GetExec(ctx, &pb.GetExecRequest{Sandbox: s.sandbox, Exec: started.Exec})
		return found.GetExec().GetState() == pb.ExecState_EXEC_STATE_ENDED, err
	})
	if err != nil {
		return nil, err
	}
	return result{"code": int(status.Code(gone)), "ending": found.Exec.Ending.GetReason().String()}, nil
}

// begin opens an Exec and waits until its program runs.
func (s *session) begin(ctx context.Context, start *pb.ExecStart) (pb.ExecService_ExecClient, *pb.ExecStarted, error) {
	stream, err := s.execs().Exec(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := stream.Send(starting(start)); err != nil {
		return nil, nil, err
	}
	event, err := stream.Recv()
	return stream, event.GetStarted(), err
}

func told(stdout, stderr []byte, ending *pb.Ending) result {
	digest := sha256.Sum256(stdout)
	told := result{
		"stdout_bytes":  len(stdout),
		"stdout_sha256": hex.EncodeToString(digest[:]),
		"stderr":        string(stderr),
		"ending":        ending.Reason.String(),
		"exit_code":     ending.ExitCode,
		"signal":        ending.Signal,
		"partial":       ending.OutputPartial,
	}
	if len(stdout) <= textBytes {
		told["stdout"] = string(stdout)
	}
	return told
}
