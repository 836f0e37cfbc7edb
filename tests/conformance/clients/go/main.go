// The conformance session's client in Go: runs the steps of a session and prints one JSON result a step.
//
// Usage: client SESSION.json (its form: ../README.md)
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// result is what came of a step, as the table names it.
type result map[string]any

var steps = map[string]func(context.Context, *session, given) (result, error){
	"create":        create,
	"get":           get,
	"watch":         watch,
	"delete":        remove,
	"reach":         reach,
	"exec":          execute,
	"run":           run,
	"attach":        attach,
	"cancel":        cancel,
	"files":         files,
	"read_file":     readFile,
	"copy":          copyFile,
	"archive":       archive,
	"check":         check,
	"record":        record,
	"get_decision":  getDecision,
	"audit":         audit,
	"trace":         trace,
	"keys":          keys,
	"vectors":       vectors,
	"vector_stream": vectorStream,
}

func main() {
	session, rows, err := open(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer session.close()
	printed := json.NewEncoder(os.Stdout)
	for _, row := range rows {
		if err := printed.Encode(outcome(session, row)); err != nil {
			os.Exit(1)
		}
	}
}

// outcome runs a step: a result, a call's error, or a fault of this client.
func outcome(session *session, row row) result {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	if session.node != "" { // by which a mesh leads the call there
		ctx = metadata.AppendToOutgoingContext(ctx, "x-stockade-node", session.node)
	}
	told, err := steps[row.Do](ctx, session, row.With)
	if err == nil {
		return result{"step": row.Name, "result": told}
	}
	if _, ok := status.FromError(err); ok {
		return result{"step": row.Name, "error": failure(err)}
	}
	return result{"step": row.Name, "broken": err.Error()}
}
