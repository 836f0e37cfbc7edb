package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path"

	pb "stockade.dev/client/stockade/sandbox/v1"
)

const chunkBytes = 256 << 10

func (s *session) fileService() pb.FileServiceClient {
	return pb.NewFileServiceClient(s.channels["sandbox"])
}

// files writes a file, looks at it, reads a range, lists its directory by pages of one, moves and removes it.
func files(ctx context.Context, s *session, with given) (result, error) {
	moved := with.Path + ".moved"
	if err := s.write(ctx, with.Path, []byte(with.Text)); err != nil {
		return nil, err
	}
	stat, err := s.fileService().StatFile(ctx, &pb.StatFileRequest{Sandbox: s.sandbox, Path: with.Path})
	if err != nil {
		return nil, err
	}
	part, err := s.read(ctx, with.Path, with.Offset, with.Length)
	if err != nil {
		return nil, err
	}
	names, err := s.list(ctx, path.Dir(with.Path))
	if err != nil {
		return nil, err
	}
	move := &pb.MoveFileRequest{Sandbox: s.sandbox, Source: with.Path, Destination: moved}
	if _, err := s.fileService().MoveFile(ctx, move); err != nil {
		return nil, err
	}
	if _, err := s.fileService().RemoveFile(ctx, &pb.RemoveFileRequest{Sandbox: s.sandbox, Path: moved}); err != nil {
		return nil, err
	}
	left, err := s.list(ctx, path.Dir(with.Path))
	if err != nil {
		return nil, err
	}
	return result{
		"size": stat.Info.SizeBytes, "kind": stat.Info.Kind.String(), "range": string(part), "names": names, "left": left,
	}, nil
}

func readFile(ctx context.Context, s *session, with given) (result, error) {
	text, err := s.read(ctx, with.Path, 0, 0)
	return result{"text": string(text)}, err
}

// copyFile copies a local file in and out again.
func copyFile(ctx context.Context, s *session, with given) (result, error) {
	data, err := os.ReadFile(with.Source)
	if err != nil {
		return nil, err
	}
	if err := s.write(ctx, with.Path, data); err != nil {
		return nil, err
	}
	back, err := s.read(ctx, with.Path, 0, 0)
	digest := sha256.Sum256(back)
	return result{"bytes": len(back), "sha256": hex.EncodeToString(digest[:])}, err
}

// archive unpacks an archive, reads one of its files, and packs it again.
func archive(ctx context.Context, s *session, with given) (result, error) {
	unpacked, err := s.unpack(ctx, with.Path, with.Archive)
	if err != nil {
		return nil, err
	}
	text, err := s.read(ctx, path.Join(with.Path, with.Member), 0, 0)
	if err != nil {
		return nil, err
	}
	packed, summary, err := s.pack(ctx, with.Path)
	if err != nil {
		return nil, err
	}
	return result{
		"unpacked": unpacked.UnpackedBytes, "text": string(text),
		"packed": summary.ContentBytes, "tar": string(packed[257:262]),
	}, nil
}

func (s *session) unpack(ctx context.Context, path string, archive []byte) (*pb.UploadArchiveResponse, error) {
	stream, err := s.fileService().UploadArchive(ctx)
	if err != nil {
		return nil, err
	}
	start := &pb.UploadArchiveStart{Sandbox: s.sandbox, Path: path}
	for _, request := range []*pb.UploadArchiveRequest{
		{Content: &pb.UploadArchiveRequest_Start{Start: start}},
		{Content: &pb.UploadArchiveRequest_Data{Data: archive}},
	} {
		if stream.Send(request) != nil {
			break // CloseAndRecv tells why
		}
	}
	return stream.CloseAndRecv()
}

func (s *session) pack(ctx context.Context, path string) (packed []byte, summary *pb.ArchiveSummary, err error) {
	request := &pb.DownloadArchiveRequest{Sandbox: s.sandbox, Path: path}
	stream, err := s.fileService().DownloadArchive(ctx, request)
	for err == nil {
		var part *pb.DownloadArchiveResponse
		if part, err = stream.Recv(); err == nil {
			packed = append(packed, part.GetData()...)
			summary = part.GetSummary()
		}
	}
	return packed, summary, ended(err)
}

func (s *session) write(ctx context.Context, path string, data []byte) error {
	stream, err := s.fileService().WriteFile(ctx)
	if err != nil {
		return err
	}
	start := &pb.WriteFileStart{Sandbox: s.sandbox, Path: path, Parents: true}
	requests := []*pb.WriteFileRequest{{Content: &pb.WriteFileRequest_Start{Start: start}}}
	for at := 0; at < len(data); at += chunkBytes {
		chunk := data[at:min(at+chunkBytes, len(data))]
		requests = append(requests, &pb.WriteFileRequest{Content: &pb.WriteFileRequest_Data{Data: chunk}})
	}
	requests = append(requests, &pb.WriteFileRequest{Content: &pb.WriteFileRequest_Finish{Finish: true}})
	for _, request := range requests {
		if stream.Send(request) != nil {
			break // CloseAndRecv tells why
		}
	}
	_, err = stream.CloseAndRecv()
	return err
}

func (s *session) read(ctx context.Context, path string, offset, length uint64) (data []byte, err error) {
	request := &pb.ReadFileRequest{Sandbox: s.sandbox, Path: path, Offset: offset, Length: length}
	stream, err := s.fileService().ReadFile(ctx, request)
	for err == nil {
		var part *pb.ReadFileResponse
		part, err = stream.Recv()
		data = append(data, part.GetData()...)
	}
	return data, ended(err)
}

func (s *session) list(ctx context.Context, path string) ([]string, error) {
	names := []string{}
	request := &pb.ListFilesRequest{Sandbox: s.sandbox, Path: path, PageSize: 1}
	for {
		page, err := s.fileService().ListFiles(ctx, request)
		if err != nil {
			return nil, err
		}
		for _, info := range page.Files {
			names = append(names, info.Path)
		}
		if page.NextPageToken == "" {
			return names, nil
		}
		request.PageToken = page.NextPageToken
	}
}

// ended is the error of a stream that was read to its end: none, where that is all.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
