// The command language of ../README.md with the official Go SDK: the server.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/apache/flink-statefun/statefun-sdk-go/v3/pkg/statefun"
)

func main() {
	// The SDK tells each registration and each handshake.
	log.SetOutput(io.Discard)
	functions := statefun.StatefulFunctionsBuilder()
	for _, name := range []string{"workload/alpha", "workload/beta", "elsewhere.workload/alpha"} {
		must(functions.WithSpec(statefun.StatefulFunctionSpec{
			FunctionType: statefun.TypeNameFrom(name),
			States:       specs(),
			Function:     statefun.StatefulFunctionPointer(take),
		}))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	must(err)
	go endWithTheParent()
	fmt.Println("ready")
	must(http.Serve(listener, functions.AsHandler()))
}

func endWithTheParent() {
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
