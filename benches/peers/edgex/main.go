// The pipeline of the benchmark on the EdgeX App Functions SDK: HTTP in, filter, set, HTTP out, with store and forward.
//
// Started by benches/figures, which writes its configuration. PEER_SINK is where events go. Ends when its stdin is closed.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/edgexfoundry/app-functions-sdk-go/v4/pkg"
	"github.com/edgexfoundry/app-functions-sdk-go/v4/pkg/interfaces"
	"github.com/edgexfoundry/app-functions-sdk-go/v4/pkg/transforms"
)

const warm = `{">": [{"var": "temperature"}, 20]}`

func main() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "edgex:", err)
		os.Exit(1)
	}
}

func run() error {
	service, ok := pkg.NewAppServiceWithTargetType("app-bench", &[]byte{})
	if !ok {
		return fmt.Errorf("the service does not start")
	}
	sender := transforms.NewHTTPSenderWithOptions(transforms.HTTPSenderOptions{
		URL:            os.Getenv("PEER_SINK"),
		MimeType:       "application/json",
		PersistOnError: true,
	})
	err := service.SetDefaultFunctionsPipeline(transforms.NewJSONLogic(warm).Evaluate, setSite, sender.HTTPPost)
	if err != nil {
		return err
	}
	return service.Run()
}

// The SDK has no step that sets a field of plain JSON.
func setSite(_ interfaces.AppFunctionContext, data interface{}) (bool, interface{}) {
	bytes, ok := data.([]byte)
	if !ok {
		return false, fmt.Errorf("expected bytes, got %T", data)
	}
	var event map[string]interface{}
	if err := json.Unmarshal(bytes, &event); err != nil {
		return false, err
	}
	event["site"] = "north"
	changed, err := json.Marshal(event)
	if err != nil {
		return false, err
	}
	return true, changed
}
