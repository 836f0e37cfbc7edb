package main

import (
	"encoding/json"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	stockade "stockade.dev/client"
)

const wait = 20 * time.Second

// row is one step of the table.
type row struct {
	Name string `json:"name"`
	Do   string `json:"do"`
	With given  `json:"with"`
}

// given is a step's input; each operation reads its own part.
type given struct {
	Agent          string            `json:"agent"`
	AgentType      string            `json:"agent_type"`
	RequestID      string            `json:"request_id"`
	MemoryBytes    int64             `json:"memory_bytes"`
	DiskBytes      int64             `json:"disk_bytes"`
	Name           *string           `json:"name"`
	Label          string            `json:"label"`
	Target         string            `json:"target"`
	TLS            map[string]string `json:"tls"`
	Args           []string          `json:"args"`
	Stdin          []string          `json:"stdin"`
	StdinBytes     int               `json:"stdin_bytes"`
	Signal         int32             `json:"signal"`
	TimeoutMS      int64             `json:"timeout_ms"`
	DeadlineMS     int64             `json:"deadline_ms"`
	MaxOutputBytes uint64            `json:"max_output_bytes"`
	Path           string            `json:"path"`
	Source         string            `json:"source"`
	Text           string            `json:"text"`
	Offset         uint64            `json:"offset"`
	Length         uint64            `json:"length"`
	Archive        []byte            `json:"archive"`
	Member         string            `json:"member"`
	Host           string            `json:"host"`
	Port           uint32            `json:"port"`
	Times          int               `json:"times"`
	Status         uint32            `json:"status"`
	BytesReceived  uint64            `json:"bytes_received"`
	DecisionID     string            `json:"decision_id"`
	PageSize       int32             `json:"page_size"`
	Layer          string            `json:"layer"`
	Dimensions     uint32            `json:"dimensions"`
	Keys           string            `json:"keys"`
	Rows           string            `json:"rows"`
	Ask            string            `json:"ask"`
	ChunkRows      int               `json:"chunk_rows"`
}

// session holds the channels to the services, the sandbox that was made, and the node that it is on.
type session struct {
	channels map[string]*grpc.ClientConn
	sandbox  string
	node     string
}

func open(path string) (*session, []row, error) {
	var file struct {
		Targets map[string]string `json:"targets"`
		TLS     map[string]string `json:"tls"`
		Steps   []row             `json:"steps"`
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, nil, err
	}
	opened := &session{channels: map[string]*grpc.ClientConn{}}
	for service, target := range file.Targets {
		if opened.channels[service], err = stockade.Connect(target, security(file.TLS)); err != nil {
			return nil, nil, err
		}
	}
	return opened, file.Steps, nil
}

func (s *session) close() {
	for _, channel := range s.channels {
		channel.Close()
	}
}

func security(files map[string]string) *stockade.TLS {
	if files == nil {
		return nil
	}
	return &stockade.TLS{CA: files["ca"], Cert: files["cert"], Key: files["key"]}
}

// failure tells a failed call's code, and what google.rpc's details say.
func failure(err error) result {
	told := result{"code": int(status.Code(err))}
	if info := stockade.ErrorInfo(err); info != nil {
		told["reason"], told["domain"], told["metadata"] = info.Reason, info.Domain, info.Metadata
	}
	for _, detail := range status.Convert(err).Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok {
			fields := []string{}
			for _, violation := range bad.FieldViolations {
				fields = append(fields, violation.Field)
			}
			told["fields"] = fields
		}
	}
	return told
}

// polled reads again and again until the reading is good or time is up.
func polled(read func() (bool, error)) error {
	for end := time.Now().Add(wait); ; time.Sleep(100 * time.Millisecond) {
		good, err := read()
		if err != nil || good || time.Now().After(end) {
			return err
		}
	}
}
