// Asks which hosts it may reach: agent HOST...
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	stockade "stockade.dev/client"
	policy "stockade.dev/client/stockade/networkpolicy/v1"
)

func main() {
	channel, err := stockade.Connect(stockade.Local("policy"), nil)
	if err != nil {
		log.Fatal(err)
	}
	decisions := policy.NewDecisionServiceClient(channel)
	for _, host := range os.Args[1:] {
		request := &policy.CheckRequestRequest{Request: &policy.RequestToCheck{Host: host, Port: 443}}
		answer, err := decisions.CheckRequest(context.Background(), request)
		if err != nil {
			log.Fatal(stockade.ErrorInfo(err), err)
		}
		verdict := strings.TrimPrefix(answer.Decision.Verdict.String(), "VERDICT_")
		fmt.Println(host, verdict, answer.Decision.Rule)
	}
}
