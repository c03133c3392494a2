// An application service on the EdgeX App Functions SDK, as app-service-configurable is one: it runs the pipelines of its configuration.
//
// Started by tests/it/edgex, which writes its configuration. Ends when its stdin is closed.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/edgexfoundry/app-functions-sdk-go/v4/pkg"
	"github.com/edgexfoundry/app-functions-sdk-go/v4/pkg/interfaces"
)

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
	service, ok := pkg.NewAppService("app-<profile>")
	if !ok {
		return fmt.Errorf("the service does not start")
	}
	pipelines, err := service.LoadConfigurableFunctionPipelines()
	if err != nil {
		return err
	}
	for _, pipeline := range pipelines {
		if pipeline.Id == interfaces.DefaultPipelineId {
			err = service.SetDefaultFunctionsPipeline(pipeline.Transforms...)
		} else {
			err = service.AddFunctionsPipelineForTopics(pipeline.Id, pipeline.Topics, pipeline.Transforms...)
		}
		if err != nil {
			return err
		}
	}
	return service.Run()
}
