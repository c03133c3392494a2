// The pipeline of the benchmark on Benthos: HTTP in, filter, set, HTTP out, without a buffer.
//
// Started by benches/figures. PEER_LISTEN is the address to serve, PEER_SINK where events go. Ends when its stdin is closed.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	_ "github.com/redpanda-data/benthos/v4/public/components/io"
	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"
)

const pipeline = `
http:
  enabled: false
logger:
  level: ERROR
input:
  http_server:
    address: '%s'
    path: /post
pipeline:
  processors:
    - mapping: |
        root = if this.temperature <= 20 { deleted() }
    - mapping: |
        root = this
        root.site = "north"
output:
  http_client:
    url: '%s'
    verb: POST
    headers: {Content-Type: application/json}
    max_in_flight: 64
`

func main() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "benthos:", err)
		os.Exit(1)
	}
}

func run() error {
	builder := service.NewStreamBuilder()
	yaml := fmt.Sprintf(pipeline, os.Getenv("PEER_LISTEN"), os.Getenv("PEER_SINK"))
	if err := builder.SetYAML(yaml); err != nil {
		return err
	}
	stream, err := builder.Build()
	if err != nil {
		return err
	}
	return stream.Run(context.Background())
}
