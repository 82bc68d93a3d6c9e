// Bytes through a proxy between two connections, as io.Copy makes one.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
)

func listen() net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	return listener
}

func connect(to net.Listener) *net.TCPConn {
	connection, err := net.Dial("tcp", to.Addr().String())
	if err != nil {
		panic(err)
	}
	return connection.(*net.TCPConn)
}

func accept(listener net.Listener) *net.TCPConn {
	connection, err := listener.Accept()
	if err != nil {
		panic(err)
	}
	return connection.(*net.TCPConn)
}

func copyAll(what string, to, from *net.TCPConn, done chan<- string) {
	count, err := io.Copy(to, from)
	to.CloseWrite()
	done <- fmt.Sprint(what, ": ", count, " bytes, ", err)
}

func main() {
	front, back := listen(), listen()
	echoed, there, again := make(chan string, 1), make(chan string, 1), make(chan string, 1)
	go func() {
		server := accept(back)
		copyAll("echo", server, server, echoed)
	}()
	go func() {
		one, other := accept(front), connect(back)
		go copyAll("there", other, one, there)
		copyAll("and back", one, other, again)
	}()
	client := connect(front)
	sent := make([]byte, 3<<20)
	for at := range sent {
		sent[at] = byte(at * 7 / 5)
	}
	go func() {
		client.Write(sent)
		client.CloseWrite()
	}()
	received, err := io.ReadAll(client)
	fmt.Println(<-echoed)
	fmt.Println(<-there)
	fmt.Println(<-again)
	fmt.Println(err, bytes.Equal(sent, received))
}
