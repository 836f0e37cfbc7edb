package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/bits"
	"os"
	"slices"
	"strconv"

	pb "stockade.dev/client/stockade/embeddingcache/v1"
)

const keySpec = "stockade.embeddingcache.key/1"

func (s *session) cache() pb.EmbeddingCacheServiceClient {
	return pb.NewEmbeddingCacheServiceClient(s.channels["cache"])
}

// model is what a vector depends on beside its text.
type model struct {
	Provider   string            `json:"provider"`
	Model      string            `json:"model"`
	Revision   string            `json:"revision"`
	Dimensions int               `json:"dimensions"`
	Dtype      string            `json:"dtype"`
	Role       string            `json:"role"`
	Normalise  bool              `json:"normalise"`
	Parameters map[string]string `json:"parameters"`
}

// keys computes every golden key.
func keys(_ context.Context, _ *session, with given) (result, error) {
	var golden struct {
		Keys []struct {
			Case  string `json:"case"`
			Model model  `json:"model"`
			Text  string `json:"text"`
			Key   string `json:"key"`
		} `json:"keys"`
	}
	text, err := os.ReadFile(with.Path)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		return nil, err
	}
	wrong := []string{}
	for _, one := range golden.Keys {
		if key := one.Model.key(one.Text); hex.EncodeToString(key[:]) != one.Key {
			wrong = append(wrong, one.Case)
		}
	}
	return result{"computed": len(golden.Keys), "wrong": wrong}, nil
}

// key is a key as docs/embedding-keys.md says.
func (m model) key(text string) [32]byte {
	var parameters, all bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(m.Parameters)) {
		frame(&parameters, name)
		frame(&parameters, m.Parameters[name])
	}
	normalise := "0"
	if m.Normalise {
		normalise = "1"
	}
	dtype := m.Dtype
	if dtype == "" {
		dtype = "f32"
	}
	for _, field := range []string{
		keySpec, m.Provider, m.Model, m.Revision, strconv.Itoa(m.Dimensions),
		dtype, m.Role, normalise, parameters.String(), text,
	} {
		frame(&all, field)
	}
	return sha256.Sum256(all.Bytes())
}

func frame(to *bytes.Buffer, field string) {
	to.Write(binary.BigEndian.AppendUint64(nil, uint64(len(field))))
	to.WriteString(field)
}

// vectors puts rows, one of them bad, and asks for them and for one that is not there.
func vectors(ctx context.Context, s *session, with given) (result, error) {
	rowKeys, rows, ask := unhex(with.Keys), unhex(with.Rows), unhex(with.Ask)
	format := &pb.VectorFormat{Dimensions: with.Dimensions, Dtype: pb.Dtype_DTYPE_F32}
	put, err := s.cache().BatchPut(ctx, &pb.BatchPutRequest{
		Layer: with.Layer, Keys: rowKeys, Rows: &pb.Rows{Format: format, Vectors: rows},
	})
	if err != nil {
		return nil, err
	}
	got, err := s.cache().BatchGet(ctx, &pb.BatchGetRequest{Layer: with.Layer, Keys: ask, Format: format})
	if err != nil {
		return nil, err
	}
	faults := [][]any{}
	for _, fault := range put.Errors {
		faults = append(faults, []any{fault.Row, fault.Fault.String()})
	}
	return result{
		"stored": hex.EncodeToString(put.Stored), "faults": faults,
		"hits": hex.EncodeToString(got.Hits), "vectors": hex.EncodeToString(got.Vectors),
	}, nil
}

// vectorStream streams a file of rows in and out again, in chunks, with one key more than there are rows.
func vectorStream(ctx context.Context, s *session, with given) (result, error) {
	data, err := os.ReadFile(with.Source)
	if err != nil {
		return nil, err
	}
	format := &pb.VectorFormat{Dimensions: with.Dimensions, Dtype: pb.Dtype_DTYPE_F32}
	count := len(data) / int(with.Dimensions*4)
	var names []byte
	for row := range count + 1 {
		name := sha256.Sum256(fmt.Appendf(nil, "row %d", row))
		names = append(names, name[:]...)
	}
	stored, err := s.streamIn(ctx, with, format, names, data)
	if err != nil {
		return nil, err
	}
	replies, err := s.streamOut(ctx, &pb.StreamGetRequest{Layer: with.Layer, Keys: names, Format: format})
	if err != nil {
		return nil, err
	}
	var found []byte
	asked, hits, chunks := uint32(0), 0, "one"
	for _, reply := range replies {
		found = append(found, reply.Vectors...)
		asked, hits = asked+reply.RowCount, hits+ones(reply.Hits)
	}
	if len(replies) > 1 {
		chunks = "several"
	}
	digest := sha256.Sum256(found)
	return result{
		"stored": stored, "asked": asked, "found": hits, "chunks": chunks,
		"bytes": len(found), "sha256": hex.EncodeToString(digest[:]),
	}, nil
}

func (s *session) streamIn(ctx context.Context, with given, format *pb.VectorFormat, names, data []byte) (int, error) {
	stream, err := s.cache().StreamPut(ctx)
	if err != nil {
		return 0, err
	}
	size, stored := int(with.Dimensions*4), 0
	for at := 0; at < len(data); at += size * with.ChunkRows {
		part := data[at:min(at+size*with.ChunkRows, len(data))]
		row := at / size
		rowKeys := names[row*32 : (row+len(part)/size)*32]
		rows := &pb.Rows{Format: format, Vectors: part}
		if err := stream.Send(&pb.StreamPutRequest{Layer: with.Layer, Keys: rowKeys, Rows: rows}); err != nil {
			break // Recv tells why
		}
		reply, err := stream.Recv()
		if err != nil {
			return 0, err
		}
		stored += ones(reply.Stored)
	}
	return stored, stream.CloseSend()
}

func (s *session) streamOut(ctx context.Context, ask *pb.StreamGetRequest) (replies []*pb.StreamGetResponse, err error) {
	stream, err := s.cache().StreamGet(ctx)
	if err != nil {
		return nil, err
	}
	if err := stream.Send(ask); err != nil {
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	for err == nil {
		var reply *pb.StreamGetResponse
		if reply, err = stream.Recv(); err == nil {
			replies = append(replies, reply)
		}
	}
	return replies, ended(err)
}

func ones(bitmap []byte) int {
	count := 0
	for _, each := range bitmap {
		count += bits.OnesCount8(each)
	}
	return count
}

func unhex(text string) []byte {
	bytes, err := hex.DecodeString(text)
	if err != nil {
		panic(err) // the table is ours
	}
	return bytes
}
