// Package stockade connects Go programs to Stockade: local sockets, TLS and mutual TLS, and the reason of an error.
package stockade

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"os/user"
	"path/filepath"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

const maxMessageBytes = 16 << 20

// TLS names the PEM files of a secured connection. CA alone proves the server; with Cert and Key the client is proved too.
type TLS struct {
	CA, Cert, Key string
	// ServerName is the name that the server's certificate is for, where it is not the target's.
	ServerName string
}

// Connect opens a channel to target: "unix:/path" or "host:port". With a nil security the target must be local, since
// nothing is encrypted. No call is made before the first one.
func Connect(target string, security *TLS, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	transport := insecure.NewCredentials()
	if security != nil {
		config, err := security.config()
		if err != nil {
			return nil, err
		}
		transport = credentials.NewTLS(config)
	}
	options = append([]grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes)),
	}, options...)
	return grpc.NewClient(target, options...)
}

// Local is the target of a service of the stack on this machine, by its short name: sandbox, policy, cache or audit.
// Inside a sandbox one socket leads to all of them as the agent; outside, the operator's own directory is used.
func Local(service string) string {
	runDir := os.Getenv("STOCKADE_STACK_RUN_DIR")
	if runDir == "" {
		runDir = "/run/stockade"
	}
	inside := filepath.Join(runDir, "api.sock")
	if _, err := os.Stat(inside); err == nil {
		return "unix:" + inside
	}
	person := os.Getenv("SUDO_USER")
	if me, err := user.Current(); person == "" && err == nil {
		person = me.Username
	}
	return "unix:" + filepath.Join(runDir, "operators", person, service+".sock")
}

// ErrorInfo is what a failed call says about its cause, or nil: its Reason is a name of stockade.errors.v1.Reason
// without REASON_.
func ErrorInfo(err error) *errdetails.ErrorInfo {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info
		}
	}
	return nil
}

func (security *TLS) config() (*tls.Config, error) {
	authority, err := os.ReadFile(security.CA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", security.CA)
	}
	config := &tls.Config{RootCAs: pool, ServerName: security.ServerName, MinVersion: tls.VersionTLS12}
	if security.Cert == "" {
		return config, nil
	}
	pair, err := tls.LoadX509KeyPair(security.Cert, security.Key)
	if err != nil {
		return nil, err
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}
