// A server with net/http, and a client of itself. `server ADDRESS`
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

func main() {
	http.HandleFunc("/", func(reply http.ResponseWriter, request *http.Request) {
		fmt.Fprintf(reply, "you asked for %s\n", request.URL.Path)
	})
	http.HandleFunc("/echo", func(reply http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		reply.Header().Set("Content-Length", fmt.Sprint(len(body)))
		reply.Write(body)
	})
	http.HandleFunc("/json", func(reply http.ResponseWriter, request *http.Request) {
		reply.Header().Set("Content-Type", "application/json")
		json.NewEncoder(reply).Encode(map[string]any{"path": request.URL.Path, "query": request.URL.Query()})
	})
	http.HandleFunc("/large", func(reply http.ResponseWriter, request *http.Request) {
		reply.Header().Set("Content-Length", "200000")
		io.WriteString(reply, strings.Repeat("0123456789", 20000))
	})
	listener, err := net.Listen("tcp", os.Args[1])
	if err == nil {
		fmt.Println("listening")
		err = http.Serve(listener, nil)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
